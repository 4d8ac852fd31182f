//! HTTPS against a small listener: whom the client trusts, what it presents, and the sentence for each way to get it wrong.

#![expect(clippy::unwrap_used, reason = "a test that cannot make certificates or listen has failed")]

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use nomadd_api::{Client, Request, Tls, TlsError, TlsSettings, Verification};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

/// A CA, and files signed by it.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// Until when a certificate is good.
#[derive(Clone, Copy)]
enum Good {
    Long,
    Expired,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
    /// Writes `NAME.pem` and `NAME-key.pem`.
    fn sign(&self, name: &str, names: &[&str], good: Good) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        if let Good::Expired = good {
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}-key.pem")), key.serialize_pem()).unwrap();
    }
    fn trust(&self) -> TlsSettings {
        TlsSettings { ca_cert: Some(self.path("ca.pem")), ..TlsSettings::default() }
    }
    fn presenting(&self, name: &str) -> TlsSettings {
        TlsSettings {
            client_cert: Some(self.path(&format!("{name}.pem"))),
            client_key: Some(self.path(&format!("{name}-key.pem"))),
            ..self.trust()
        }
    }
    /// A server with a certificate, which asks callers for one of `clients`, if any.
    async fn serve(&self, name: &str, clients: Option<&Self>) -> String {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.issuer.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
                builder.with_client_cert_verifier(verifier)
            }
        };
        let chain = vec![CertificateDer::from_pem_file(self.path(&format!("{name}.pem"))).unwrap()];
        let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}-key.pem"))).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(socket).await {
                        answer(stream).await;
                    }
                });
            }
        });
        address
    }
}

/// Answers one request: `/exec` becomes a web socket, all else is `"ok"`.
async fn answer<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(mut stream: S) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    if !head.starts_with("GET /v1/exec") {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n\"ok\"";
        stream.write_all(text.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        return;
    }
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    let text = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    let role = tokio_tungstenite::tungstenite::protocol::Role::Server;
    let mut socket = tokio_tungstenite::WebSocketStream::from_raw_socket(stream, role, None).await;
    let asked = socket.next().await.unwrap().unwrap().into_text().unwrap();
    assert!(asked.contains("tty_size"), "{asked}");
    socket.send(Message::text(r#"{"exited":true,"result":{"exit_code":3}}"#)).await.unwrap();
}

fn client(address: &str, settings: &TlsSettings) -> Client {
    let mut client = Client::new(address.parse().unwrap());
    client.tls = Some(Tls::load(settings).unwrap());
    client
}

async fn ask(address: &str, settings: &TlsSettings) -> Result<String, String> {
    let asked = client(address, settings).call::<String>(Request::get("/v1/x")).await;
    asked.map(|answer| answer.value).map_err(|error| error.to_string())
}

#[tokio::test]
async fn an_agent_is_trusted_by_its_ca_and_name() {
    let authority = Authority::new();
    authority.sign("server", &["server.global.nomad", "127.0.0.1"], Good::Long);
    let address = authority.serve("server", None).await;
    assert_eq!(ask(&address, &authority.trust()).await.unwrap(), "ok");
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(authority.path("ca.pem"), folder.path().join("one.pem")).unwrap();
    let by_folder = TlsSettings { ca_path: Some(folder.path().to_owned()), ..TlsSettings::default() };
    assert_eq!(ask(&address, &by_folder).await.unwrap(), "ok");
    let named = TlsSettings { server_name: Some("server.global.nomad".into()), ..authority.trust() };
    assert_eq!(ask(&address, &named).await.unwrap(), "ok");
    let unchecked = TlsSettings { verification: Verification::Skipped, ..TlsSettings::default() };
    assert_eq!(ask(&address, &unchecked).await.unwrap(), "ok");
}

#[tokio::test]
async fn each_wrong_certificate_names_the_setting_that_mends_it() {
    let authority = Authority::new();
    authority.sign("server", &["server.global.nomad"], Good::Long);
    authority.sign("old", &["127.0.0.1"], Good::Expired);
    let address = authority.serve("server", None).await;
    let request = format!("Get \"{address}/v1/x\": ");
    let check = |got: Result<String, String>, request: &str, expected: &str| {
        let got = got.unwrap_err();
        let rest = got.strip_prefix(request).unwrap_or_else(|| panic!("{got}"));
        assert!(rest.starts_with(expected), "{rest}");
    };
    let strangers = Authority::new();
    check(
        ask(&address, &strangers.trust()).await,
        &request,
        "tls: failed to verify certificate: x509: certificate signed by unknown authority; name the CA of the agent's certificate with -ca-cert or NOMAD_CACERT",
    );
    check(
        ask(&address, &authority.trust()).await,
        &request,
        "tls: failed to verify certificate: x509: certificate is valid for server.global.nomad, not 127.0.0.1; name the agent as its certificate does with -tls-server-name or NOMAD_TLS_SERVER_NAME",
    );
    let old = authority.serve("old", None).await;
    check(
        ask(&old, &authority.trust()).await,
        &format!("Get \"{old}/v1/x\": "),
        "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: it has expired; renew tls.cert_file",
    );
}

#[tokio::test]
async fn a_certificate_that_the_agent_wants_is_presented_or_asked_for() {
    let authority = Authority::new();
    authority.sign("server", &["127.0.0.1"], Good::Long);
    authority.sign("cli", &["cli.global.nomad"], Good::Long);
    let address = authority.serve("server", Some(&authority)).await;
    assert_eq!(ask(&address, &authority.presenting("cli")).await.unwrap(), "ok");
    let without = ask(&address, &authority.trust()).await.unwrap_err();
    assert!(
        without.contains("remote error: tls: certificate required; the agent wants a certificate of its CA: give one with -client-cert and -client-key"),
        "{without}"
    );
    // Of another CA: what the agent says depends on the version of TLS, but it names the setting.
    let strangers = Authority::new();
    strangers.sign("cli", &["cli.global.nomad"], Good::Long);
    let foreign = TlsSettings { ca_cert: authority.trust().ca_cert, ..strangers.presenting("cli") };
    let foreign = ask(&address, &foreign).await.unwrap_err();
    assert!(foreign.contains("remote error: tls: ") && foreign.contains("-client-cert"), "{foreign}");
}

#[tokio::test]
async fn plain_and_encrypted_ports_are_told_apart() {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        // The first caller speaks TLS to a plain port, the second plain HTTP to an encrypted one.
        let replies = [
            "HTTP/1.1 400 Bad Request\r\n\r\n",
            "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
        ];
        for reply in replies {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut asked = [0; 16];
            socket.read_exact(&mut asked).await.unwrap();
            socket.write_all(reply.as_bytes()).await.unwrap();
            socket.shutdown().await.unwrap();
            while socket.read(&mut asked).await.is_ok_and(|count| count > 0) {}
        }
    });
    let encrypted = ask(&format!("https://127.0.0.1:{port}"), &authority.trust()).await.unwrap_err();
    let expected = "http: server gave HTTP response to HTTPS client; the agent does not speak TLS there: use http:// in -address or NOMAD_ADDR";
    assert!(encrypted.contains(expected), "{encrypted}");
    let plain = ask(&format!("http://127.0.0.1:{port}"), &authority.trust()).await.unwrap_err();
    assert_eq!(
        plain,
        "Unexpected response code: 400 (Client sent an HTTP request to an HTTPS server.); use https:// in -address or NOMAD_ADDR"
    );
}

