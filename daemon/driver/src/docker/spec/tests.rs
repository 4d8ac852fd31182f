//! What tasks and images come to, without an image: the root is an empty folder.

use std::path::PathBuf;

use nomadd_supervisor::container::DEFAULT_SHM_SIZE;
use serde_json::{Value, json};

use super::*;
use crate::testing::context;

struct Given {
    config: Value,
    image: ImageConfig,
    settings: DockerConfig,
    change: Box<dyn Fn(&mut TaskContext)>,
}

fn given(config: Value) -> Given {
    Given { config, image: ImageConfig::default(), settings: DockerConfig::default(), change: Box::new(|_| ()) }
}

impl Given {
    fn process(mut self) -> Result<ProcessSpec, String> {
        let folder = std::env::temp_dir().join(format!("nomadd-spec-{}-{:p}", std::process::id(), &self));
        let root = folder.join("root");
        std::fs::create_dir_all(&root).unwrap();
        self.config["image"] = json!("x");
        if self.config.get("command").is_none() && self.image.cmd.is_empty() {
            self.config["command"] = json!("/bin/true");
        }
        let config = Reader::of("docker", &keys::KEYS, &self.config).unwrap();
        keys::refuse_absent(&config).map_err(|error| error.to_string())?;
        let store = Store::at(&folder);
        let mut task = context(Value::Null);
        (self.change)(&mut task);
        let helper = Path::new("/no/helper");
        let making = Making {
            settings: &self.settings,
            store: &store,
            helper,
            config: &config,
            image: &self.image,
            root: &root,
        };
        let process = making.process(task).map_err(|error| error.to_string());
        std::fs::remove_dir_all(&folder).unwrap();
        process
    }

    fn container(self) -> ContainerSpec {
        *self.process().unwrap().container.unwrap()
    }
}

#[test]
fn entrypoint_command_and_arguments_are_put_together_as_docker_does() {
    let image = |entrypoint: &[&str], cmd: &[&str]| ImageConfig {
        entrypoint: entrypoint.iter().map(|word| (*word).to_owned()).collect(),
        cmd: cmd.iter().map(|word| (*word).to_owned()).collect(),
        ..ImageConfig::default()
    };
    let check = |config: Value, of_image: ImageConfig, expected: &[&str]| {
        let spec = Given { image: of_image, ..given(config) }.process().unwrap();
        assert_eq!(spec.argv, expected.iter().map(OsString::from).collect::<Vec<_>>());
    };
    check(json!({}), image(&["/entry"], &["a", "b"]), &["/entry", "a", "b"]);
    check(json!({"args": ["c"]}), image(&["/entry"], &["a"]), &["/entry", "c"]);
    check(json!({"command": "d", "args": ["c"]}), image(&["/entry"], &["a"]), &["/entry", "d", "c"]);
    check(json!({"entrypoint": ["/own", "x"]}), image(&["/entry"], &["a"]), &["/own", "x"]);
    check(json!({"command": "d"}), image(&[], &["a"]), &["d"]);
}

#[test]
fn who_where_and_with_which_variables_comes_from_the_image_unless_the_task_says_it() {
    let image = ImageConfig {
        user: "33:34".into(),
        env: vec!["PATH=/image".into(), "A=image".into(), "KIND=image".into()],
        working_dir: "/srv".into(),
        cmd: vec!["./run".into()],
        ..ImageConfig::default()
    };
    let spec = Given { image: image.clone(), ..given(json!({})) }.process().unwrap();
    assert_eq!((spec.program, spec.working_directory), (PathBuf::from("/srv/./run"), PathBuf::from("/srv")));
    assert_eq!((spec.env["A"].as_str(), spec.env["KIND"].as_str(), spec.env["HOME"].as_str()), ("b", "image", "/"));
    let user = spec.container.unwrap().user;
    assert_eq!((user.uid, user.gid), (33, 34));
    let change = Box::new(|task: &mut TaskContext| task.user = Some("7".into()));
    let spec = Given { image, change, ..given(json!({"work_dir": "/x", "group_add": ["50"]})) }.process().unwrap();
    assert_eq!(spec.working_directory, PathBuf::from("/x"));
    let user = spec.container.unwrap().user;
    assert_eq!((user.uid, user.gid, user.groups), (7, 0, vec![50]));
}

