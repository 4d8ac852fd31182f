//! Plugins that fail, hang, talk nonsense or are missing; an agent that ends half-way. The host is clean after each.

use std::time::Duration;

use nomadd_network::{Kept, Mode};

use crate::support::{CLEAN, World, alone, port, request};

/// What a network comes to whose last plugin is this script.
async fn with_portmap(world: &World, script: &str) -> String {
    let folder = world.plugin("portmap", script);
    let mut config = world.config();
    config.plugins.insert(0, folder);
    config.limit = Duration::from_secs(3);
    let networks = world.networks(config);
    let mut wanted = request("a-1", Mode::Bridge);
    wanted.ports = vec![port(28_080, 80)];
    chain(&networks.attach(&wanted).await.unwrap_err())
}

/// An error and its causes.
fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error} | {}", chain(source)),
        None => error.to_string(),
    }
}

#[test]
fn a_plugin_that_fails_half_way_is_said_and_the_rest_is_taken_down() {
    alone(async |world: World| {
        let script = r#"cat >/dev/null; [ "$CNI_COMMAND" = DEL ] && exit 0; echo '{"code":7,"msg":"no more ports","details":"28080"}'; exit 1"#;
        let text = with_portmap(&world, script).await;
        assert!(text.contains("the CNI plugin \"portmap\" failed: no more ports: 28080"), "{text}");
        assert_eq!(world.left(), CLEAN);
    });
}

#[test]
fn a_plugin_that_hangs_or_talks_nonsense_or_without_end_is_said() {
    alone(async |world: World| {
        let on_add = |script: &str| format!("cat >/dev/null; [ \"$CNI_COMMAND\" = DEL ] && exit 0; {script}");
        for (script, expected) in [
            (on_add("sleep 1000"), "took more than 3 s"),
            (on_add("echo yes"), "answered what is no result"),
            (on_add("echo '{}'"), "no address"),
            (on_add("exec cat /dev/zero"), "longer than"),
        ] {
            let text = with_portmap(&world, &script).await;
            assert!(text.contains(expected), "{script}: {text}");
            assert_eq!(world.left(), CLEAN, "{script}");
        }
    });
}

#[test]
fn a_missing_plugin_is_named_with_where_it_was_looked_for() {
    alone(async |world: World| {
        let mut config = world.config();
        config.plugins = vec!["/nowhere/cni".into()];
        let error = world.networks(config).attach(&request("a-1", Mode::Bridge)).await.unwrap_err();
        let text = chain(&error);
        assert!(text.contains("\"bridge\" is missing; looked for in /nowhere/cni"), "{text}");
        assert_eq!(world.left(), CLEAN);
    });
}

#[test]
fn what_an_agent_that_died_half_way_left_is_taken_down_by_the_next() {
    alone(async |world: World| {
        let folder = world.plugin("portmap", r#"cat >/dev/null; [ "$CNI_COMMAND" = DEL ] && exit 0; sleep 1000"#);
        let mut config = world.config();
        config.plugins.insert(0, folder);
        let networks = world.networks(config);
        let wanted = request("a-1", Mode::Bridge);
        {
            let attach = networks.attach(&wanted);
            tokio::pin!(attach);
            let busy = async {
                while !world.left().starts_with("veth=1") {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::select! {
                _ = &mut attach => panic!("it does not hang"),
                () = busy => {}
            }
            // Dropped here, as when the agent dies.
        }
        let later = world.networks(world.config());
        assert_eq!(later.kept("a-1"), Kept::Broken);
        later.detach("a-1").await.unwrap();
        assert_eq!(world.left(), CLEAN);
        let attached = later.attach(&wanted).await.unwrap();
        assert!(!attached.address.is_empty());
        later.detach("a-1").await.unwrap();
        assert_eq!(world.left(), CLEAN);
    });
}
