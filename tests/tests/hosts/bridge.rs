//! Groups with a network of their own on a host of its own: ports lead in, loopbacks are apart, the agent dies and comes again,
//! ports are taken, plugins fail; in the end nothing is left.

use nomadd_api::Request;
use nomadd_tests::lab::{Booted, Host, Lab, on_hosts, running};
use nomadd_tests::until;
use serde_json::{Value, json};

const AGENT: &str = "data_dir = \"/tmp/data\"\nserver {\n  enabled = true\n}\nplugin \"raw_exec\" {\n  config {\n    enabled = true\n  }\n}\n";

/// Says a word to whoever connects to an address and port, which are texts that the client interpolates.
fn greeter(address: &str, port: &str, word: &str) -> Value {
    let script = "import socket as s, sys\nl=s.socket(); l.setsockopt(s.SOL_SOCKET,s.SO_REUSEADDR,1)\n\
        l.bind((sys.argv[1], int(sys.argv[2]))); l.listen()\nwhile True:\n  c,_=l.accept(); c.recv(9999); c.sendall(sys.argv[3].encode()); c.close()";
    json!({ "command": "/usr/bin/python3", "args": ["-c", script, address, port, word] })
}

fn group(lab: &Lab, name: &str, network: &Value, config: &Value) -> Value {
    json!({
        "Name": name, "Count": 1, "Networks": [network], "EphemeralDisk": { "SizeMB": 10 },
        "RestartPolicy": { "Attempts": 100, "Mode": "fail", "Interval": 600_000_000_000_u64, "Delay": 500_000_000 },
        "ReschedulePolicy": { "Attempts": 0, "Unlimited": false },
        "Tasks": [{
            "Name": "t", "Driver": "raw_exec", "Config": config, "Env": { "LAB": lab.token() },
            "KillTimeout": 1_000_000_000, "Resources": { "CPU": 50, "MemoryMB": 64 },
            "LogConfig": { "MaxFiles": 1, "MaxFileSizeMB": 1 },
        }],
    })
}

fn job(id: &str, groups: &[Value]) -> Value {
    json!({ "Job": { "ID": id, "Name": id, "Type": "service", "Datacenters": ["*"], "TaskGroups": groups } })
}

async fn boot(lab: &Lab, client: &str) -> Host {
    let host = lab.host("one");
    host.file("agent.hcl", &format!("{AGENT}client {{\n  enabled = true\n{client}}}\n"));
    host.start("agent", "-config=/tmp/agent.hcl");
    until("the node is ready and knows its plugins", || async {
        let nodes = host.get("/v1/nodes").await?;
        let id = nodes[0]["ID"].as_str().ok_or("no node")?.to_owned();
        let node = host.get(&format!("/v1/node/{id}")).await?;
        let known = node["Attributes"]["plugins.cni.version.portmap"].is_string() && node["Status"] == "ready";
        if known { Ok(()) } else { Err(format!("{}: {}", node["Status"], node["Attributes"])) }
    })
    .await;
    host
}

async fn register(host: &Host, job: &Value) {
    let _answer: Value = host.ask(Request::put("/v1/jobs").json(job).unwrap()).await.unwrap();
}

/// The newest allocation of a group of a job, whole, once it is so.
async fn becomes(host: &Host, job: &str, group: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    until(&format!("{job}.{group} {what}"), || async {
        let stubs = host.get(&format!("/v1/job/{job}/allocations")).await?;
        let mut stubs: Vec<Value> = stubs.as_array().cloned().unwrap_or_default();
        stubs.retain(|stub| stub["TaskGroup"] == group);
        stubs.sort_by_key(|stub| stub["CreateIndex"].as_u64());
        let id = stubs.last().and_then(|stub| stub["ID"].as_str()).ok_or("no allocation yet")?;
        let allocation = host.get(&format!("/v1/allocation/{id}")).await?;
        if is_so(&allocation) { Ok(allocation) } else { Err(format!("{}", allocation["TaskStates"])) }
    })
    .await
}

fn runs(allocation: &Value) -> bool {
    allocation["ClientStatus"] == "running"
}

/// What somebody outside of the host hears at its port.
async fn hears(host: &Host, port: u16, word: &str) {
    let url = format!("http://{}:{port}/", host.address());
    until(&format!("{url} says {word}"), || async {
        let asked =
            tokio::process::Command::new("curl").args(["-sS", "--http0.9", "--max-time", "5", &url]).output().await;
        let heard = String::from_utf8_lossy(&asked.unwrap().stdout).into_owned();
        if heard == word { Ok(()) } else { Err(heard) }
    })
    .await;
}

