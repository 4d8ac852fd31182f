//! Job files of the old language, HCL1, which people still have.

use nomadd_tests::{Agent, until};

const FILE: &str = r#"job "old" {
  datacenters = ["dc1"]
  type = "service"
  group "g" {
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/sh"
        args = ["-c", "env; exec sleep 1000"]
      }
      env {
        "OLD_KEY" = "quoted"
      }
      resources {
        cpu = 10,
        memory = 16,
        network {
          mbits = 10
          port "http" {}
        }
      }
    }
  }
}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_the_old_language_runs() {
    let agent = Agent::dev().await;
    agent.file("old.nomad", FILE);
    for flags in [&["job", "run", "-detach", "-hcl1", "old.nomad"][..], &["job", "run", "-detach", "old.nomad"]] {
        agent.ctl(flags).await.ok();
    }
    let all =
        agent.allocations_until("old", "it runs", |all| all.iter().any(|one| one["ClientStatus"] == "running")).await;
    assert_eq!(all.len(), 1, "the second run of the same file changes nothing");
    let id = all[0]["ID"].as_str().unwrap();
    until("the task has printed its environment", || async {
        let logs = agent.ctl(&["alloc", "logs", id]).await;
        let has = |text: &str| logs.out.contains(text);
        if has("OLD_KEY=quoted") && has("NOMAD_PORT_http=") { Ok(()) } else { Err(logs) }
    })
    .await;
}
