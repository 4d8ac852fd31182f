//! What the daemon and the executor have in common: the record format, the specification of a task's process, the
//! reports and files about it, and the rotated log files.
//!
//! Only the standard library and libc: the `nomadd-executor` binary runs once beside each task, so its size counts a
//! thousandfold. The supervisor uses this library to talk to it; the mock driver uses the log files.

pub mod cgroup;
pub mod container;
pub mod logs;
pub mod process;
pub mod record;
pub mod report;
pub mod spec;

/// The version of the records between daemon and executor and of the executor's files.
///
/// Unknown keys are ignored by both sides, so an addition keeps the version; a change of meaning raises it.
pub const VERSION: u32 = 1;

/// The descriptor at which an executor or exec helper finds its connection to the daemon.
pub const CONTROL_FD: i32 = 3;

/// The first argument of an executor that systemd starts; its connection to the daemon is then its standard input.
pub const UNIT_ARGUMENT: &str = "unit";

/// What a process that will be in a container is called at first; it then becomes itself again, read-only.
pub const SEALED_NAME: &str = "nomadd-container";

/// The unix socket in the state directory at which a running executor takes requests.
pub const SOCKET_FILE: &str = "executor.sock";
/// The file in the state directory that says what runs; written once, at the start.
pub const STATE_FILE: &str = "executor.state";
/// The file in the state directory with the namespaces of a task that has its own; the daemon writes it before the start.
pub const CONTAINER_FILE: &str = "executor.container";
/// The file in the state directory that says how it ended; written once, at the end.
pub const EXIT_FILE: &str = "executor.exit";
