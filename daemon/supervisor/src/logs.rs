//! The task's log files: names, listing and the rotating writer, as the executor uses them.
//!
//! Here so that the client, which reads them, and the mock driver, which writes them, need not know the executor.

pub use nomadd_executor::logs::{LogFile, Rotation, Stream, Writer, file_name, list, parse_index};
