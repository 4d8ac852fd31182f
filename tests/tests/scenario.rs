//! Flows of real people on the real binaries: agents on free ports, programs from Debian packages, conditions instead of pauses.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail their test")]

mod scenario {
    pub mod bad_input;
    pub mod batch;
    pub mod cluster;
    pub mod containers;
    pub mod debug;
    pub mod details;
    pub mod events;
    pub mod failing;
    pub mod first_session;
    pub mod https;
    pub mod isolated;
    pub mod jobs;
    pub mod load;
    pub mod machine;
    pub mod nodes;
    pub mod old_files;
    pub mod placement;
    pub mod readoption;
    pub mod refused;
    pub mod regions;
    pub mod secrets;
    pub mod snapshot;
    pub mod spaces;
    pub mod update;
    pub mod vanish;
    pub mod volumes;
}
