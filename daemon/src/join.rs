//! Whom this agent joins: addresses of the configuration, and of commands (`exec:`) that print them.

use std::time::Duration;

use anyhow::Context as _;
use nomadd_config::Join;
use nomadd_gossip::Gossip;
use nomadd_runtime::{Runtime, TaskKind};

/// How long a command that prints addresses may take.
const COMMAND: Duration = Duration::from_secs(20);
/// Before the configured pause a few quick tries: all servers of a cluster are started at about the same time.
const QUICK: Duration = Duration::from_secs(1);
const QUICK_TRIES: u64 = 15;

/// Addresses as they are written, those of commands in place of the command; a port is added where there is none.
pub async fn addresses(written: &[String], port: u16) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for text in written {
        match text.strip_prefix("exec:").or_else(|| text.strip_prefix("exec=")) {
            None => found.push(with_port(text, port)),
            Some(command) => {
                let printed = printed(command).await.with_context(|| format!("{text:?} gives no addresses"))?;
                found.extend(printed.split_whitespace().map(|address| with_port(address, port)));
            }
        }
    }
    Ok(found)
}

async fn printed(command: &str) -> anyhow::Result<String> {
    let run = tokio::process::Command::new("/bin/sh").args(["-c", command]).kill_on_drop(true).output();
    let output = tokio::time::timeout(COMMAND, run)
        .await
        .with_context(|| format!("the command did not end within {} s", COMMAND.as_secs()))??;
    if !output.status.success() {
        anyhow::bail!("the command ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `HOST` or `HOST:PORT` with a port; an IPv6 address may stand alone or in brackets.
pub fn with_port(address: &str, port: u16) -> String {
    if let Ok(ip) = address.trim_matches(['[', ']']).parse::<std::net::IpAddr>() {
        return std::net::SocketAddr::new(ip, port).to_string();
    }
    match address.rsplit_once(':') {
        Some((_, given)) if given.parse::<u16>().is_ok() => address.to_owned(),
        _ => format!("{address}:{port}"),
    }
}

/// Joins once; nobody there is an error.
pub async fn start(gossip: &Gossip, join: &Join, port: u16) -> anyhow::Result<()> {
    if join.start.is_empty() {
        return Ok(());
    }
    let addresses = addresses(&join.start, port).await?;
    let report = gossip.join(&addresses).await;
    if report.joined == 0 {
        let reasons: Vec<String> = report.errors.iter().map(|(_, error)| error.to_string()).collect();
        anyhow::bail!("joined none of the servers of start_join: {}", reasons.join("; "));
    }
    tracing::info!(servers = report.joined, "joined");
    Ok(())
}

/// Tries again and again in a task of its own, until somebody answers or the configured number of tries is over.
pub fn retry(gossip: Gossip, join: Join, port: u16, runtime: &Runtime) {
    if join.retry.is_empty() {
        return;
    }
    let tasks = runtime.tasks.clone();
    let runtime = runtime.clone();
    tasks.spawn(TaskKind::Background, async move {
        let mut tries = 0;
        loop {
            tries += 1;
            let reason = match addresses(&join.retry, port).await {
                Ok(addresses) => {
                    let report = gossip.join(&addresses).await;
                    if report.joined > 0 {
                        tracing::info!(servers = report.joined, "joined");
                        return;
                    }
                    // Only its own address answered: all others are still to come.
                    let reasons: Vec<String> = report.errors.iter().map(|(_, error)| error.to_string()).collect();
                    reasons.join("; ")
                }
                Err(error) => format!("{error:#}"),
            };
            if join.retry_max > 0 && tries >= join.retry_max {
                tracing::error!(tries, %reason, "joined none of the servers of retry_join, and retry_max is reached: the agent ends");
                runtime.tasks.fail();
                return;
            }
            let configured = join.retry_interval.to_std();
            let pause = if tries <= QUICK_TRIES { QUICK.min(configured) } else { configured };
            tracing::warn!(%reason, pause = pause.as_secs_f64(), "joined none of the servers of retry_join yet");
            tokio::time::sleep(pause + runtime.seeds.jitter(pause / 8)).await;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_added_where_there_is_none() {
        for (written, expected) in [
            ("10.0.0.1", "10.0.0.1:4648"),
            ("10.0.0.1:7", "10.0.0.1:7"),
            ("host", "host:4648"),
            ("host:9", "host:9"),
            ("::1", "[::1]:4648"),
            ("[::1]", "[::1]:4648"),
            ("[::1]:9", "[::1]:9"),
        ] {
            assert_eq!(with_port(written, 4648), expected);
        }
    }

    #[tokio::test]
    async fn a_command_prints_addresses_and_one_that_fails_says_why() {
        let found = addresses(&["a".into(), "exec:printf '10.0.0.1\\n10.0.0.2:9\\n'".into()], 7).await.unwrap();
        assert_eq!(found, ["a:7", "10.0.0.1:7", "10.0.0.2:9"]);
        let error = addresses(&["exec:echo no network >&2; exit 3".into()], 7).await.unwrap_err();
        assert!(format!("{error:#}").contains("no network"), "{error:#}");
    }
}
