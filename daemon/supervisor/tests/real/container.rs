//! Tasks with a root of their own. The root is a folder in which the host's `/usr` is bound, as the exec driver makes it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use nomadd_supervisor::container::{
    Access, ContainerSpec, ContainerUser, Device, Init, Mount, Network, NewPrivileges, Pivot, Propagation, Recursion,
    Seccomp, Share, Source,
};
use nomadd_supervisor::start::Again;
use nomadd_supervisor::{Adopted, ExecRequest, Limits, ProcessSpec, Supervisor, TerminalSize, users};
use tokio::io::AsyncReadExt;

use crate::support::{Host, alive, ended, until, within};

/// Whether containers cannot be made here, which is said.
fn skip() -> bool {
    let cannot = nomadd_supervisor::user_id() != 0 || !nomadd_supervisor::mounts_by_descriptor();
    if cannot {
        eprintln!("SKIPPED: containers need root and Linux 5.12");
    }
    cannot
}

/// A shell in a root with the host's programs; the change may turn it into something else.
fn spec(host: &Host, task: &str, script: &str, change: impl FnOnce(&mut ContainerSpec)) -> ProcessSpec {
    let root = host.folder.join(format!("root-{task}"));
    fs::create_dir_all(&root).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
    let mut container = ContainerSpec::new(root);
    for path in ["/bin", "/etc", "/lib", "/lib64", "/sbin", "/usr"].into_iter().filter(|path| Path::new(path).exists())
    {
        container.mounts.push(Mount::bind(path, path, Access::ReadOnly));
    }
    change(&mut container);
    let mut spec = host.spec(task, script);
    (spec.working_directory, spec.container) = ("/".into(), Some(Box::new(container)));
    spec
}

async fn run(host: &Host, script: &str, change: impl FnOnce(&mut ContainerSpec)) -> String {
    let status = ended(&host.direct.start(spec(host, "web", script, change)).await.unwrap()).await;
    let (out, err) = (host.stdout("web"), host.log("web", nomadd_supervisor::logs::Stream::Stderr));
    fs::remove_dir_all(host.folder.join("logs")).unwrap();
    fs::create_dir(host.folder.join("logs")).unwrap();
    assert!(status.is_success(), "{status:?}\n{out}\n{err}");
    assert!(host.cgroups("web").is_empty());
    out
}

#[tokio::test]
async fn a_container_sees_its_root_and_its_own_processes() {
    if skip() {
        return;
    }
    let host = Host::new();
    let script = "echo $$; ls /; ls /proc | grep -c '^[0-9]'; grep -c . /proc/net/dev; ls /dev | tr '\\n' ' '; \
        touch /new /etc/x 2>/dev/null; [ -e /etc/x ] || echo read-only; echo y > /dev/null; head -c 3 /dev/zero | wc -c";
    let out = run(&host, script, |_| ()).await;
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[0], "1", "{out}");
    for name in ["bin", "dev", "etc", "proc", "sys", "usr"] {
        assert!(lines.contains(&name), "{name} in {out}");
    }
    assert!(!lines.contains(&"root") && !lines.contains(&"home"), "{out}");
    let tail = &lines[lines.iter().position(|line| *line == "usr").unwrap() + 1..];
    // The shell, ls and grep.
    assert!(tail[0].parse::<u32>().unwrap() <= 3, "{out}");
    assert_eq!(tail[2], "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero read-only");
    assert_eq!(&tail[3..], ["3"]);
    assert!(host.folder.join("root-web/new").exists(), "the root is the folder");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&*host.folder.to_string_lossy()), "nothing of it is mounted on the host");
}

