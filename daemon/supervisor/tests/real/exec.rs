//! Commands beside a task.

use std::collections::BTreeMap;

use nomadd_supervisor::{ExecRequest, ExecSession, Handle, TerminalSize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Host, alive, ended, until, within};

fn request(host: &Host, script: &str, terminal: Option<TerminalSize>) -> ExecRequest {
    ExecRequest {
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        terminal,
        env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned()), ("A".to_owned(), "b".to_owned())]),
        working_directory: host.folder.clone(),
        user: None,
    }
}

async fn exec(host: &Host, handle: &Handle, script: &str, terminal: Option<TerminalSize>) -> ExecSession {
    within(handle.exec(request(host, script, terminal))).await.unwrap()
}

async fn all(mut stream: nomadd_supervisor::exec::Output) -> String {
    let mut bytes = Vec::new();
    within(stream.read_to_end(&mut bytes)).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

const SIZE: TerminalSize = TerminalSize { rows: 30, columns: 91 };

#[tokio::test]
async fn a_command_without_terminal_has_three_streams_and_a_code() {
    let host = Host::new();
    let task = host.start("web", "sleep 1000").await;
    let mut session = exec(&host, &task, "cat; echo $A >&2; pwd; ls /proc/self/fd | wc -l; exit 3", None).await;
    session.stdin.write_all(b"hello\n").await.unwrap();
    drop(session.stdin);
    assert_eq!(all(session.stdout).await, format!("hello\n{}\n4\n", host.folder.display()));
    assert_eq!(all(session.stderr).await, "b\n");
    assert_eq!(within(session.control.wait()).await.exit_code, 3);
    assert!(task.exit_status().is_none());
    task.destroy().await;
}

#[tokio::test]
async fn a_command_is_in_the_tasks_cgroups_and_ends_with_it() {
    let host = Host::new();
    if host.skip_without_cgroups() {
        return;
    }
    let task = host.start("web", "sleep 1000").await;
    for terminal in [None, Some(SIZE)] {
        let session = exec(&host, &task, "while :; do sleep 0.01; done", terminal).await;
        until("the command is a member", || host.members("web").len() >= 2).await;
        for cgroup in host.cgroups("web") {
            let procs = std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap();
            assert!(procs.lines().count() >= 2, "{}", cgroup.display());
        }
        session.control.signal(libc::SIGTERM).unwrap();
        assert_eq!(within(session.control.wait()).await.exit_code, 143);
    }
    let session = exec(&host, &task, "sleep 1000", None).await;
    task.kill().await.unwrap();
    assert_eq!(within(session.control.wait()).await.signal, 9);
    ended(&task).await;
    assert!(host.cgroups("web").is_empty());
}

#[tokio::test]
async fn a_terminal_is_one_with_its_size_and_its_end_of_input() {
    let host = Host::new();
    let task = host.start("web", "sleep 1000").await;
    let script = "stty size; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && tty >/dev/tty; read x; stty size; cat; exit 8";
    let mut session = exec(&host, &task, script, Some(SIZE)).await;
    let mut seen = String::new();
    let mut chunk = [0; 256];
    while seen.matches('\n').count() < 2 {
        let count = within(session.stdout.read(&mut chunk)).await.unwrap();
        seen.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
    }
    assert!(seen.starts_with("30 91\r\n/dev/pts/"), "{seen:?}");
    session.control.resize(TerminalSize { rows: 5, columns: 6 }).unwrap();
    session.stdin.write_all(b"x\n").await.unwrap();
    session.stdin.shutdown().await.unwrap();
    let rest = all(session.stdout).await;
    assert!(rest.contains("5 6\r\n"), "{rest:?}");
    assert_eq!(all(session.stderr).await, "");
    assert_eq!(within(session.control.wait()).await.exit_code, 8);
    task.destroy().await;
}

#[tokio::test]
async fn a_session_that_is_dropped_ends_its_command() {
    let host = Host::new();
    let task = host.start("web", "sleep 1000").await;
    let mut session = exec(&host, &task, "echo $$; sleep 1000", None).await;
    let mut line = [0; 16];
    let count = within(session.stdout.read(&mut line)).await.unwrap();
    let pid = crate::support::numbers(std::str::from_utf8(&line[..count]).unwrap())[0];
    drop(session);
    until("the command is gone", || !alive(pid)).await;
    task.destroy().await;
}

#[tokio::test]
async fn what_cannot_be_run_is_said() {
    let host = Host::new();
    let task = host.start("web", "sleep 1000").await;
    let refuse = async |change: &dyn Fn(&mut ExecRequest)| {
        let mut request = request(&host, "true", None);
        change(&mut request);
        within(task.exec(request)).await.unwrap_err().to_string()
    };
    let text = refuse(&|request| request.argv[0] = "nope".into()).await;
    assert_eq!(text, "command \"nope\" not found: in none of PATH=/usr/bin:/bin");
    assert_eq!(refuse(&|request| request.argv.clear()).await, "the command is empty");
    let text = refuse(&|request| request.user = Some("nobody-at-all".into())).await;
    assert_eq!(text, "user \"nobody-at-all\" does not exist on this host");
    let text = refuse(&|request| request.working_directory = "/no/such".into()).await;
    assert_eq!(text, "cannot start the command: cannot enter /no/such");
    task.destroy().await;
    assert!(matches!(task.exec(request(&host, "true", None)).await, Err(nomadd_supervisor::ExecError::Ended)));
}