#[tokio::test]
async fn commands_inside_tasks_run_over_tls_as_well() {
    let authority = Authority::new();
    authority.sign("server", &["127.0.0.1"], Good::Long);
    let address = authority.serve("server", None).await;
    let mut session = client(&address, &authority.trust()).exec(Request::get("/v1/exec")).await.unwrap();
    let size = nomadd_api::ExecSize { height: 24, width: 80 };
    session.send(&nomadd_api::ExecInput { stdin: None, tty_size: Some(size) }).await.unwrap();
    let ended = session.next().await.unwrap().unwrap();
    assert_eq!(ended.result.unwrap().exit_code, 3);
    let stranger = client(&address, &Authority::new().trust()).exec(Request::get("/v1/exec")).await.unwrap_err();
    assert!(stranger.to_string().contains("NOMAD_CACERT"), "{stranger}");
}

#[test]
fn settings_that_cannot_be_used_are_told_with_their_file() {
    let authority = Authority::new();
    authority.sign("cli", &["cli.global.nomad"], Good::Long);
    authority.sign("other", &["cli.global.nomad"], Good::Long);
    let check = |settings: TlsSettings, expected: &str| {
        let text = Tls::load(&settings).unwrap_err().to_string();
        assert!(text.starts_with(expected), "{text}");
    };
    let missing = TlsSettings { ca_cert: Some("nope.pem".into()), ..TlsSettings::default() };
    check(missing, "Error loading CA File: open nope.pem: no such file or directory");
    std::fs::write(authority.path("empty.pem"), "nothing").unwrap();
    let empty = TlsSettings { ca_cert: Some(authority.path("empty.pem")), ..TlsSettings::default() };
    assert!(matches!(Tls::load(&empty), Err(TlsError::Ca { .. })));
    let folder = TlsSettings { ca_path: Some("nope".into()), ..TlsSettings::default() };
    check(folder, "Error loading CA Directory: open nope: no such file or directory");
    let half = TlsSettings { client_key: None, ..authority.presenting("cli") };
    check(half, "-client-cert (NOMAD_CLIENT_CERT) and -client-key (NOMAD_CLIENT_KEY) need each other");
    let mixed = TlsSettings { client_key: Some(authority.path("other-key.pem")), ..authority.presenting("cli") };
    assert!(matches!(Tls::load(&mixed), Err(TlsError::Pair { .. })));
    let name = TlsSettings { server_name: Some("no name".into()), ..authority.trust() };
    check(name, "-tls-server-name (NOMAD_TLS_SERVER_NAME) \"no name\" is no DNS name");
}