#[tokio::test]
async fn capabilities_users_and_privileges_are_those_that_were_asked_for() {
    if skip() {
        return;
    }
    let host = Host::new();
    let script = "grep -E '^(Cap(Eff|Bnd|Amb|Inh)|NoNewPrivs|Seccomp):' /proc/self/status; id -u; id -g; id -G";
    let out = run(&host, script, |_| ()).await;
    let usual = "CapInh:\t0000000000000000\nCapEff:\t00000000a80405fb\nCapBnd:\t00000000a80405fb\nCapAmb:\t\
        0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t0\n0\n0\n0\n";
    assert_eq!(out, usual);
    let out = run(&host, script, |container| {
        container.user = ContainerUser { uid: 1, gid: 2, groups: vec![2, 5] };
        container.capabilities = ["CAP_NET_BIND_SERVICE".to_owned(), "CAP_CHOWN".to_owned()].into();
        container.ambient = ["CAP_NET_BIND_SERVICE".to_owned()].into();
        container.new_privileges = NewPrivileges::Deny;
        container.seccomp = Seccomp::Default;
    })
    .await;
    let expected = "CapInh:\t0000000000000400\nCapEff:\t0000000000000400\nCapBnd:\t0000000000000401\nCapAmb:\t\
        0000000000000400\nNoNewPrivs:\t1\nSeccomp:\t2\n1\n2\n2 5\n";
    assert_eq!(out, expected);
}

#[tokio::test]
async fn the_filter_lets_programs_work_and_keeps_them_from_the_kernel() {
    if skip() {
        return;
    }
    let host = Host::new();
    let script = "perl -e 'print \"works\\n\"'; (sleep 0.01 & wait); unshare -U true 2>/dev/null || echo no user namespace; \
        mount -t tmpfs x /tmp 2>/dev/null || echo no mount; mknod /m b 7 0 && ! head -c 1 /m 2>/dev/null && echo no device";
    let out = run(&host, script, |container| container.seccomp = Seccomp::Default).await;
    assert_eq!(out, "works\nno user namespace\nno mount\nno device\n");
}

#[tokio::test]
async fn large_programs_work_under_the_filter() {
    if skip() {
        return;
    }
    let host = Host::new();
    // Threads, processes, sockets, timers, memory maps: what an interpreter and a database take of the kernel.
    let script = r#"
python3 - <<'END'
import asyncio, concurrent.futures, mmap, multiprocessing, os, signal, socket, subprocess, threading, time
def square(x): return x * x
with concurrent.futures.ThreadPoolExecutor(4) as pool: assert sum(pool.map(square, range(9))) == 204
with multiprocessing.get_context("fork").Pool(2) as pool: assert sum(pool.map(square, range(9))) == 204
async def echo():
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    await asyncio.open_connection(*server.sockets[0].getsockname())
    server.close()
asyncio.run(echo())
mmap.mmap(-1, 4096).write(b"x")
assert subprocess.run(["sh", "-c", "exit 3"]).returncode == 3
os.sched_setaffinity(0, os.sched_getaffinity(0)); signal.setitimer(signal.ITIMER_REAL, 0); time.sleep(0.001)
print("python")
END
redis-server --port 0 --unixsocket /r.sock --save '' --appendonly no > /dev/null &
until redis-cli -s /r.sock ping 2> /dev/null | grep -q PONG; do sleep 0.02; done
redis-cli -s /r.sock set a b; redis-cli -s /r.sock bgsave > /dev/null; redis-cli -s /r.sock get a"#;
    let out = run(&host, script, |container| {
        container.seccomp = Seccomp::Default;
        container.new_privileges = NewPrivileges::Deny;
        container.namespaces.network = Network::None;
    })
    .await;
    assert_eq!(out, "python\nOK\nb\n");
}

