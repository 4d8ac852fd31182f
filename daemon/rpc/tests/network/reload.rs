//! Certificates that change while agents run, files that are wrong, and HTTPS.

use std::sync::Arc;

use nomadd_rpc::{Class, Https, HttpsClients, Method, NetworkConfig, TlsError, TlsFiles};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::certificates::{Ca, replace};
use crate::harness::{Listening, ask, dial, dialer};

#[tokio::test]
async fn new_connections_use_new_certificates_and_old_ones_stay() {
    let (old, new) = (Ca::new(), Ca::new());
    let (server, client) = (old.server(), old.client());
    let listening = Listening::start(NetworkConfig::with_tls("global", server.clone())).await;
    let network = dialer(NetworkConfig::with_tls("global", client.clone()));
    let before = network.to(&listening.address.to_string(), Class::Calls);
    assert!(ask(&*before).await.is_ok());

    replace(&server, &new.server());
    replace(&client, &new.client());
    listening.network.reload(Some(&server)).unwrap();
    assert!(ask(&*before).await.is_ok(), "an old connection broke");
    let fresh = network.to(&listening.address.to_string(), Class::Bulk);
    let error = ask(&*fresh).await.unwrap_err();
    assert!(error.to_string().contains("issued by another CA"), "{error}");
    network.reload(Some(&client)).unwrap();
    assert!(ask(&*fresh).await.is_ok());
}

#[tokio::test]
async fn files_that_are_wrong_are_named_and_change_nothing() {
    let ca = Ca::new();
    let good = ca.server();
    let listening = Listening::start(NetworkConfig::with_tls("global", good.clone())).await;
    let missing = TlsFiles { ca: ca.path("nope.pem"), ..good.clone() };
    let error = listening.network.reload(Some(&missing)).unwrap_err();
    assert!(matches!(error, TlsError::File { setting: "tls.ca_file", .. }), "{error:?}");
    assert!(error.to_string().contains("nope.pem"), "{error}");
    let empty = TlsFiles { cert: good.key.clone(), ..good.clone() };
    let error = listening.network.reload(Some(&empty)).unwrap_err();
    assert!(error.to_string().contains("holds no certificate"), "{error}");
    let other = TlsFiles { key: ca.client().key, ..good.clone() };
    let error = listening.network.reload(Some(&other)).unwrap_err();
    assert!(matches!(error, TlsError::Unusable { .. }), "{error:?}");
    let none = TlsFiles { key: good.cert.clone(), ..good.clone() };
    let error = listening.network.reload(Some(&none)).unwrap_err();
    assert!(error.to_string().contains("holds no private key"), "{error}");
    let connection = dial(NetworkConfig::with_tls("global", ca.client()), listening.address);
    assert!(connection.call(Method::NodeHeartbeat, Vec::new()).await.is_ok());
}

/// Whether a caller with these certificates, or none, is answered over HTTPS.
async fn https_answers(https: &Https, ca: &TlsFiles, with: Option<&TlsFiles>) -> bool {
    let (near, far) = tokio::io::duplex(1 << 16);
    let acceptor = TlsAcceptor::from(https.config());
    let serve = async move {
        let mut stream = acceptor.accept(far).await?;
        stream.write_all(b"hello").await?;
        stream.shutdown().await
    };
    let mut roots = rustls::RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(&ca.ca).unwrap() {
        roots.add(root.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match with {
        None => builder.with_no_client_auth(),
        Some(files) => builder
            .with_client_auth_cert(
                CertificateDer::pem_file_iter(&files.cert).unwrap().map(Result::unwrap).collect(),
                PrivateKeyDer::from_pem_file(&files.key).unwrap(),
            )
            .unwrap(),
    };
    let call = async move {
        let name = ServerName::try_from("localhost").unwrap();
        let mut text = String::new();
        TlsConnector::from(Arc::new(config)).connect(name, near).await?.read_to_string(&mut text).await?;
        Ok::<_, std::io::Error>(text)
    };
    let (served, called) = tokio::join!(serve, call);
    served.is_ok() && called.is_ok_and(|text| text == "hello")
}

#[tokio::test]
async fn https_asks_for_certificates_where_it_should_and_reloads() {
    let ca = Ca::new();
    let (server, cli) = (ca.server(), ca.issue(&["cli.global.nomad"]));
    let open = Https::new(&server, HttpsClients::Anyone).unwrap();
    assert!(https_answers(&open, &server, None).await);
    let closed = Https::new(&server, HttpsClients::Verified).unwrap();
    assert!(!https_answers(&closed, &server, None).await);
    assert!(https_answers(&closed, &server, Some(&cli)).await);
    let other = Ca::new();
    assert!(!https_answers(&closed, &server, Some(&other.client())).await);
    open.reload(&other.server()).unwrap();
    assert!(!https_answers(&open, &server, None).await);
    assert!(https_answers(&open, &other.server(), None).await);
}