/// What networks of allocations leave on a host; "" when it is clean.
fn left(host: &Host) -> String {
    let lines = [
        "ip -o link show type veth | grep -v ' eth0'",
        "iptables -t nat -S | grep -- --to-destination",
        "iptables -S | grep -E -- '-[sd] 172.26.[0-9.]+/32'",
        "find /run/cni -name '172.*' 2>/dev/null",
        "ls /tmp/data/client/networks 2>/dev/null",
        "grep /networks/ /proc/self/mounts",
    ];
    host.sh(&format!("{{ {}; }} 2>/dev/null; true", lines.join("; ")))
}

async fn clean(host: &Host) {
    until("nothing is left", || async {
        let left = left(host);
        if left.is_empty() { Ok(()) } else { Err(format!("{left}\n{}", host.log("agent"))) }
    })
    .await;
}

async fn stop(host: &Host, job: &str) {
    host.ctl(&["job", "stop", "-detach", job]).await.ok();
}

#[test]
fn groups_on_the_bridge_are_reached_by_their_ports_and_apart_from_each_other() {
    on_hosts(apart);
}

async fn apart(lab: Lab) {
    let host = boot(&lab, "").await;
    let fixed = json!({ "Mode": "bridge", "ReservedPorts": [{ "Label": "http", "Value": 8080, "To": 80 }] });
    let drawn = json!({ "Mode": "bridge", "DynamicPorts": [{ "Label": "http", "To": -1 }] });
    let everywhere = |word: &str| greeter("", "${NOMAD_PORT_http}", word);
    let groups = [
        group(&lab, "fixed", &fixed, &everywhere("first")),
        group(&lab, "drawn", &drawn, &everywhere("second")),
        group(&lab, "inner", &json!({ "Mode": "bridge" }), &greeter("127.0.0.1", "80", "third")),
    ];
    register(&host, &job("web", &groups)).await;
    let first = becomes(&host, "web", "fixed", "runs", runs).await;
    let second = becomes(&host, "web", "drawn", "runs", runs).await;
    let third = becomes(&host, "web", "inner", "runs", runs).await;
    hears(&host, 8080, "first").await;
    let drawn = second["AllocatedResources"]["Shared"]["Ports"][0]["Value"].as_u64().unwrap();
    hears(&host, u16::try_from(drawn).unwrap(), "second").await;

    let address = first["NetworkStatus"]["Address"].as_str().unwrap().to_owned();
    assert!(address.starts_with("172.26.") && first["NetworkStatus"]["InterfaceName"] == "eth0", "{first}");
    let id = |allocation: &Value| allocation["ID"].as_str().unwrap().to_owned();
    let shown = host.ctl(&["alloc", "status", &id(&first)]).await.ok();
    for wanted in ["Allocation Addresses (mode = \"bridge\"):", "10.77.0.1:8080 -> 80"] {
        assert!(shown.contains(wanted), "no {wanted:?} in:\n{shown}");
    }
    let environment = host.ctl(&["alloc", "exec", &id(&first), "/usr/bin/env"]).await.ok();
    for wanted in [
        "NOMAD_PORT_http=80".to_owned(),
        "NOMAD_HOST_PORT_http=8080".to_owned(),
        "NOMAD_ADDR_http=10.77.0.1:8080".to_owned(),
        format!("NOMAD_ALLOC_IP_http={address}"),
        format!("NOMAD_ALLOC_ADDR_http={address}:80"),
        "NOMAD_ALLOC_INTERFACE_http=eth0".to_owned(),
    ] {
        assert!(environment.lines().any(|line| line == wanted), "no {wanted} in:\n{environment}");
    }
    // Each has the port 80 of a loopback of its own.
    for (allocation, word) in [(&first, "first"), (&third, "third")] {
        let ask = ["alloc", "exec", &id(allocation), "/usr/bin/curl", "-sS", "--http0.9", "http://127.0.0.1:80/"];
        assert_eq!(host.ctl(&ask).await.ok(), word);
    }
    let outside = host.run(&["curl", "-sS", "--max-time", "5", "http://127.0.0.1:80/"]).await;
    assert_ne!(outside.code, 0, "{outside:?}");

    // The agent dies; what it set up goes on, and the next one knows it.
    host.kill("agent");
    hears(&host, 8080, "first").await;
    host.start("agent", "-config=/tmp/agent.hcl");
    let again = becomes(&host, "web", "fixed", "runs", runs).await;
    assert_eq!((id(&again), &again["NetworkStatus"]), (id(&first), &first["NetworkStatus"]));
    hears(&host, 8080, "first").await;
    let node = host.get("/v1/nodes").await.unwrap()[0]["ID"].as_str().unwrap().to_owned();
    host.ctl(&["alloc", "restart", &id(&first)]).await.ok();
    hears(&host, 8080, "first").await;
    let node = host.get(&format!("/v1/node/{node}")).await.unwrap();
    let modes: Vec<_> =
        node["NodeResources"]["Networks"].as_array().unwrap().iter().map(|n| n["Mode"].clone()).collect();
    assert!(modes.contains(&json!("bridge")), "{modes:?}");

    stop(&host, "web").await;
    until("it is stopped", || async {
        let real = running(&lab.token(), "web");
        if real.is_empty() { Ok(()) } else { Err(real) }
    })
    .await;
    clean(&host).await;
}

