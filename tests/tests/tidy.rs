//! The tree keeps its promises: the arrows between rooms, a header on every file, files of a readable size.

mod tidy {
    pub mod arrows;
    pub mod files;
}
