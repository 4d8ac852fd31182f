//! A task for the tests of drivers.

use std::collections::BTreeMap;
use std::time::Duration;

use nomadd_supervisor::{Labels, Limits, LogSpec, TaskHandleId};
use serde_json::Value;

use crate::task::{TaskContext, TaskNetwork};

pub fn context(config: Value) -> TaskContext {
    TaskContext {
        id: TaskHandleId::new("a", "web"),
        labels: Labels::default(),
        config,
        env: BTreeMap::from([("PATH".into(), "/bin".into()), ("AWS_KEY".into(), "k".into()), ("A".into(), "b".into())]),
        user: None,
        task_directory: "/usr".into(),
        alloc_directory: "/tmp".into(),
        volumes: Vec::new(),
        image: None,
        network: TaskNetwork::default(),
        limits: Limits::default(),
        log: LogSpec {
            directory: "/tmp".into(),
            task: "web".into(),
            max_files: 1,
            max_file_size_bytes: 1,
            disabled: true,
        },
        state_directory: "/tmp/x".into(),
        kill_signal: 2,
        kill_timeout: Duration::from_secs(5),
    }
}