#[tokio::test]
async fn namespaces_can_be_shared_and_have_names_and_parameters_of_their_own() {
    if skip() {
        return;
    }
    let host = Host::new();
    let script = "hostname; cat /proc/sys/kernel/shmmni /proc/sys/net/ipv4/ip_forward; cat /sys/class/net/lo/flags; \
        ls /sys/class/net | wc -l; cat /proc/self/cgroup | grep -c ':/$'";
    let out = run(&host, script, |container| {
        container.hostname = Some("inside".into());
        container.namespaces.network = Network::None;
        container.sysctl = [("kernel.shmmni".to_owned(), "77".to_owned())].into();
        container.sysctl.insert("net.ipv4.ip_forward".into(), "1".into());
    })
    .await;
    assert!(out.starts_with("inside\n77\n1\n0x9\n1\n"), "{out}");
    let own = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).unwrap().display().to_string();
    let script = "for n in pid ipc uts net mnt; do readlink /proc/self/ns/$n; done";
    let out = run(&host, script, |container| {
        container.namespaces.pid = Share::Host;
        container.namespaces.ipc = Share::Host;
        container.namespaces.uts = Share::Host;
    })
    .await;
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[..4], ["pid", "ipc", "uts", "net"].map(own));
    assert_ne!(lines[4], own("mnt"));
}

#[tokio::test]
async fn mounts_are_what_was_asked_for_and_links_inside_do_not_lead_out() {
    if skip() {
        return;
    }
    let host = Host::new();
    let data = host.folder.join("data");
    fs::create_dir_all(data.join("sub")).unwrap();
    fs::write(data.join("file"), "text\n").unwrap();
    let root = host.folder.join("root-web");
    fs::create_dir_all(&root).unwrap();
    // A hostile root: what it says is /var/run is the host's directory.
    let outside = host.folder.join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, root.join("escape")).unwrap();
    symlink("../../../../../../tmp/up", root.join("up")).unwrap();
    symlink("/etc", data.join("away")).unwrap();
    let script = "cat /a/file; echo x 2>/dev/null > /a/file || echo ro; echo x > /b/new; cat /one; stat -c %a /t; \
        df -k /t | tail -1 | awk '{print $2}'; ls /escape; echo x > /dev/shm/y && df -k /dev/shm | tail -1 | awk '{print $2}'; \
        ls /sys/firmware 2>/dev/null | wc -l; cat /proc/kcore | wc -c; echo 1 2>/dev/null > /proc/sys/vm/swappiness || echo kept";
    let bind = |path: &Path, target: &str, access| Mount::bind(path, target, access);
    let change = |container: &mut ContainerSpec| {
        container.mounts.push(bind(&data, "/a", Access::ReadOnly));
        container.mounts.push(bind(&data, "/b", Access::ReadWrite));
        container.mounts.push(bind(&data.join("file"), "/one", Access::ReadOnly));
        container.mounts.push(bind(&data, "/escape", Access::ReadWrite));
        let source = Source::Tmpfs { size: Some(1 << 20), mode: 0o1770, uid: 0, gid: 0 };
        container.mounts.push(Mount { source, ..bind(Path::new("/"), "/t", Access::ReadWrite) });
        container.shm_size = 2 << 20;
    };
    // The link that leads out means a place inside, which is not there: no mount, and nothing outside is touched.
    let error = within(host.direct.start(spec(&host, "web", script, change))).await.unwrap_err();
    assert!(error.chain().contains("at /escape"), "{}", error.chain());
    assert_eq!(error.again(), Again::Pointless);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    let inside = root.join(outside.strip_prefix("/").unwrap());
    fs::create_dir_all(&inside).unwrap();
    let out = run(&host, script, change).await;
    assert_eq!(out, "text\nro\ntext\n1770\n1024\naway\nfile\nnew\nsub\n2048\n0\n0\nkept\n");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert!(data.join("new").exists());
    // What a job names in its own directory stays in there.
    let source = Source::BindBeneath { directory: data.clone(), path: "away".into() };
    let beneath = |container: &mut ContainerSpec| {
        container.mounts.push(Mount { source, ..bind(Path::new("/"), "/c", Access::ReadOnly) });
    };
    let error = within(host.direct.start(spec(&host, "web", "true", beneath))).await.unwrap_err();
    assert!(error.chain().contains("data/away at /c"), "{}", error.chain());
}

