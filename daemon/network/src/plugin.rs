//! One call of a CNI plugin: the program, its environment, its input, and its answer, bounded in size and time.
//!
//! A plugin that hangs is killed with everything that it started. Called by `chain` and `fingerprint`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

/// How long a plugin may work: iptables waits for its lock, addresses may come from DHCP.
pub const LIMIT: Duration = Duration::from_secs(60);
/// An answer is never that long, in bytes.
const LONGEST_ANSWER: usize = 1 << 20;
/// How much of what a plugin complains is read, in bytes.
const LONGEST_COMPLAINT: usize = 16 << 10;
/// How much of that is shown.
const SHOWN: usize = 1000;
/// Where plugins find iptables and the like, whatever the agent was started with.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A port of the host that leads into the namespace, in CNI's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    /// The port on the host.
    #[serde(rename = "hostPort")]
    pub host_port: u16,
    /// The port inside.
    #[serde(rename = "containerPort")]
    pub container_port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The host's address; every one of its own when it is empty.
    #[serde(rename = "hostIP", default, skip_serializing_if = "String::is_empty")]
    pub host_ip: String,
}

/// What a plugin is called for.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// `ADD` or `DEL`.
    pub command: &'a str,
    /// Who is connected.
    pub container: &'a str,
    /// The namespace's path; empty when it is gone.
    pub namespace: &'a Path,
    /// The device inside.
    pub interface: &'a str,
    /// `KEY=VALUE;…`.
    pub arguments: &'a str,
    /// Where plugins are, for those that call others.
    pub path: &'a str,
}

/// Why a plugin did not do what it was called for.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// It is nowhere.
    #[error("the CNI plugin {name:?} is missing; looked for in {searched}")]
    Missing {
        /// The plugin.
        name: String,
        /// The folders.
        searched: String,
    },
    /// It could not be started or spoken to.
    #[error("cannot run the CNI plugin {}", program.display())]
    System {
        /// The program.
        program: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// It took too long.
    #[error("the CNI plugin {} was killed: it took more than {} s", program.display(), limit.as_secs())]
    Slow {
        /// The program.
        program: PathBuf,
        /// How long it had.
        limit: Duration,
    },
    /// It answers without end.
    #[error("the CNI plugin {} was killed: its answer is longer than {LONGEST_ANSWER} bytes", program.display())]
    Endless {
        /// The program.
        program: PathBuf,
    },
    /// It says so itself.
    #[error("the CNI plugin {name:?} failed: {message}")]
    Failed {
        /// The plugin.
        name: String,
        /// In its words.
        message: String,
    },
    /// Its answer is none.
    #[error("the CNI plugin {name:?} answered what is no result: {reason}")]
    Nonsense {
        /// The plugin.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

/// Where a plugin is: the first of the folders that has it.
pub fn find(folders: &[PathBuf], name: &str) -> Result<PathBuf, PluginError> {
    let found = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| PluginError::Missing { name: name.to_owned(), searched: search_path(folders) })
}

/// Folders as `CNI_PATH` has them.
pub fn search_path(folders: &[PathBuf]) -> String {
    folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(":")
}

/// Calls a plugin; its answer.
pub async fn call(program: &Path, call: &Call<'_>, input: &Value, limit: Duration) -> Result<Vec<u8>, PluginError> {
    let Call { command, container, namespace, interface, arguments, path } = call;
    let mut process = Command::new(program);
    process
        .env("CNI_COMMAND", command)
        .env("CNI_CONTAINERID", container)
        .env("CNI_NETNS", namespace)
        .env("CNI_IFNAME", interface)
        .env("CNI_ARGS", arguments)
        .env("CNI_PATH", path);
    let Said { success, answer, complaint } = run(process, program, input.to_string().as_bytes(), limit).await?;
    if success {
        return Ok(answer);
    }
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Err(PluginError::Failed { name, message: message(&answer, &complaint) })
}

/// What a program said.
pub struct Said {
    /// Whether it exited with 0.
    pub success: bool,
    /// Its standard output.
    pub answer: Vec<u8>,
    /// The beginning of its standard error.
    pub complaint: Vec<u8>,
}

/// Runs a program to its end with nothing of the agent's environment but what was set.
pub async fn run(mut command: Command, program: &Path, input: &[u8], limit: Duration) -> Result<Said, PluginError> {
    let failed = |source| PluginError::System { program: program.to_owned(), source };
    let own: Vec<_> =
        command.as_std().get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
    command
        .env_clear()
        .envs(own)
        .env("PATH", SEARCH_PATH)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(failed)?;
    let told = tokio::time::timeout(limit, talk(&mut child, input)).await;
    let outcome = match told {
        Err(_) => Err(PluginError::Slow { program: program.to_owned(), limit }),
        Ok(Ok(Some(said))) => return Ok(said),
        Ok(Ok(None)) => Err(PluginError::Endless { program: program.to_owned() }),
        Ok(Err(source)) => Err(failed(source)),
    };
    // With what it started: iptables, other plugins.
    if let Some(group) = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())) {
        let _gone = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    drop(child.kill().await);
    outcome
}