#[test]
fn a_container_is_kept_in_unless_the_task_may_have_it_otherwise() {
    let usual = given(json!({})).container();
    assert_eq!((usual.seccomp, usual.new_privileges), (Seccomp::Default, NewPrivileges::Deny));
    assert!(usual.masked_paths.len() > 5 && usual.shm_size == DEFAULT_SHM_SIZE && usual.capabilities.len() == 13);
    let loose = given(json!({"security_opt": ["seccomp=unconfined", "no-new-privileges:false"], "cap_drop": ["all"]}));
    let loose = loose.container();
    assert_eq!((loose.seccomp, loose.new_privileges), (Seccomp::Off, NewPrivileges::Allow));
    assert!(loose.capabilities.is_empty());
    let settings = DockerConfig { allow_privileged: true, ..DockerConfig::default() };
    let all = Given { settings, ..given(json!({"privileged": true})) }.container();
    assert!(all.privileged == Privileged::Yes && all.capabilities.len() == 41 && all.masked_paths.is_empty());
    let shared = given(json!({"pid_mode": "host", "ipc_mode": "host", "network_mode": "none", "hostname": "me"}));
    let shared = shared.container();
    assert_eq!((shared.namespaces.pid, shared.namespaces.ipc), (Share::Host, Share::Host));
    assert_eq!((shared.namespaces.network, shared.hostname.as_deref()), (Network::None, Some("me")));
}

#[test]
fn limits_and_switches_are_as_the_task_says() {
    let config = json!({"ulimit": {"nofile": "10:20", "core": "0"}, "pids_limit": 50, "memory_hard_limit": 64,
        "cpuset_cpus": "0-1", "oom_score_adj": 5, "init": true, "readonly_rootfs": true, "shm_size": 1000,
        "logging": {"type": "none"}, "devices": [{"host_path": "/dev/zero", "container_path": "/dev/nothing"}]});
    let spec = given(config).process().unwrap();
    let limits: Vec<_> = spec.rlimits.iter().map(|limit| (limit.number, limit.soft, limit.hard)).collect();
    assert_eq!(limits, [(libc::RLIMIT_CORE, 0, 0), (libc::RLIMIT_NOFILE, 10, 20)]);
    assert_eq!((spec.limits.pids, spec.limits.memory_max_bytes), (Some(50), Some(64 << 20)));
    assert_eq!((spec.limits.cores.as_deref(), spec.oom_score_adj, spec.log.disabled), (Some("0-1"), 5, true));
    let container = spec.container.unwrap();
    assert_eq!((container.init, container.root_access, container.shm_size), (Init::Small, Access::ReadOnly, 1000));
    assert_eq!(container.devices[0].target, PathBuf::from("/dev/nothing"));
}

#[test]
fn what_cannot_be_had_is_refused_with_the_reason() {
    let ports = |env: &'static [(&'static str, &'static str)]| {
        Box::new(move |task: &mut TaskContext| {
            task.env.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        })
    };
    for (config, reason) in [
        (json!({"privileged": true}), "set allow_privileged = true"),
        (json!({"cap_add": ["sys_admin"]}), "which the agent's allow_caps does not hold"),
        (json!({"pid_mode": "container:x"}), "\"host\" and \"private\" are known"),
        (json!({"network_mode": "container:x"}), "networks of the group"),
        (json!({"sysctl": {"net.core.somaxconn": "1"}}), "which is the whole host's"),
        (json!({"sysctl": {"net/../../x": "1"}}), "which is the whole host's"),
        (json!({"ulimit": {"files": "1"}}), "there is no such limit"),
        (json!({"ulimit": {"nofile": "2:1"}}), "the soft limit is above the hard one"),
        (json!({"devices": [{"host_path": "/etc/shadow"}]}), "both must be below /dev"),
        (json!({"devices": [{"host_path": "/dev/no-such"}]}), "which this host does not have"),
        (json!({"hostname": "a b"}), "a host's name is up to 64"),
        (json!({"ports": ["http"]}), "the group's network has no such port"),
        (json!({"pids_limit": -1}), "must not be negative"),
        (json!({"tty": true}), "is not supported for the task itself"),
        (json!({"runtime": "kata"}), "this agent runs containers itself"),
        (json!({"storage_opt": {"size": "1G"}}), "roots are overlays"),
        (json!({"security_opt": ["seccomp=/x.json"]}), "known are no-new-privileges"),
        (json!({"logging": {"type": "syslog"}}), "names the log driver \"syslog\""),
        (json!({"mac_address": "x"}), "leave it out"),
    ] {
        let error = given(config).process().unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
    let mapped = |inside: i32| {
        let change = ports(&[("NOMAD_HOST_PORT_db", "3306")]);
        Given { change, ..given(json!({"port_map": {"db": inside}})) }.process()
    };
    assert!(mapped(3306).is_ok());
    assert!(mapped(80).unwrap_err().contains("use network { mode = \"bridge\" } with to = 80"));
    let own = Given {
        change: Box::new(|task| {
            task.network.namespace = Some("/run/netns/x".into());
            task.env.insert("NOMAD_HOST_PORT_db".into(), "3306".into());
        }),
        ..given(json!({"port_map": {"db": 80}, "sysctl": {"net.core.somaxconn": "1"}}))
    };
    assert_eq!(own.container().namespaces.network, Network::Path("/run/netns/x".into()));
}