#[tokio::test]
async fn a_read_only_root_a_device_and_a_working_directory_are_made() {
    if skip() {
        return;
    }
    let host = Host::new();
    let change = |container: &mut ContainerSpec| {
        container.root_access = Access::ReadOnly;
        container.devices = vec![Device { host: "/dev/zero".into(), target: "/dev/nothing".into() }];
        container.pivot = Pivot::Chroot;
    };
    let script = "pwd; touch x 2>/dev/null || echo ro; head -c 2 /dev/nothing | wc -c";
    let mut spec = spec(&host, "web", script, change);
    spec.working_directory = "/srv/here".into();
    assert!(ended(&host.direct.start(spec).await.unwrap()).await.is_success());
    assert_eq!(host.stdout("web"), "/srv/here\nro\n2\n");
}

#[tokio::test]
async fn later_mounts_pass_as_the_propagation_says() {
    if skip() {
        return;
    }
    let host = Host::new();
    let data = host.folder.join("data");
    fs::create_dir_all(data.join("late")).unwrap();
    let mount = |arguments: &[&str]| {
        assert!(std::process::Command::new(arguments[0]).args(&arguments[1..]).status().unwrap().success());
    };
    let (place, late) = (data.to_str().unwrap(), data.join("late"));
    // A mount that is shared, as hosts with systemd have them.
    mount(&["mount", "--bind", place, place]);
    mount(&["mount", "--make-shared", place]);
    let change = |container: &mut ContainerSpec| {
        for (target, propagation) in [("/s", Propagation::HostToTask), ("/p", Propagation::Private)] {
            let source = Source::Bind { path: data.clone(), recursion: Recursion::Below };
            container.mounts.push(Mount { propagation, source, ..Mount::bind("/", target, Access::ReadWrite) });
        }
    };
    let script = "while [ ! -e /s/late/come ]; do sleep 0.01; done; ls /p/late | wc -l";
    let handle = host.direct.start(spec(&host, "web", script, change)).await.unwrap();
    mount(&["mount", "-t", "tmpfs", "x", late.to_str().unwrap()]);
    fs::write(late.join("come"), "").unwrap();
    let status = ended(&handle).await;
    mount(&["umount", late.to_str().unwrap()]);
    mount(&["umount", place]);
    assert!(status.is_success(), "{status:?}");
    assert_eq!(host.stdout("web"), "0\n");
}

#[tokio::test]
async fn a_program_is_found_inside_and_one_that_is_not_there_is_named() {
    if skip() {
        return;
    }
    let host = Host::new();
    let with = |program: &str| {
        let mut spec = spec(&host, "web", "echo found", |container| container.search = vec!["/local".into()]);
        spec.program = program.into();
        spec
    };
    let local = host.folder.join("root-web/local/folder");
    fs::create_dir_all(&local).unwrap();
    symlink("/bin/sh", local.parent().unwrap().join("mine")).unwrap();
    fs::write(local.join("plain"), "x").unwrap();
    fs::write(local.join("script"), "#!/no/interpreter\n").unwrap();
    fs::set_permissions(local.join("script"), fs::Permissions::from_mode(0o755)).unwrap();
    for program in ["sh", "/bin/sh", "mine"] {
        assert!(ended(&host.direct.start(with(program)).await.unwrap()).await.is_success(), "{program}");
    }
    for (program, expected) in [
        ("/no/such", "command \"/no/such\" not found inside the task's root"),
        ("nosuch", "command \"nosuch\" not found inside the task's root: in none of PATH=/usr/bin:/bin"),
        ("folder/plain", "/local/folder/plain is not executable: its mode has no x bit"),
        ("folder", "/local/folder is not executable: it is a directory"),
        ("folder/script", "/local/folder/script cannot be executed: the interpreter or loader it names does not exist"),
    ] {
        let error = host.refusal(with(program)).await;
        assert_eq!((error.chain().as_str(), error.again()), (expected, Again::Pointless));
    }
    let mut spec = with("sh");
    spec.container.as_mut().unwrap().root = "/no/such/root".into();
    let error = host.refusal(spec).await;
    assert!(error.chain().starts_with("cannot open the root /no/such/root"), "{}", error.chain());
}

