//! Virtual machines as tasks: a guest of one sector, which greets on its serial line and sleeps.

use nomadd_tests::{Agent, until};
use serde_json::{Value, json};

/// A disk whose boot sector writes a greeting to the first serial port and halts.
fn image() -> Vec<u8> {
    // xor ax,ax; mov ds,ax; mov si,greeting; mov dx,0x3f8; next: lodsb; test al,al; jz sleep; out dx,al; jmp next;
    // sleep: hlt; jmp sleep
    let code = [
        0x31, 0xc0, 0x8e, 0xd8, 0xbe, 0x15, 0x7c, 0xba, 0xf8, 0x03, 0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf8,
        0xf4, 0xeb, 0xfd,
    ];
    let mut sector = [&code[..], b"the guest is up\r\n\0"].concat();
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    sector.resize(64 << 10, 0);
    sector
}

async fn skip(agent: &Agent) -> bool {
    let missing = agent.get("/v1/nodes").await[0]["Drivers"]["qemu"]["Detected"] != true;
    if missing {
        eprintln!("SKIPPED: no qemu-system-x86_64 is here (package qemu-system-x86)");
    }
    missing
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_runs_its_image_answers_on_its_ports_and_is_asked_to_power_down() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("guest.img"), image()).unwrap();
    let place = folder.path().display();
    let agent = Agent::start(
        &["-dev"],
        &format!("plugin \"qemu\" {{\n  config {{\n    image_paths = [\"{place}\"]\n  }}\n}}\n"),
    )
    .await;
    agent.node_ready().await;
    if skip(&agent).await {
        return;
    }
    let job = |name: &str, config: Value| {
        json!({"Job": {"ID": name, "Name": name, "Type": "service", "Datacenters": ["*"], "TaskGroups": [{
            "Name": "g", "Count": 1, "EphemeralDisk": {"SizeMB": 10}, "Update": {"MinHealthyTime": 1},
            "RestartPolicy": {"Attempts": 0, "Mode": "fail"}, "ReschedulePolicy": {"Attempts": 0, "Unlimited": false},
            "Networks": [{"DynamicPorts": [{"Label": "in"}]}],
            "Tasks": [{"Name": "t", "Driver": "qemu", "Config": config, "KillTimeout": 1_500_000_000,
                "LogConfig": {"MaxFiles": 1, "MaxFileSizeMB": 2}, "Resources": {"CPU": 10, "MemoryMB": 32}}]}]}})
    };
    let image = folder.path().join("guest.img").display().to_string();
    let runs = |name: &'static str, graceful: bool| {
        let config = json!({"image_path": image, "accelerator": "tcg", "graceful_shutdown": graceful,
            "args": ["-display", "none"], "port_map": {"in": 22}});
        let text = serde_json::to_string(&job(name, config)).unwrap();
        (name, text)
    };
    for (graceful, (name, text)) in [(true, runs("orderly", true)), (false, runs("abrupt", false))] {
        let file = format!("{name}.json");
        agent.file(&file, &text);
        agent.ctl(&["job", "run", "-detach", "-json", &file]).await.ok();
        let running = |all: &[Value]| all.iter().any(|one| one["ClientStatus"] == "running");
        let all = agent.allocations_until(name, "it runs", running).await;
        let id = all[0]["ID"].as_str().unwrap().to_owned();
        until("the guest has greeted", || async {
            let logs = agent.ctl(&["alloc", "logs", &id]).await;
            if logs.out.contains("the guest is up") { Ok(()) } else { Err(logs) }
        })
        .await;
        let port = &all[0]["AllocatedResources"]["Shared"]["Ports"][0]["Value"];
        let address = format!("127.0.0.1:{port}");
        until("the host's port leads into the machine", || async {
            tokio::net::TcpStream::connect(&address).await.map(drop).map_err(|error| error.to_string())
        })
        .await;
        agent.ctl(&["job", "stop", "-detach", name]).await.ok();
        let ended = |all: &[Value]| all.iter().all(|one| one["ClientStatus"] == "complete");
        let all = agent.allocations_until(name, "it has ended", ended).await;
        let events = all[0]["TaskStates"]["t"]["Events"].as_array().unwrap();
        let last = events.iter().find(|event| event["Type"] == "Terminated").unwrap();
        // This guest does not listen to its power button: only who is asked waits for it.
        let waited = last["DisplayMessage"].as_str().unwrap().contains("did not end within its kill_timeout");
        assert_eq!(waited, graceful, "{name}: {last}");
    }
    let bad = job("bad", json!({"image_path": "/etc/passwd"}));
    agent.file("bad.json", &serde_json::to_string(&bad).unwrap());
    agent.ctl(&["job", "run", "-detach", "-json", "bad.json"]).await.ok();
    let failed = |all: &[Value]| all.iter().any(|one| one["ClientStatus"] == "failed");
    let all = agent.allocations_until("bad", "it has failed", failed).await;
    assert!(
        all[0]["TaskStates"].to_string().contains("neither in the task's folder nor in the agent's image_paths"),
        "{all:?}"
    );
}
