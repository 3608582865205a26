//! Files that are good, bad and changing; handshakes that fail, and what is said about them.

use std::net::Ipv4Addr;

use gray_tls::{Complaint, TlsError};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use self::certificates::{Ca, Pair};
use super::{ServerTls, UpstreamTls};
use crate::scheme::Protocol;

#[path = "../../tests/proxy/certificates.rs"]
pub(crate) mod certificates;

fn load(ca: &Ca, certificate: &str, key: &str) -> Result<ServerTls, TlsError> {
    ServerTls::load(&ca.write("cert.pem", certificate), &ca.write("key.pem", key))
}

#[test]
fn a_bad_file_is_named_with_what_is_wrong() {
    let ca = Ca::new("ca");
    let (good, other) = (ca.sign(&["a"]), ca.sign(&["b"]));
    let Pair { certificate, key } = &good;
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let junk_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let half = &certificate[..certificate.len() / 2];
    for (certificate, key, expect) in [
        ("", &**key, ["--tls-cert ", "cert.pem: no certificate in it (expected a PEM file with BEGIN CERTIFICATE)"]),
        (key, key, ["--tls-cert ", "cert.pem: no certificate in it"]),
        (half, key, ["--tls-cert ", "cert.pem: ends in the middle"]),
        (junk, key, ["--tls-cert ", "cert.pem: the first certificate in it cannot be read"]),
        (certificate, "", ["--tls-key ", "key.pem: no private key in it (expected a PEM file with BEGIN PRIVATE KEY"]),
        (certificate, certificate, ["--tls-key ", "key.pem: no private key in it"]),
        (certificate, junk_key, ["--tls-key ", "key.pem: the private key in it cannot be used"]),
        (certificate, locked, ["--tls-key ", "key.pem: the private key in it has a passphrase"]),
        (certificate, &other.key, ["--tls-key ", "key.pem: is not the key of the first certificate in "]),
    ] {
        let error = load(&ca, certificate, key).expect_err(expect[1]).to_string();
        assert!(error.starts_with(expect[0]) && error.contains(expect[1]), "{error}");
    }
    assert!(load(&ca, certificate, key).is_ok());

    let missing = ca.file().with_file_name("nobody.pem");
    let error = UpstreamTls::new(Some(&missing)).expect_err("missing").to_string();
    assert!(
        error.starts_with("--upstream-ca ") && error.contains("nobody.pem: cannot be read: No such file"),
        "{error}"
    );
    for (content, expect) in [("", "no certificate in it"), (junk, "certificate number 1 in it cannot be read")] {
        let error = UpstreamTls::new(Some(&ca.write("bad.pem", content))).expect_err(expect).to_string();
        assert!(error.contains(expect), "{error}");
    }
}

#[test]
fn only_a_good_change_counts() {
    let ca = Ca::new("ca");
    let (old, new) = (ca.sign(&["old"]), ca.sign(&["new"]));
    let tls = load(&ca, &old.certificate, &old.key).expect("good");
    assert!(!tls.reload().expect("unchanged"));
    ca.write("cert.pem", &new.certificate);
    assert!(tls.reload().is_err(), "only half of the pair is there");
    assert!(tls.reload().is_err(), "still");
    ca.write("key.pem", &new.key);
    assert!(tls.reload().expect("whole"));
    assert!(!tls.reload().expect("unchanged"));

    let (one, other) = (Ca::new("one"), Ca::new("other"));
    let path = one.file();
    let tls = UpstreamTls::new(Some(&path)).expect("good");
    assert!(!tls.reload().expect("unchanged"));
    std::fs::write(&path, "").expect("written");
    assert!(tls.reload().is_err());
    std::fs::copy(other.file(), &path).expect("copied");
    assert!(tls.reload().expect("changed"));
    assert!(!UpstreamTls::default().reload().expect("nothing to follow"));
}

#[test]
fn a_problem_is_reported_once_and_not_while_files_are_being_replaced() {
    let ca = Ca::new("ca");
    let bad = |content| Err(load(&ca, content, "").expect_err("bad"));
    let mut complaint = Complaint::default();
    let mut due = |outcome| complaint.is_due(&outcome);
    assert!(!due(Ok(false)));
    assert!(!due(bad("")), "it may be in the middle of being written");
    assert!(!due(Ok(true)));
    assert_eq!([due(bad("")), due(bad("")), due(bad("")), due(bad(""))], [false, true, false, false]);
    let other = || bad("-----BEGIN CERTIFICATE-----\n");
    assert_eq!([due(other()), due(other()), due(other())], [false, true, false]);
    assert!(!due(Ok(false)));
    assert_eq!([due(other()), due(other())], [false, true]);
}

/// Shakes hands with a peer that does this with the socket, and returns what the log would say.
async fn refused<F>(trusted: &Ca, host: &str, server: impl FnOnce(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
    let address = listener.local_addr().expect("bound");
    let serving = async move { server(listener.accept().await.expect("accepted").0).await };
    let tls = UpstreamTls::new(Some(&trusted.file())).expect("good");
    let socket = TcpStream::connect(address).await.expect("connected");
    let (outcome, ()) = tokio::join!(tls.connect(host, Protocol::Http1, socket), serving);
    outcome.err().map(|error| error.to_string()).unwrap_or_default()
}

#[tokio::test]
async fn the_log_says_in_words_why_there_was_no_handshake() {
    let (ca, stranger) = (Ca::new("ca"), Ca::new("stranger"));
    let past = ca.sign_with(&["localhost"], |params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    for (pair, host, expect) in [
        (ca.sign(&["localhost", "127.0.0.1"]), "127.0.0.1", ""),
        (ca.sign(&["localhost", "127.0.0.1"]), "localhost", ""),
        (ca.sign(&["a", "b"]), "localhost", "its certificate is not for localhost but for "),
        (ca.sign(&["localhost"]), "127.0.0.1", "its certificate is not for 127.0.0.1"),
        (stranger.sign(&["localhost"]), "localhost", "not signed by a CA that is trusted here; --upstream-ca names"),
        (past, "localhost", "its certificate is out of date"),
        (ca.sign(&["localhost"]), "a b", "no certificate can be for a host of this name"),
    ] {
        let acceptor = TlsAcceptor::from(pair.server());
        let text = refused(&ca, host, |socket| async move { drop(acceptor.accept(socket).await) }).await;
        assert!(text.contains(expect) && text.is_empty() == expect.is_empty(), "{text}");
    }
    let plain = refused(&ca, "localhost", |mut socket| async move {
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("sent");
        socket.shutdown().await.expect("closed");
    });
    assert_eq!(plain.await, "it does not speak TLS; is it plain http?");
    let hung_up = refused(&ca, "localhost", |mut socket| async move {
        let mut hello = [0; 16];
        tokio::io::AsyncReadExt::read_exact(&mut socket, &mut hello).await.expect("hello");
        socket.shutdown().await.expect("closed");
        tokio::io::copy(&mut socket, &mut tokio::io::sink()).await.expect("rest");
    });
    assert_eq!(hung_up.await, "it hung up during the TLS handshake");
}