fn request(argv: &[&str], terminal: Option<TerminalSize>) -> ExecRequest {
    ExecRequest {
        argv: argv.iter().map(|text| (*text).to_owned()).collect(),
        terminal,
        env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
        working_directory: "/nowhere/on/the/host".into(),
        user: None,
    }
}

#[tokio::test]
async fn commands_run_inside_with_the_containers_rights_also_after_the_daemon_came_back() {
    if skip() {
        return;
    }
    let host = Host::new();
    let nobody = users::lookup("nobody").unwrap();
    let change = |container: &mut ContainerSpec| {
        container.user = ContainerUser { uid: nobody.uid, gid: nobody.gid, groups: Vec::new() };
        container.hostname = Some("inside".into());
    };
    let mut spec = spec(&host, "web", "echo up; while :; do sleep 0.1; done", change);
    spec.working_directory = "/work".into();
    let handle = host.direct.start(spec).await.unwrap();
    let script = "hostname; pwd; id -u; ls -d /root 2>/dev/null; tr '\\0' ' ' < /proc/1/cmdline; grep CapBnd /proc/self/status; \
        grep -c : /proc/self/cgroup; exit 5";
    let again = host.again();
    let Adopted::Running(adopted) = again.direct.adopt(&Host::id("web"), &host.state("web")).await.unwrap() else {
        panic!("it runs");
    };
    for handle in [&handle, &adopted] {
        let mut session = within(handle.exec(request(&["sh", "-c", script], None))).await.unwrap();
        let mut out = String::new();
        within(session.stdout.read_to_string(&mut out)).await.unwrap();
        let expected = format!("inside\n/work\n{}\nsh -c echo up", nobody.uid);
        assert!(out.starts_with(&expected), "{out}");
        assert!(out.contains("00000000a80405fb"), "{out}");
        assert_eq!(within(session.control.wait()).await.exit_code, 5);
    }
    let error = within(handle.exec(request(&["nosuch"], None))).await.unwrap_err();
    assert!(error.to_string().contains("command \"nosuch\" not found inside"), "{error}");
    // A signal to the session reaches the command, and a terminal is one.
    let size = Some(TerminalSize { rows: 31, columns: 92 });
    let mut session =
        within(handle.exec(request(&["sh", "-c", "tty -s && stty size; sleep 1000"], size))).await.unwrap();
    let mut first = [0; 7];
    within(session.stdout.read_exact(&mut first)).await.unwrap();
    assert_eq!(&first, b"31 92\r\n");
    session.control.signal(libc::SIGTERM).unwrap();
    let exit = within(session.control.wait()).await;
    assert_eq!(exit.exit_code, 128 + libc::SIGTERM);
    let pid = handle.pid().unwrap();
    within(adopted.destroy()).await;
    assert!(!alive(pid));
}

#[tokio::test]
async fn a_small_init_passes_signals_on_and_reaps_and_a_task_as_init_ends_all() {
    if skip() {
        return;
    }
    let host = Host::new();
    let script = "(sleep 0.01 &); trap 'echo got; exit 4' TERM; echo $$; while :; do sleep 0.02; done";
    let start = spec(&host, "web", script, |container| container.init = Init::Small);
    let handle = host.direct.start(start).await.unwrap();
    until("the trap is set", || !host.stdout("web").is_empty()).await;
    handle.stop(libc::SIGTERM, std::time::Duration::from_secs(50)).await.unwrap();
    let status = ended(&handle).await;
    assert_eq!((status.exit_code, status.timed_out), (4, false), "{status:?}");
    assert_eq!(host.stdout("web"), "2\ngot\n");
    let handle = host.direct.start(spec(&host, "two", "setsid sleep 1000 & exec sleep 1000", |_| ())).await.unwrap();
    handle.stop(libc::SIGTERM, std::time::Duration::from_millis(50)).await.unwrap();
    let status = ended(&handle).await;
    assert_eq!((status.exit_code, status.signal), (137, 9));
    assert!(host.members("two").is_empty());
}

