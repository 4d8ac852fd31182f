//! java: a class or an archive of classes, run by the host's Java in a root of its own like exec's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nomadd_supervisor::{ProcessSpec, program};

use crate::isolation::{Isolation, IsolationConfig, Program, key};
use crate::registry::PrepareError;
use crate::schema::{ConfigError, Key, Kind, Reader};
use crate::task::TaskContext;

/// The driver's name.
pub const NAME: &str = "java";

/// What a task's `config` may hold.
pub const KEYS: [Key; 10] = [
    key("class", Kind::Text),
    key("class_path", Kind::Text),
    key("jar_path", Kind::Text),
    key("jvm_options", Kind::Texts),
    key("args", Kind::Texts),
    key("pid_mode", Kind::Text),
    key("ipc_mode", Kind::Text),
    key("cap_add", Kind::Texts),
    key("cap_drop", Kind::Texts),
    key("work_dir", Kind::Text),
];

/// The program that runs classes.
const JAVA: &str = "java";

/// The driver with its configuration checked.
#[derive(Debug)]
pub struct Java {
    isolation: Isolation,
    version: Option<Version>,
}

/// What the host's Java says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Version {
    /// Such as `17.0.9`.
    pub version: String,
    /// Such as `OpenJDK Runtime Environment (build 17.0.9+9-Debian-1deb12u1)`.
    pub runtime: String,
    /// Such as `OpenJDK 64-Bit Server VM (build …)`.
    pub vm: String,
}

impl Java {
    /// Checks the agent's configuration and looks for the host's Java.
    pub fn new(config: &IsolationConfig) -> Result<Self, ConfigError> {
        Ok(Self { isolation: Isolation::new(NAME, config)?, version: detect() })
    }

    /// The host's Java; `None` where it has none.
    pub fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }

    /// The process of a task.
    pub fn prepare(&self, task: TaskContext) -> Result<ProcessSpec, PrepareError> {
        let config = task.config.clone();
        let config = Reader::of(NAME, &KEYS, &config)?;
        let arguments = arguments(&config)?;
        self.isolation.prepare(task, &config, Program { file: JAVA.into(), arguments })
    }
}

/// Nomad's order: options, class path, archive, class, arguments.
fn arguments(config: &Reader<'_>) -> Result<Vec<String>, ConfigError> {
    let (class, class_path, jar) = (config.text("class"), config.text("class_path"), config.text("jar_path"));
    if class.is_empty() && jar.is_empty() {
        return Err(config.error("jar_path", "must be set, or class must be"));
    }
    let mut arguments = config.texts("jvm_options");
    for (flag, value) in [(Some("-cp"), class_path), (Some("-jar"), jar), (None, class)] {
        if !value.is_empty() {
            arguments.extend(flag.map(str::to_owned));
            arguments.push(value);
        }
    }
    arguments.extend(config.texts("args"));
    Ok(arguments)
}

/// The host's Java. What it says in a file beside it is read; one without such a file is started once.
fn detect() -> Option<Version> {
    let path = std::env::var("PATH").ok();
    let java = program::find(JAVA, Path::new("/"), &[], path.as_deref()).ok()?;
    released(&java).or_else(|| {
        let text = told(&java)?;
        spoken(&text)
    })
}

/// What it says when it is asked for its version, if it does so in time.
fn told(java: &Path) -> Option<String> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let mut child = Command::new(java).arg("-version").stdin(Stdio::null()).stderr(Stdio::piped()).spawn().ok()?;
    let begun = Instant::now();
    while child.try_wait().ok()?.is_none() {
        if begun.elapsed() > PATIENCE {
            drop(child.kill());
            drop(child.wait());
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    // Three lines: less than a pipe holds, so it did not wait for us.
    let output = child.wait_with_output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// From `release` in the folder that the program is in.
fn released(java: &Path) -> Option<Version> {
    let home: PathBuf = fs::canonicalize(java).ok()?.parent()?.parent()?.to_owned();
    let text = fs::read_to_string(home.join("release")).ok()?;
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(line.trim().trim_matches('"').to_owned())
    };
    let version = value("JAVA_VERSION")?;
    let build = value("JAVA_RUNTIME_VERSION").unwrap_or_else(|| version.clone());
    let runtime = format!("OpenJDK Runtime Environment (build {build})");
    Some(Version { version, runtime, vm: format!("OpenJDK 64-Bit Server VM (build {build})") })
}

/// From the three lines of `java -version`.
fn spoken(text: &str) -> Option<Version> {
    let mut lines = text.lines().filter(|line| !line.starts_with("Picked up"));
    let version = lines.next()?.split('"').nth(1)?.to_owned();
    let mut line = || lines.next().unwrap_or_default().trim().to_owned();
    Some(Version { version, runtime: line(), vm: line() })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::context;

    fn argv(config: Value) -> Result<Vec<String>, String> {
        let driver = Java { isolation: Isolation::new(NAME, &IsolationConfig::default()).unwrap(), version: None };
        let spec = driver.prepare(context(config)).map_err(|error| error.to_string())?;
        Ok(spec.argv.iter().map(|argument| argument.to_string_lossy().into_owned()).collect())
    }

    #[test]
    fn an_archive_or_a_class_becomes_a_command_line() {
        let config = json!({"jar_path": "local/a.jar", "jvm_options": ["-Xmx5m"], "args": ["x", "y"]});
        assert_eq!(argv(config).unwrap(), ["java", "-Xmx5m", "-jar", "local/a.jar", "x", "y"]);
        let config = json!({"class": "Main", "class_path": "/local/c", "args": "x"});
        assert_eq!(argv(config).unwrap(), ["java", "-cp", "/local/c", "Main", "x"]);
        let error = argv(json!({"args": ["x"]})).unwrap_err();
        assert!(error.ends_with("config key \"jar_path\" of driver \"java\" must be set, or class must be"), "{error}");
    }

    #[test]
    fn what_java_says_of_itself_is_read() {
        let text = "Picked up JAVA_TOOL_OPTIONS: -Dx\nopenjdk version \"17.0.9\" 2023-10-17\nOpenJDK Runtime Environment \
            (build 17.0.9+9)\nOpenJDK 64-Bit Server VM (build 17.0.9+9, mixed mode)\n";
        let found = spoken(text).unwrap();
        assert_eq!(found.version, "17.0.9");
        assert_eq!(found.runtime, "OpenJDK Runtime Environment (build 17.0.9+9)");
        assert!(found.vm.ends_with("mixed mode)"));
        assert_eq!(spoken("nothing"), None);
    }
}