/// `None` when the answer does not end.
async fn talk(child: &mut Child, input: &[u8]) -> io::Result<Option<Said>> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(stdout), Some(mut stderr)) = (stdin, stdout, stderr) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let tell = async move {
        // One that does not read its input may still have an answer.
        drop(stdin.write_all(input).await);
        drop(stdin.shutdown().await);
    };
    let mut answer = Vec::new();
    let hear = async {
        let read = stdout.take(LONGEST_ANSWER as u64 + 1).read_to_end(&mut answer).await?;
        Ok::<bool, io::Error>(read <= LONGEST_ANSWER)
    };
    let ((), complete, complaint) = tokio::join!(tell, hear, beginning(&mut stderr));
    if !complete? {
        return Ok(None);
    }
    let status = child.wait().await?;
    Ok(Some(Said { success: status.success(), answer, complaint: complaint? }))
}

/// Reads everything and keeps the beginning.
async fn beginning(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let (mut kept, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(kept);
        }
        let room = LONGEST_COMPLAINT.saturating_sub(kept.len()).min(read);
        kept.extend_from_slice(&buffer[..room]);
    }
}

/// Why it failed, in CNI's form (`msg`, `details`) or else as it was written; one line.
fn message(answer: &[u8], complaint: &[u8]) -> String {
    let value: Option<Value> = serde_json::from_slice(answer).ok();
    let text = |key: &str| value.as_ref().and_then(|value| value[key].as_str()).unwrap_or_default().trim().to_owned();
    let (message, details) = (text("msg"), text("details"));
    let whole = match (message.is_empty(), details.is_empty()) {
        (false, false) => format!("{message}: {details}"),
        (false, true) => message,
        _ if complaint.is_empty() => String::from_utf8_lossy(answer).into_owned(),
        _ => String::from_utf8_lossy(complaint).into_owned(),
    };
    let line: String =
        whole.trim().chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(SHOWN).collect();
    if line.is_empty() { "it gave no reason".to_owned() } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_failure_is_one_line() {
        for (answer, complaint, expected) in [
            (r#"{"code":11,"msg":"no address","details":"all\ntaken"}"#, "", "no address: all taken"),
            (r#"{"msg":"no address"}"#, "noise", "no address"),
            ("", "panic:\nx", "panic: x"),
            ("strange", "", "strange"),
            ("", "", "it gave no reason"),
        ] {
            assert_eq!(message(answer.as_bytes(), complaint.as_bytes()), expected);
        }
    }

    #[tokio::test]
    async fn a_program_that_hangs_or_never_stops_talking_is_killed() {
        let run_shell = async |script: &str, limit| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", script]);
            run(command, Path::new("/bin/sh"), b"x", limit).await.err().map(|error| error.to_string())
        };
        let slow = run_shell("sleep 1000 & sleep 1000", Duration::from_millis(50)).await.unwrap();
        assert!(slow.contains("took more than"), "{slow}");
        let endless =
            run_shell("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done", LIMIT).await.unwrap();
        assert!(endless.contains("longer than"), "{endless}");
        assert_eq!(run_shell("cat >/dev/null", LIMIT).await, None);
    }
}
