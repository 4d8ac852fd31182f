//! An agent that speaks HTTPS only, with certificates of `nomadctl tls`: who asks it rightly, and what the others are told.

use nomadd_tests::ctl::{Finished, ctl};
use nomadd_tests::{Agent, until};

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_https_is_asked_with_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    for words in
        [&["tls", "ca", "create"][..], &["tls", "cert", "create", "-server"], &["tls", "cert", "create", "-cli"]]
    {
        ctl("http://127.0.0.1:9", words, folder.path()).await.ok();
    }
    let configuration = format!(
        "enable_debug = true\ntls {{\n  http = true\n  verify_https_client = true\n  ca_file = \"{}\"\n  cert_file = \"{}\"\n  key_file = \"{}\"\n}}\n",
        at("nomad-agent-ca.pem"),
        at("global-server-nomad.pem"),
        at("global-server-nomad-key.pem"),
    );
    let mut agent = Agent::prepare(&["-dev"], &configuration);
    agent.spawn();
    let address = agent.address().replace("http://", "https://");
    let (ca, cert, key) = (at("nomad-agent-ca.pem"), at("global-cli-nomad.pem"), at("global-cli-nomad-key.pem"));
    let ask = async |address: &str, words: &[&str], flags: &[&str]| -> Finished {
        let words: Vec<&str> = words.iter().chain(flags).copied().collect();
        ctl(address, &words, agent.path()).await
    };
    let all = ["-ca-cert", &ca, "-client-cert", &cert, "-client-key", &key];
    until("the agent answers over HTTPS", || async {
        let asked = ask(&address, &["node", "status", "-t", "{{range .}}{{.Status}}{{end}}"], &all).await;
        if asked.code == 0 && asked.out.contains("ready") { Ok(()) } else { Err((asked, agent.log())) }
    })
    .await;
    let members = ask(&address, &["server", "members"], &all).await.ok();
    assert!(members.contains("alive"), "{members}");

    let told = async |address: &str, flags: &[&str], expected: &str| {
        let asked = ask(address, &["server", "members"], flags).await.code(1);
        assert!(asked.err.starts_with(&format!("Error querying servers: {expected}")), "{}", asked.err);
    };
    let request = format!("Get \"{address}/v1/agent/members\": ");
    told(
        &address,
        &[],
        &format!(
            "{request}tls: failed to verify certificate: x509: certificate signed by unknown authority; name the CA"
        ),
    )
    .await;
    let wanted = format!("{request}remote error: tls: certificate required; the agent wants a certificate of its CA");
    told(&address, &["-ca-cert", &ca], &wanted).await;
    told(&address, &["-tls-skip-verify"], &wanted).await;
    told(
        &address,
        &["-ca-cert", &ca, "-client-cert", &cert, "-client-key", &key, "-tls-server-name", "server.west.nomad"],
        &format!("{request}tls: failed to verify certificate: x509: certificate is valid for "),
    )
    .await;
    told(
        &agent.address(),
        &[],
        "Unexpected response code: 400 (Client sent an HTTP request to an HTTPS server.); use https:// in -address or NOMAD_ADDR",
    )
    .await;
    let plain = Agent::start(&["-dev"], "").await;
    let spoken = plain.address().replace("http://", "https://");
    let asked = ask(&spoken, &["server", "members"], &all).await.code(1);
    assert!(
        asked.err.contains("the agent does not speak TLS there: use http:// in -address or NOMAD_ADDR"),
        "{}",
        asked.err
    );

    // Streams and web sockets take the same way.
    agent.file(
        "hello.nomad.hcl",
        "job \"hello\" {\n  group \"g\" {\n    task \"t\" {\n      driver = \"raw_exec\"\n      config {\n        command = \"/bin/sleep\"\n        args = [\"1000\"]\n      }\n    }\n  }\n}\n",
    );
    ask(&address, &["job", "run", "hello.nomad.hcl"], &all).await.ok();
    let mut words = vec!["alloc", "exec"];
    words.extend(all);
    words.extend(["-job", "hello", "/bin/sh", "-c", "echo inside; exit 3"]);
    let ran = ctl(&address, &words, agent.path()).await.code(3);
    assert_eq!(ran.out, "inside\n");
    let captured = ask(&address, &["operator", "debug", "-duration=1s", "-interval=1s"], &all).await.ok();
    assert!(captured.contains("Created debug archive: "), "{captured}");
}
