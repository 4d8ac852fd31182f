//! The jobs that scenarios run: small, with little asked of the node, so that many fit.

/// A service of one shell command in raw_exec, healthy at once. `inner` goes into the group.
pub fn service(name: &str, count: usize, inner: &str, script: &str) -> String {
    job(name, "service", count, &format!("update {{\n  min_healthy_time = \"0s\"\n}}\n{inner}"), script)
}

/// A batch job of one shell command that is tried once.
pub fn batch(name: &str, count: usize, script: &str) -> String {
    job(name, "batch", count, ONCE, script)
}

/// No second try.
pub const ONCE: &str =
    "restart {\n  attempts = 0\n  mode = \"fail\"\n}\nreschedule {\n  attempts = 0\n  unlimited = false\n}\n";

/// A job of one group `g` with one task `t`.
pub fn job(name: &str, kind: &str, count: usize, inner: &str, script: &str) -> String {
    let task = task("t", script);
    format!(
        "job \"{name}\" {{\n  type = \"{kind}\"\n  group \"g\" {{\n    count = {count}\n    ephemeral_disk {{\n      size = 10\n    }}\n{inner}\n{task}  }}\n}}\n"
    )
}

/// A task of one shell script.
pub fn task(name: &str, script: &str) -> String {
    format!(
        "    task \"{name}\" {{\n      driver = \"raw_exec\"\n      kill_timeout = \"2s\"\n      logs {{\n        max_files = 2\n        max_file_size = 4\n      }}\n      config {{\n        command = \"/bin/sh\"\n        args = [\"-c\", <<-END\n{script}\nEND\n        ]\n      }}\n      resources {{\n        cpu = 10\n        memory = 16\n      }}\n    }}\n"
    )
}
