//! The text of the example job.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

/// What the example runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Redis from an image.
    Image,
    /// A program of this host, by a driver of this name.
    Program(&'static str, Program),
}

/// A program that most hosts have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Debian's redis-server.
    Redis,
    /// python3's small web server.
    Python,
    /// A shell that tells the time.
    Shell,
}

impl Work {
    /// What nodes with these drivers can run; prefers drivers that isolate.
    pub fn of(drivers: &BTreeSet<String>) -> Self {
        let program = || match Path::new("/usr/bin/redis-server").exists() {
            true => Program::Redis,
            false if Path::new("/usr/bin/python3").exists() => Program::Python,
            false => Program::Shell,
        };
        // A program of the host is there; an image has to be fetched from somewhere first.
        match ["exec", "docker", "podman"].into_iter().find(|driver| drivers.contains(*driver)) {
            Some("docker") => Self::Image,
            Some("exec") => Self::Program("exec", program()),
            _ => Self::Program("raw_exec", program()),
        }
    }

    fn driver(self) -> &'static str {
        match self {
            Self::Image => "docker",
            Self::Program(driver, _) => driver,
        }
    }
    /// Group, task and port.
    fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Image | Self::Program(_, Program::Redis) => ("cache", "redis", "db"),
            Self::Program(_, Program::Python) => ("web", "server", "http"),
            Self::Program(_, Program::Shell) => ("clock", "clock", ""),
        }
    }
    fn config(self) -> &'static str {
        match self {
            Self::Image => "image = \"redis:7\"\nports = [\"db\"]",
            Self::Program(_, Program::Redis) => {
                "command = \"/usr/bin/redis-server\"\nargs    = [\"--port\", \"${NOMAD_PORT_db}\", \"--save\", \"\"]"
            }
            Self::Program(_, Program::Python) => {
                "command = \"/usr/bin/python3\"\nargs    = [\"-u\", \"-m\", \"http.server\", \"${NOMAD_PORT_http}\"]"
            }
            Self::Program(_, Program::Shell) => {
                "command = \"/bin/sh\"\nargs    = [\"-c\", \"while date; do sleep 5; done\"]"
            }
        }
    }
}

/// Collects lines; comments only when they are wanted.
struct Text {
    out: String,
    short: bool,
}

impl Text {
    fn line(&mut self, indent: usize, text: &str) {
        for line in text.lines() {
            let _ = writeln!(self.out, "{}{line}", " ".repeat(indent));
        }
    }
    fn comment(&mut self, indent: usize, text: &str) {
        if !self.short {
            for line in text.lines() {
                let _ = writeln!(self.out, "{}# {line}", " ".repeat(indent));
            }
        }
    }
    fn gap(&mut self) {
        self.out.push('\n');
    }
    /// Lines that only the long form has, with an empty one after them.
    fn long(&mut self, indent: usize, text: &str) {
        if !self.short {
            self.line(indent, text);
            self.gap();
        }
    }
}

/// The job file.
pub fn job(work: Work, short: bool) -> String {
    let mut text = Text { out: String::new(), short };
    let (group, task, port) = work.names();
    text.comment(0, "A job says what shall run. Change this file, look at the effect with\n\"nomadctl job plan\" and apply it with \"nomadctl job run\".");
    text.line(0, "job \"example\" {");
    text.comment(
        2,
        "\"service\" runs until it is stopped, \"batch\" until its tasks end, \"system\"\nonce on every node.",
    );
    text.long(2, "type = \"service\"");
    text.comment(2, "Nodes of these datacenters are used; \"*\" means all.");
    text.long(2, "datacenters = [\"*\"]");
    text.comment(2, "How a new version replaces the one that runs: this many at a time, each\nhealthy for a while before the next one follows.");
    text.long(2, "update {\n  max_parallel     = 1\n  min_healthy_time = \"5s\"\n}");
    text.comment(2, "A group is a set of tasks that run together on one node.");
    text.line(2, &format!("group \"{group}\" {{"));
    text.comment(4, "How many of it. Set it to 3 and run \"nomadctl job plan\" again.");
    text.line(4, "count = 1");
    if !port.is_empty() {
        text.gap();
        text.comment(4, "A port that is chosen when the group is placed. Tasks see it as\nNOMAD_PORT_<name>; \"static = 8080\" inside the braces fixes its number.");
        match work {
            Work::Image => text.line(4, &format!("network {{\n  port \"{port}\" {{\n    to = 6379\n  }}\n}}")),
            Work::Program(..) => text.line(4, &format!("network {{\n  port \"{port}\" {{}}\n}}")),
        }
    }
    text.gap();
    text.comment(
        4,
        "What happens when a task fails: so many restarts in so long a time, then\nthe group is tried on another node.",
    );
    text.long(4, "restart {\n  attempts = 2\n  interval = \"30m\"\n  delay    = \"15s\"\n  mode     = \"fail\"\n}");
    text.comment(4, "A task is one program. Its driver decides how it is run.");
    text.line(4, &format!("task \"{task}\" {{"));
    text.line(6, &format!("driver = \"{}\"", work.driver()));
    text.gap();
    text.line(6, "config {");
    text.line(8, work.config());
    text.line(6, "}");
    text.gap();
    text.comment(6, "What it may use: MHz of CPU, and MB of memory.");
    text.line(6, "resources {\n  cpu    = 100\n  memory = 128\n}");
    text.line(4, "}");
    text.line(2, "}");
    text.line(0, "}");
    text.out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_a_job_that_can_be_read() {
        let works = [
            Work::Image,
            Work::Program("exec", Program::Redis),
            Work::Program("raw_exec", Program::Python),
            Work::Program("raw_exec", Program::Shell),
        ];
        for work in works {
            for short in [true, false] {
                let text = job(work, short);
                let source = nomadd_jobspec::Source { name: "example.nomad.hcl", text: &text };
                let parsed = nomadd_jobspec::parse(source, &nomadd_jobspec::Options::default()).unwrap();
                assert_eq!(parsed.job.id.as_deref(), Some("example"), "{text}");
                assert!(text.contains("count = 1"));
                assert_eq!(text.contains('#'), !short);
                assert!(!text.contains("\n\n\n") && !text.contains(" \n"), "{text}");
            }
        }
    }
}
