//! Starts that work and starts that fail, each with its own words.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nomadd_supervisor::start::Again;
use nomadd_supervisor::{Rlimit, Supervisor};

use crate::support::{Host, ended, within};

#[tokio::test]
async fn a_task_runs_with_its_arguments_environment_and_directory_and_nothing_else() {
    let host = Host::new();
    let mut spec = host.spec("web", "echo \"$0 $1 $A\"; pwd; umask; ls /proc/self/fd | wc -l; env | sort; ulimit -n");
    spec.argv.extend(["zero".into(), "one\ntwo".into()]);
    spec.env.insert("A".into(), "b c".into());
    spec.umask = 0o027;
    spec.rlimits = vec![Rlimit { number: 7, soft: 100, hard: 200 }];
    let status = ended(&host.direct.start(spec).await.unwrap()).await;
    assert!(status.is_success(), "{status:?}");
    let folder = host.folder.display();
    let expected = format!("zero one\ntwo b c\n{folder}\n0027\n4\nA=b c\nPATH=/usr/bin:/bin\nPWD={folder}\n100\n");
    assert_eq!(host.stdout("web"), expected);
}

#[tokio::test]
async fn exit_codes_and_signals_are_told_as_nomad_counts_them() {
    let host = Host::new();
    for (script, code, signal) in
        [("exit 0", 0, 0), ("exit 7", 7, 0), ("kill -TERM $$", 143, 15), ("kill -9 $$", 137, 9)]
    {
        let handle = host.start("web", script).await;
        let status = ended(&handle).await;
        assert_eq!((status.exit_code, status.signal, status.oom_killed), (code, signal, false), "{script}");
        assert!(status.finished_at >= handle.started_at() && status.error.is_none());
        assert_eq!(ended(&handle).await, status, "every waiter gets the same");
        assert!(host.cgroups("web").is_empty());
    }
}

#[tokio::test]
async fn each_failing_step_of_a_start_has_its_own_words() {
    let host = Host::new();
    let script = host.folder.join("script");
    fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let plain = host.folder.join("plain");
    fs::write(&plain, "text").unwrap();
    let garbage = host.folder.join("garbage");
    fs::write(&garbage, [0x7f, b'E', b'L', b'F', 0, 0]).unwrap();
    fs::set_permissions(&garbage, fs::Permissions::from_mode(0o755)).unwrap();

    let with = |change: &dyn Fn(&mut nomadd_supervisor::ProcessSpec)| {
        let mut spec = host.spec("web", "true");
        change(&mut spec);
        spec
    };
    let check = async |spec, expected: String| {
        let error = host.refusal(spec).await;
        assert_eq!(error.chain(), expected);
        assert_eq!(error.again(), Again::Pointless);
    };
    check(with(&|spec| spec.program = "/no/such".into()), "command /no/such not found".into()).await;
    let text = format!("{} cannot be executed: the interpreter or loader it names does not exist", script.display());
    check(with(&|spec| spec.program = script.clone()), text).await;
    let text = format!("{} is not executable by the task's user", plain.display());
    check(with(&|spec| spec.program = plain.clone()), text).await;
    let text = format!("{} is not a program that this machine runs", garbage.display());
    check(with(&|spec| spec.program = garbage.clone()), text).await;
    let text = "cannot run as the task's user: user \"nobody-at-all\" does not exist on this host";
    check(with(&|spec| spec.user = Some("nobody-at-all".into())), text.into()).await;
    let text = "cannot enter the working directory /no/such: No such file or directory (os error 2)";
    check(with(&|spec| spec.working_directory = "/no/such".into()), text.into()).await;
    let text = "the executor refuses: a zero byte in the command or its environment";
    check(with(&|spec| spec.argv.push("a\0b".into())), text.into()).await;
    check(
        with(&|spec| spec.limits.cores = Some("x".into())),
        "cannot limit the task: \"x\" is not a list of cores like 0-2,7".into(),
    )
    .await;
}

