//! A server that speaks TLS.

use std::{io::Write as _, sync::Arc, time::Duration};

use gray_registry::{Health, Registry as _};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::{health_becomes, text};
use crate::{EurekaOptions, EurekaRegistry, EurekaTls};

#[tokio::test]
async fn a_server_is_believed_by_its_ca_alone() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(gray_tls::provider()).with_safe_default_protocol_versions();
    let config = config.expect("ring has all").with_no_client_auth();
    let config = config.with_single_cert(vec![certified.cert.der().clone()], key).expect("they fit");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let port = listener.local_addr().expect("bound").port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = tokio::task::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(mut socket) = acceptor.accept(socket).await else { continue };
            let mut request = [0; 4096];
            drop(socket.read(&mut request).await);
            let body = text(&[1], "UP_1_");
            let answer =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
            drop(socket.write_all(answer.as_bytes()).await);
            drop(socket.shutdown().await);
        }
    });
    let mut ca = tempfile::NamedTempFile::new().expect("a file");
    ca.write_all(certified.cert.pem().as_bytes()).expect("written");
    let connect = |url: &str, tls: EurekaTls| {
        let mut options = EurekaOptions::new(url, tls).expect("valid");
        options.fetch_interval = Duration::from_millis(50);
        EurekaRegistry::connect(options)
    };
    let url = format!("https://localhost:{port}/eureka");
    let known = connect(&url, EurekaTls::new(Some(ca.path())).expect("a CA"));
    health_becomes(&known, "its CA is known", |health| *health == Health::Up).await;
    for (url, tls, expect) in [
        (url.clone(), EurekaTls::default(), "--eureka-ca"),
        (
            format!("https://127.0.0.1:{port}/eureka"),
            EurekaTls::new(Some(ca.path())).expect("a CA"),
            "not for 127.0.0.1",
        ),
        (format!("http://localhost:{port}/eureka"), EurekaTls::default(), "localhost"),
    ] {
        let told = |health: &Health| matches!(health, Health::Down(reason) if reason.contains(expect));
        health_becomes(&connect(&url, tls), expect, told).await;
    }
    drop(known.watch("user-app"));
    server.abort();
}
