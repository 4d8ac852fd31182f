//! Other programs' view of the API: Nomad's own Go client drives a real agent (`compat/go`).
//!
//! Where Go is absent or too old the test says that it was skipped; with `CI=true` it is required.

use std::path::Path;
use std::process::Command;

use nomadd_tests::Agent;

/// The oldest Go that the client builds with.
const GO: (u32, u32) = (1, 26);

/// The installed Go's version, when there is one.
fn go_version() -> Option<(u32, u32)> {
    let output = Command::new("go").args(["env", "GOVERSION"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut parts = text.trim().strip_prefix("go")?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?))
}

#[tokio::test(flavor = "multi_thread")]
async fn nomads_go_client_drives_every_endpoint() {
    match go_version() {
        Some(found) if found >= GO => {}
        found => {
            let seen = found.map_or("no Go".to_owned(), |(major, minor)| format!("Go {major}.{minor}"));
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{seen} is installed; CI needs Go {}.{}", GO.0, GO.1);
            println!("skipped: {seen} is installed; Nomad's API client needs Go {}.{}", GO.0, GO.1);
            return;
        }
    }
    let agent = Agent::dev().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("compat/go");
    let mut command = tokio::process::Command::new("go");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("NOMAD_")) {
        command.env_remove(name);
    }
    let output = command
        .args(["test", "-count=1", "-mod=readonly", "./..."])
        .current_dir(folder)
        .env("NOMAD_ADDR", agent.address())
        .kill_on_drop(true)
        .output()
        .await
        .expect("go runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}\nlog of the agent:\n{}", agent.log());
    assert!(!agent.log().contains("panicked"), "the agent panicked:\n{}", agent.log());
}
