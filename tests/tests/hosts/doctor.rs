//! `nomadctl doctor` on a host of its own: without an agent, with one, with a program on its port, with a secret that is open.

use nomadd_tests::lab::{Lab, on_hosts};
use nomadd_tests::until;
use serde_json::Value;

const AGENT: &str = "data_dir = \"/tmp/data\"\nserver {\n  enabled = true\n}\nclient {\n  enabled = true\n}\n";
const DOCTOR: [&str; 2] = ["doctor", "-config=/tmp/agent.hcl"];

#[test]
fn the_doctor_tells_what_is_well_what_is_not_and_how_to_repair_it() {
    on_hosts(doctor);
}

async fn doctor(lab: Lab) {
    let host = lab.host("patient");
    host.file("agent.hcl", AGENT);
    let said = host.ctl(&DOCTOR).await.code(0).out;
    for wanted in [
        "ok       kernel         Linux ",
        "ok       cni            bridges and the plugins for them are there",
        "ok       iptables       iptables v",
        "ok       ports          http 0.0.0.0:4646 is free",
        "ok       configuration  an agent starts with /tmp/agent.hcl",
        "ok       fsync          a synced write to /tmp/data takes ",
        "\n0 problems, ",
    ] {
        assert!(said.contains(wanted), "no {wanted:?} in:\n{said}");
    }
    assert!(!said.contains('\u{1b}'), "colours in a pipe: {said}");

    let pid = host.sh("setsid python3 -m http.server 4646 </dev/null >/dev/null 2>&1 & echo $!");
    until("the port is held", || async {
        let held = host.sh("ss -ltnH 'sport = 4646'");
        if held.is_empty() { Err("not yet") } else { Ok(()) }
    })
    .await;
    let said = host.ctl(&DOCTOR).await.code(1).out;
    let taken = format!("problem  ports          http 0.0.0.0:4646 is taken: process {} (python3)", pid.trim());
    assert!(said.contains(&taken) && said.contains("repair: end that program"), "{said}");
    let json = host.ctl(&[DOCTOR[0], DOCTOR[1], "-json"]).await.code(1).out;
    let answer: Value = serde_json::from_str(&json).unwrap();
    let problems: Vec<&Value> =
        answer["Findings"].as_array().unwrap().iter().filter(|finding| finding["Verdict"] == "problem").collect();
    assert_eq!((problems.len(), &answer["ExitCode"]), (1, &Value::from(1)), "{problems:?}");
    host.sh(&format!("kill {}", pid.trim()));
    until("the port is free", || async {
        let held = host.sh("ss -ltnH 'sport = 4646'");
        if held.is_empty() { Ok(()) } else { Err(held) }
    })
    .await;

    host.start("agent", "-config=/tmp/agent.hcl");
    until("the agent answers", || host.get("/v1/agent/health")).await;
    let said = host.ctl(&DOCTOR).await.code(0).out;
    for port in ["http 0.0.0.0:4646: the agent, process ", "rpc 0.0.0.0:4647: the agent, process "] {
        assert!(said.contains(port), "no {port:?} in:\n{said}");
    }

    host.file("agent.hcl", &AGENT.replace("server {", "server {\n  encrypt = \"cg8StVXbQJ0gPvMd9o7yrg==\""));
    host.sh("chmod 644 /tmp/agent.hcl && chmod 755 /tmp");
    let said = host.ctl(&DOCTOR).await.code(1).out;
    assert!(said.contains("repair: chmod o-rwx /tmp/agent.hcl") && !said.contains("cg8StVXb"), "{said}");
    host.file("agent.hcl", "data_dir = 7\n");
    let said = host.ctl(&DOCTOR).await.code(1).out;
    assert!(said.contains("problem  configuration") && said.contains("agent.hcl:1:"), "{said}");
    let said = host.ctl(&["doctor", "-config=/nowhere"]).await.code(2).out;
    assert!(said.contains("unknown  configuration"), "{said}");
}
