//! Instances that are called over TLS.

use std::io::Write as _;

use gray_tls::provider;

use tempfile::NamedTempFile;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

use super::*;

/// What an instance serves with, and a file by which it is believed.
pub(crate) fn certificate(name: &str) -> (TlsAcceptor, NamedTempFile) {
    let certified = rcgen::generate_simple_self_signed([name.to_owned()]).expect("made");
    let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let config = config.expect("ring has all").with_no_client_auth();
    let config = config.with_single_cert(vec![certified.cert.der().clone()], key).expect("they fit");
    let mut ca = NamedTempFile::new().expect("a file");
    ca.write_all(certified.cert.pem().as_bytes()).expect("written");
    (TlsAcceptor::from(Arc::new(config)), ca)
}

/// Answers every request with the first line of it.
pub(crate) async fn secure(acceptor: TlsAcceptor, version: &str) -> Instance {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(mut socket) = acceptor.accept(socket).await else { continue };
            spawn(async move {
                let mut request = [0; 1024];
                while let Ok(length @ 1..) = socket.read(&mut request).await {
                    let text = String::from_utf8_lossy(&request[..length]).to_string();
                    let line = text.lines().next().unwrap_or_default();
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{line}", line.len());
                    if socket.write_all(answer.as_bytes()).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    Instance::new("127.0.0.1", port).with_version(version).with_metadata("secure", "true")
}

fn believing(instances: &[Instance], ca: Option<&NamedTempFile>) -> GrayClient {
    let view = ServiceView::fixed("user-app", instances, policy(false, Fallback::Prod), Strategy::RoundRobin);
    let builder = GrayClient::builder(view).timeout(LIMIT);
    let builder = if let Some(ca) = ca { builder.upstream_ca(ca.path()) } else { builder };
    builder.build().expect("builds")
}

async fn refused(instances: &[Instance], ca: Option<&NamedTempFile>) -> String {
    let error = believing(instances, ca).get("/who").send().await.expect_err("no handshake");
    assert!(matches!(error, ClientError::Connect { .. }) && error.is_retryable(), "{error}");
    std::error::Error::source(&error).expect("a cause").to_string()
}

#[tokio::test]
async fn what_is_secure_is_called_over_tls_and_beside_what_is_not() {
    let (acceptor, ca) = certificate("127.0.0.1");
    let client = believing(&[secure(acceptor, "V1").await, stub("V1").await], Some(&ca));
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(who(&client, None).await);
    }
    seen.sort();
    assert_eq!(seen, ["GET /who HTTP/1.1", "GET /who HTTP/1.1", "V1 -", "V1 -"]);
}

#[tokio::test]
async fn who_is_not_believed_is_sent_nothing_and_another_answers() {
    let (acceptor, ca) = certificate("127.0.0.1");
    let (elsewhere, other) = certificate("users.example");
    let unknown = refused(&[secure(acceptor.clone(), "V1").await], None).await;
    assert!(unknown.contains("not signed by a CA that is trusted here; --upstream-ca names"), "{unknown}");
    let misnamed = refused(&[secure(elsewhere, "V1").await], Some(&other)).await;
    assert!(misnamed.contains("not for 127.0.0.1"), "{misnamed}");
    let plain = refused(&[stub("V1").await.with_metadata("secure", "true")], Some(&ca)).await;
    assert!(plain.contains("does not speak TLS"), "{plain}");
    let gone = refused(&[closed("V1").await.with_metadata("secure", "true")], Some(&ca)).await;
    assert!(gone.contains("Connection refused"), "{gone}");

    let client = believing(&[secure(acceptor, "V1").await, stub("V1").await], None);
    for _ in 0..3 {
        assert_eq!(who(&client, None).await, "V1 -");
    }
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_a_connect_that_failed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let silent = Instance::new("127.0.0.1", listener.local_addr().expect("bound").port());
    let view = |instances: &[Instance]| {
        ServiceView::fixed("user-app", instances, policy(false, Fallback::Prod), Strategy::RoundRobin)
    };
    let limit = Duration::from_millis(100);
    let built = GrayClient::builder(view(&[silent.with_metadata("secure", "true"), stub("V1").await]));
    let client = built.connect_timeout(limit).timeout(LIMIT).build().expect("builds");
    for _ in 0..2 {
        assert_eq!(who(&client, None).await, "V1 -");
    }
    drop(listener);
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named() {
    let view = ServiceView::fixed("user-app", &[], VersionPolicy::default(), Strategy::RoundRobin);
    let error = GrayClient::builder(view).upstream_ca("/nowhere/ca.pem").build().expect_err("no such file");
    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(cause.starts_with("--upstream-ca /nowhere/ca.pem: cannot be read"), "{cause}");
}