#[tokio::test]
async fn memory_of_a_container_is_limited_and_counted() {
    if skip() {
        return;
    }
    let host = Host::new();
    if host.skip_without_cgroups() {
        return;
    }
    let mut spec = spec(&host, "web", "exec perl -e '$x = \"a\" x 100_000_000'", |_| ());
    spec.limits = Limits { memory_bytes: Some(32 << 20), cpu_shares: 100, ..Limits::default() };
    let status = ended(&host.direct.start(spec).await.unwrap()).await;
    assert!(status.oom_killed && status.exit_code == 137, "{status:?}");
}

#[tokio::test]
async fn a_container_cannot_write_to_the_binary_that_started_it() {
    if skip() {
        return;
    }
    let host = Host::new();
    // Process 1 is ours here: root in the container sees its file, and may not even look into it.
    let script = "cat /proc/1/exe > /dev/null 2>&1 || echo hidden; { echo > /proc/1/exe; } 2>/dev/null || echo kept";
    let out = run(&host, script, |container| container.init = Init::Small).await;
    assert!(out.ends_with("kept\n"), "{out}");
    // And what it would get hold of is a mount that can only be read, also when no process of ours runs any more.
    let handle = host.direct.start(spec(&host, "web", "sleep 1000", |_| ())).await.unwrap();
    let read_only = |pid: i32| {
        let path = std::ffi::CString::new(format!("/proc/{pid}/exe")).unwrap();
        // SAFETY: statvfs is plain data for which zero is valid; both pointers are to live values.
        unsafe {
            let mut found: libc::statvfs = std::mem::zeroed();
            assert_eq!(libc::statvfs(path.as_ptr(), &mut found), 0);
            found.f_flag & libc::ST_RDONLY != 0
        }
    };
    assert!(read_only(crate::stop::executor_of(&host, "web")));
    within(handle.destroy()).await;
    let handle = host.start("plain", "sleep 1000").await;
    assert!(!read_only(crate::stop::executor_of(&host, "plain")), "a task of the host needs no such care");
    within(handle.destroy()).await;
}

#[tokio::test]
async fn a_process_of_the_host_can_have_mounts_of_its_own() {
    if skip() {
        return;
    }
    let host = Host::new();
    let (data, place) = (host.folder.join("data"), host.folder.join("place"));
    fs::create_dir_all(&data).unwrap();
    fs::create_dir_all(&place).unwrap();
    let mut spec = host.spec("web", &format!("echo x > {}/new; sleep 1000", place.display()));
    spec.mounts = vec![Mount::bind(&data, &place, Access::ReadWrite)];
    let handle = host.direct.start(spec).await.unwrap();
    until("it is written", || data.join("new").exists()).await;
    assert!(!place.join("new").exists(), "only the task sees the mount");
    let mut session =
        within(handle.exec(ExecRequest { working_directory: place.clone(), ..request(&["ls"], None) })).await.unwrap();
    let mut out = String::new();
    within(session.stdout.read_to_string(&mut out)).await.unwrap();
    assert_eq!(out, "new\n");
    within(handle.destroy()).await;
}

/// Not a test: prints figures.
#[tokio::test]
#[ignore = "prints figures"]
async fn bench_containers() {
    let host = Host::new();
    let mut starts = Vec::new();
    for number in 0..100 {
        let spec = spec(&host, "web", "exec true", |container| container.seccomp = Seccomp::Default);
        let begun = std::time::Instant::now();
        let handle = host.direct.start(spec).await.unwrap();
        starts.push(begun.elapsed().as_secs_f64() * 1e3);
        ended(&handle).await;
        assert!(number < 100);
    }
    starts.sort_by(f64::total_cmp);
    println!("container: start to running, one at a time, p50 {:.2} ms, p99 {:.2} ms", starts[50], starts[98]);
}
