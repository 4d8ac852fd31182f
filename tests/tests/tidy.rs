//! The tree keeps its promises: the arrows between rooms, a header on every file, files of a readable size.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail their test")]

mod tidy {
    pub mod arrows;
    pub mod files;
}