#[test]
fn a_unit_of_systemd_is_in_its_groups_network() {
    on_hosts(unit);
}

async fn unit(lab: Lab) {
    let host = Booted::boot(&lab, "host").await;
    host.start_agent(&AGENT.replace("data_dir = \"/tmp/data\"\n", "client {\n  enabled = true\n}\n")).await;
    let network = json!({ "Mode": "bridge", "ReservedPorts": [{ "Label": "http", "Value": 8080, "To": 80 }] });
    let mut group = group(&lab, "g", &network, &greeter("", "${NOMAD_PORT_http}", "unit"));
    group["Count"] = json!(1);
    until("the job is registered", || async {
        host.ask::<Value>(Request::put("/v1/jobs").json(&job("web", &[group.clone()])).unwrap()).await
    })
    .await;
    let url = format!("http://{}:8080/", host.address());
    until("it is heard", || async {
        let asked = tokio::process::Command::new("curl").args(["-sS", "--http0.9", "--max-time", "5", &url]).output();
        let heard = String::from_utf8_lossy(&asked.await.unwrap().stdout).into_owned();
        if heard == "unit" { Ok(()) } else { Err((heard, host.agent_log().await)) }
    })
    .await;
    assert_eq!(host.units().await.len(), 1);
    let seen =
        host.sh("for n in /lab/own/data/client/networks/*/namespace; do nsenter --net=$n ip -br addr; done").await;
    assert!(seen.contains("172.26."), "{seen}");
    host.kill_agent().await;
    let _stopped: Value = host.ask(Request::delete("/v1/job/web")).await.unwrap();
    until("nothing is left", || async {
        let left = "ip -o link show type veth | grep -v ' eth0'; iptables -t nat -S | grep -- --to-destination; \
            ls /lab/own/data/client/networks; true";
        let left = host.sh(left).await;
        if left.is_empty() { Ok(()) } else { Err((left, host.agent_log().await)) }
    })
    .await;
}

#[test]
fn an_isolated_task_has_the_name_and_the_name_servers_of_its_group() {
    on_hosts(named);
}

async fn named(lab: Lab) {
    let host = boot(&lab, "").await;
    let network = json!({
        "Mode": "bridge", "Hostname": "web-${NOMAD_ALLOC_INDEX}.lan",
        "DNS": { "Servers": ["10.1.2.3"], "Searches": ["example.org"], "Options": ["ndots:2"] },
        "ReservedPorts": [{ "Label": "http", "Value": 8081, "To": 81 }],
    });
    let mut group = group(&lab, "g", &network, &greeter("", "${NOMAD_PORT_http}", "isolated"));
    group["Tasks"][0]["Driver"] = json!("exec");
    register(&host, &job("web", &[group])).await;
    let allocation = becomes(&host, "web", "g", "runs", runs).await;
    hears(&host, 8081, "isolated").await;
    let id = allocation["ID"].as_str().unwrap();
    let address = allocation["NetworkStatus"]["Address"].as_str().unwrap();
    let asked = ["/etc/hosts", "/etc/resolv.conf", "/etc/hostname", "/proc/sys/kernel/hostname"];
    let mut seen = String::new();
    for file in asked {
        seen.push_str(&host.ctl(&["alloc", "exec", id, "/bin/cat", file]).await.ok());
    }
    let own = format!("{address} web-0.lan web-0");
    for wanted in
        [&own, "127.0.0.1 localhost", "nameserver 10.1.2.3", "search example.org", "options ndots:2", "web-0.lan"]
    {
        assert!(seen.lines().any(|line| line == wanted), "no {wanted:?} in:\n{seen}");
    }
    assert_eq!(seen.lines().filter(|line| *line == "web-0.lan").count(), 2, "{seen}");
    assert_eq!(allocation["NetworkStatus"]["DNS"]["Servers"], json!(["10.1.2.3"]));
    stop(&host, "web").await;
    clean(&host).await;
}

