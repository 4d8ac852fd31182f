//! A cluster with mutual TLS and encrypted gossip, and strangers at its door: each is refused, and told which setting to change.

use nomadd_tests::lab::{CLIENT, Host, Lab, on_hosts, server_text};
use nomadd_tests::until;

#[test]
fn strangers_are_refused_with_the_setting_that_they_have_wrong() {
    on_hosts(strangers);
}

/// A certificate of the cluster's CA that ends in the second in which it begins, and that second is over: nomadctl makes no
/// such thing.
const EXPIRED: &str = "mkdir -p /tmp/shared/expired && (cd /tmp/shared/expired && \
    printf 'subjectAltName=DNS:client.global.nomad\\nextendedKeyUsage=clientAuth,serverAuth\\n' >names && \
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=client.global.nomad \
      -keyout global-client-nomad-key.pem -out request && \
    openssl x509 -req -in request -CA ../ca/nomad-agent-ca.pem -CAkey ../ca/nomad-agent-ca-key.pem -set_serial 7 -days 0 \
      -extfile names -out global-client-nomad.pem && \
    while openssl x509 -checkend -1 -noout -in global-client-nomad.pem; do sleep 0.1; done) >/dev/null 2>&1";

/// The `tls` block with files of a folder that all hosts see.
fn tls(ca: &str, folder: &str, role: &str) -> String {
    format!(
        "tls {{\n  rpc = true\n  verify_server_hostname = true\n  ca_file = \"/tmp/shared/{ca}/nomad-agent-ca.pem\"\n  cert_file = \"/tmp/shared/{folder}/global-{role}-nomad.pem\"\n  key_file = \"/tmp/shared/{folder}/global-{role}-nomad-key.pem\"\n}}\n"
    )
}

fn client(name: &str, tls: &str) -> String {
    format!("name = \"{name}\"\n{CLIENT}{tls}client {{\n  enabled = true\n  servers = [\"10.77.0.1\"]\n}}\n")
}

fn start(lab: &Lab, name: &str, configuration: &str) -> Host {
    let host = lab.host(name);
    host.file("agent.hcl", configuration);
    host.start("agent", "-config=/tmp/agent.hcl");
    host
}

/// Waits until somebody has logged all these words in one line.
async fn says(host: &Host, words: &[&str]) {
    until(&format!("{} says {words:?}", host.name()), || async {
        let log = host.log("agent");
        let said = log.lines().any(|line| words.iter().all(|word| line.contains(word)));
        if said { Ok(()) } else { Err(log) }
    })
    .await;
}

async fn strangers(lab: Lab) {
    // The first host gets 10.77.0.1, and makes the certificates before its server starts.
    let first = lab.host("s1");
    let make = |folder: &str, command: &str| {
        first.sh(&format!("mkdir -p /tmp/shared/{folder} && (cd /tmp/shared/{folder} && nomadctl {command} 2>&1)"))
    };
    make("ca", "tls ca create");
    make("ca", "tls cert create -server");
    make("ca", "tls cert create -client");
    first.sh(EXPIRED);
    make("foreign", "tls ca create");
    make("foreign", "tls cert create -client");
    let key = make("ca", "operator gossip keyring generate");
    let encrypt = |key: &str| format!("  encrypt = \"{}\"\n", key.trim());
    let secure = tls("ca", "ca", "server");
    first.file("agent.hcl", &server_text("s1", 1, &encrypt(&key), &secure));
    first.start("agent", "-config=/tmp/agent.hcl");
    let _client = start(&lab, "c1", &client("c1", &tls("ca", "ca", "client")));
    let nodes = || async {
        let listed = first.get("/v1/nodes").await?;
        Ok::<_, String>(listed.as_array().map_or(0, Vec::len))
    };
    until("the client with a good certificate is there", || async {
        match nodes().await {
            Ok(1) => Ok(()),
            other => Err(format!("{other:?} {}", first.log("agent"))),
        }
    })
    .await;

    let expired = start(&lab, "c2", &client("c2", &tls("ca", "expired", "client")));
    let foreign = start(&lab, "c3", &client("c3", &tls("ca", "foreign", "client")));
    let bare = start(&lab, "c4", &client("c4", ""));
    says(&expired, &["expired", "tls.cert_file"]).await;
    says(&foreign, &["another CA", "tls.ca_file"]).await;
    says(&bare, &["tls { rpc = true }"]).await;
    assert_eq!(nodes().await, Ok(1), "a stranger became a node");

    // A server with the key of gossip and the certificate of a client: gossip sees it, and it is not taken in.
    let climber = start(&lab, "s7", &server_text("s7", 0, &encrypt(&key), &tls("ca", "ca", "client")));
    until("it answers", || climber.get("/v1/agent/self")).await;
    climber.ctl(&["server", "join", "10.77.0.1"]).await.ok();
    says(&first, &["client.global.nomad", "tls.cert_file"]).await;
    let peers = first.get("/v1/operator/raft/configuration").await.unwrap();
    assert_eq!(peers["Servers"].as_array().unwrap().len(), 1, "{peers}");

    // Servers with another key of gossip, and without one.
    let dropped = || async {
        let shown = first.ctl(&["agent-info"]).await.ok();
        nomadd_tests::ctl::value(&shown, "packets_dropped").parse::<u64>().unwrap()
    };
    let before = dropped().await;
    let other = make("ca", "operator gossip keyring generate");
    let deaf = start(&lab, "s8", &server_text("s8", 0, &encrypt(&other), &secure));
    let open = start(&lab, "s9", &server_text("s9", 0, "", &secure));
    for (stranger, sentence) in [(&deaf, "`encrypt`"), (&open, "set `encrypt`")] {
        until("it answers", || stranger.get("/v1/agent/self")).await;
        let refused = stranger.ctl(&["server", "join", "10.77.0.1"]).await.code(1);
        assert!(refused.err.contains(sentence), "{}", refused.err);
    }
    assert!(dropped().await > before, "what does not open is counted");

    // One with the right key and certificate is taken in, and the key is changed while both run.
    let second = start(&lab, "s2", &server_text("s2", 0, &encrypt(&key), &secure));
    until("it answers", || second.get("/v1/agent/self")).await;
    second.ctl(&["server", "join", "10.77.0.1"]).await.ok();
    until("it is taken in", || async {
        let peers = first.get("/v1/operator/raft/configuration").await?;
        let there = peers["Servers"].as_array().into_iter().flatten().any(|one| one["Node"] == "s2.global");
        if there { Ok(()) } else { Err(peers.to_string()) }
    })
    .await;
    drop(climber);
    until("the climber is known to be gone", || async {
        let members = first.get("/v1/agent/members").await?;
        let members = members["Members"].as_array().unwrap();
        let gone = members.iter().any(|one| one["Name"] == "s7.global" && one["Status"] == "failed");
        if gone { Ok(()) } else { Err(format!("{members:?}")) }
    })
    .await;
    for (operation, key) in [("install", &other), ("use", &other), ("remove", &key)] {
        first.ctl(&["operator", "gossip", "keyring", operation, key.trim()]).await.ok();
    }
    let keys = second.ctl(&["operator", "gossip", "keyring", "list"]).await.ok();
    assert!(keys.contains(other.trim()) && !keys.contains(key.trim()), "{keys}");
    // Who was a stranger has the key now.
    deaf.ctl(&["server", "join", "10.77.0.1"]).await.ok();
}
