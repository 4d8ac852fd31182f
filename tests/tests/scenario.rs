//! Flows of real people on the real binaries: agents on free ports, programs from Debian packages, conditions instead of pauses.

mod scenario {
    pub mod batch;
    pub mod failing;
    pub mod first_session;
    pub mod jobs;
    pub mod old_files;
    pub mod placement;
    pub mod readoption;
    pub mod refused;
    pub mod secrets;
    pub mod snapshot;
    pub mod update;
}