#[test]
fn a_port_that_another_program_holds_is_told_before_the_task_starts() {
    on_hosts(taken);
}

async fn taken(lab: Lab) {
    let host = boot(&lab, "").await;
    let holder = "import socket as s, time\nl=s.socket(); l.bind((\"\", 9090)); l.listen(); time.sleep(100000)";
    host.file("holder.py", holder);
    let pid = host.sh("setsid python3 /tmp/holder.py </dev/null >/dev/null 2>&1 & echo $!");
    until("the port is held", || async {
        let held = host.sh("ss -ltnH 'sport = 9090'");
        if held.is_empty() { Err("not yet") } else { Ok(()) }
    })
    .await;
    let network = json!({ "ReservedPorts": [{ "Label": "http", "Value": 9090 }] });
    register(&host, &job("web", &[group(&lab, "g", &network, &greeter("", "${NOMAD_PORT_http}", "mine"))])).await;
    let is_told = |allocation: &Value| {
        let events = allocation["TaskStates"]["t"]["Events"].as_array().cloned().unwrap_or_default();
        events.iter().any(|event| {
            let text = event["DisplayMessage"].as_str().unwrap_or_default();
            event["Type"] == "Setup Failure"
                && text.contains("port 9090 (label \"http\") on 10.77.0.1")
                && text.contains(&format!("process {} (python3)", pid.trim()))
        })
    };
    becomes(&host, "web", "g", "tells who has its port", is_told).await;
    assert!(running(&lab.token(), "web").is_empty());
    // The program ends, and the next try has the port.
    host.sh(&format!("kill {}", pid.trim()));
    becomes(&host, "web", "g", "runs", runs).await;
    hears(&host, 9090, "mine").await;
    stop(&host, "web").await;
}

#[test]
fn a_plugin_that_fails_fails_the_allocation_with_its_words() {
    on_hosts(failing);
}

async fn failing(lab: Lab) {
    let script = "#!/bin/sh\n[ \"$1\" = --version ] && { echo 'CNI portmap plugin v1.1.1'; exit 0; }\ncat >/dev/null\n\
        [ \"$CNI_COMMAND\" = DEL ] && exit 0\necho '{\"code\":99,\"msg\":\"the firewall is closed\"}'\nexit 1\n";
    let plugins = lab.shared().join("cni");
    std::fs::create_dir(&plugins).unwrap();
    std::fs::write(plugins.join("portmap"), script).unwrap();
    std::fs::set_permissions(plugins.join("portmap"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let host = boot(&lab, "  cni_path = \"/tmp/shared/cni:/usr/lib/cni:/opt/cni/bin:/usr/libexec/cni\"\n").await;
    let network = json!({ "Mode": "bridge", "ReservedPorts": [{ "Label": "http", "Value": 8080 }] });
    register(&host, &job("web", &[group(&lab, "g", &network, &greeter("", "80", "never"))])).await;
    let failed = becomes(&host, "web", "g", "fails", |allocation| allocation["ClientStatus"] == "failed").await;
    let events = failed["TaskStates"]["t"]["Events"].as_array().unwrap();
    let event = events.iter().find(|event| event["Type"] == "Setup Failure").unwrap_or_else(|| panic!("{failed}"));
    let text = event["DisplayMessage"].as_str().unwrap();
    assert!(text.contains("\"portmap\" failed: the firewall is closed"), "{text}");
    clean(&host).await;
    // A group without a network is none the worse.
    register(
        &host,
        &job("plain", &[group(&lab, "g", &json!({}), &json!({ "command": "/bin/sleep", "args": ["1000"] }))]),
    )
    .await;
    becomes(&host, "plain", "g", "runs", runs).await;
    stop(&host, "plain").await;
}
