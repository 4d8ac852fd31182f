//! The process of simulated nodes, seen from the test that started it.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::agent::binary;

/// A running process of simulated nodes; it is killed when this is dropped.
pub struct Simulated {
    child: Child,
    last: Arc<Mutex<Value>>,
}

impl Simulated {
    /// Starts so many nodes that know these servers (`HOST:PORT` of their RPC).
    pub fn start(nodes: usize, servers: &[String]) -> Self {
        let mut child = Command::new(binary("nomadd-simulated-nodes"))
            .arg(nodes.to_string())
            .args(servers)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the simulation starts");
        let output = child.stdout.take().expect("its output is piped");
        let last = Arc::new(Mutex::new(Value::Null));
        let kept = Arc::clone(&last);
        tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if let Ok(counts) = serde_json::from_str(&line) {
                    *kept.lock().unwrap_or_else(PoisonError::into_inner) = counts;
                }
            }
        });
        Self { child, last }
    }

    /// A count that it printed last, such as `assigned`.
    pub fn count(&self, name: &str) -> u64 {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)[name].as_u64().unwrap_or(0)
    }

    /// All that it printed last.
    pub fn counts(&self) -> Value {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The id of the process.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Waits until a count is reached; `false` when that takes too long.
    pub async fn reaches(&self, name: &str, wanted: u64, limit: Duration) -> bool {
        let begun = std::time::Instant::now();
        while self.count(name) < wanted {
            if begun.elapsed() > limit {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        true
    }
}