#[tokio::test]
async fn a_missing_log_directory_is_worth_another_try() {
    let host = Host::new();
    let mut spec = host.spec("web", "true");
    spec.log.directory = "/no/such".into();
    let error = host.refusal(spec).await;
    assert_eq!(error.chain(), "cannot open the log files in /no/such: No such file or directory (os error 2)");
    assert_eq!(error.again(), Again::Worthwhile);
}

#[tokio::test]
async fn a_task_runs_as_its_user_with_that_users_groups() {
    let host = Host::new();
    fs::set_permissions(&host.folder, fs::Permissions::from_mode(0o755)).unwrap();
    let mut spec = host.spec("web", "id -u; id -g; id -G; cat /proc/self/oom_score_adj");
    spec.user = Some("daemon".into());
    spec.oom_score_adj = 300;
    assert!(ended(&host.direct.start(spec).await.unwrap()).await.is_success());
    assert_eq!(host.stdout("web"), "1\n1\n1\n300\n");
}

#[tokio::test]
async fn a_large_environment_arrives_whole_and_a_larger_one_is_refused() {
    let host = Host::new();
    let mut spec = host.spec("web", "echo ${#BIG0} ${#BIG7}");
    for number in 0..8 {
        spec.env.insert(format!("BIG{number}"), "x".repeat(100_000));
    }
    assert!(ended(&host.direct.start(spec).await.unwrap()).await.is_success());
    assert_eq!(host.stdout("web"), "100000 100000\n");
    let mut spec = host.spec("web", "true");
    spec.env.insert("BIG".into(), "x".repeat(200_000));
    let error = host.refusal(spec).await;
    assert_eq!(error.to_string(), "the arguments and environment of /bin/sh are longer than the kernel takes");
    let mut spec = host.spec("web", "true");
    for number in 0..50 {
        spec.env.insert(format!("BIG{number}"), "x".repeat(100_000));
    }
    host.refusal(spec).await;
}

#[tokio::test]
async fn what_a_task_leaves_running_ends_with_it() {
    let host = Host::new();
    let script = "setsid sh -c 'sleep 1000 & echo $! ; sleep 1000' & (sleep 1000 & echo $!) ; sleep 0.1";
    let handle = host.start("web", script).await;
    let status = ended(&handle).await;
    assert!(status.is_success(), "{status:?}");
    let left = crate::support::numbers(&host.stdout("web"));
    assert_eq!(left.len(), 2);
    for pid in left {
        assert!(!crate::support::alive(pid));
    }
    assert!(host.cgroups("web").is_empty());
}

#[tokio::test]
async fn destroy_removes_every_trace_of_a_running_task() {
    let host = Host::new();
    if host.skip_without_cgroups() {
        return;
    }
    let handle = host.start("web", "sleep 1000").await;
    assert!(!host.cgroups("web").is_empty() && host.state("web").exists());
    within(handle.destroy()).await;
    assert!(host.cgroups("web").is_empty() && !host.state("web").exists());
    assert!(!crate::support::alive(handle.pid().unwrap()));
    assert!(handle.stats().await.is_err());
}

#[tokio::test]
async fn two_hundred_tasks_end_each_with_its_own_code() {
    let host = Host::new();
    let starts = (0..200).map(|number| {
        let task = format!("t{number}");
        let spec = host.spec(&task, &format!("exit {}", number % 100));
        async {
            let handle = host.direct.start(spec).await.unwrap();
            ended(&handle).await.exit_code
        }
    });
    let codes = within(join_all(starts)).await;
    assert_eq!(codes, (0..200).map(|number| number % 100).collect::<Vec<_>>());
}

/// All at once, without another dependency.
pub async fn join_all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut pending: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut waiting = false;
        for (future, done) in &mut pending {
            if done.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *done = Some(value),
                    std::task::Poll::Pending => waiting = true,
                }
            }
        }
        if waiting { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    pending.into_iter().filter_map(|(_, done)| done).collect()
}
