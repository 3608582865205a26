use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
};

use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};

use super::*;

struct Gateway {
    directory: TempDir,
    offer: Offer,
    address: SocketAddr,
}

impl Gateway {
    fn path(&self) -> PathBuf {
        self.directory.path().join("handover")
    }

    async fn ask(&self) -> Result<Option<(Predecessor, Listening)>, HandoverError> {
        Predecessor::ask(&self.path()).await
    }

    async fn refusal(&self, asked: Message) -> String {
        let stream = UnixStream::connect(self.path()).await.expect("connected");
        wire::send(&stream, &asked, &[]).await.expect("sent");
        match wire::receive(&stream).await.expect("an answer") {
            Some((Message::Refused(reason), sockets)) if sockets.is_empty() => reason,
            other => panic!("{other:?}"),
        }
    }
}

/// A gateway with so many plain sockets on one port, one for TLS, and one for the admin side.
fn running(plain: usize) -> Gateway {
    let directory = tempfile::tempdir().expect("a directory");
    let bind = || TcpListener::bind("127.0.0.1:0").expect("bound");
    let first = bind();
    let address = first.local_addr().expect("bound");
    let more = (1..plain).map(|_| first.try_clone().expect("a duplicate")).collect::<Vec<_>>();
    let plain = std::iter::once(first).chain(more).collect();
    let listening = Listening { proxy: Sockets { plain, tls: vec![bind()] }, admin: vec![bind()] };
    let offer = Offer::open(&directory.path().join("handover"), listening).expect("offered");
    Gateway { directory, offer, address }
}

fn counts(listening: &Listening) -> [usize; 3] {
    [listening.proxy.plain.len(), listening.proxy.tls.len(), listening.admin.len()]
}

#[tokio::test]
async fn connections_that_wait_are_accepted_by_the_successor() {
    let mut old = running(2);
    let waiting = TcpStream::connect(old.address).expect("connected");
    let (predecessor, listening) = old.ask().await.expect("passed").expect("somebody");
    assert_eq!(counts(&listening), [2, 1, 1]);
    assert_eq!(predecessor.process, std::process::id());

    let path = old.path();
    let yields = async {
        let successor = old.offer.taken().await;
        assert_eq!(successor.address, "10.0.0.1:80");
        old.offer.close().await;
        assert!(!path.exists());
        successor.closed().await.expect("told");
    };
    let (confirmed, ()) = tokio::join!(predecessor.ready("10.0.0.1:80"), yields);
    confirmed.expect("confirmed");
    // The old one's sockets are closed by now, and what waited in them is still there.
    let (_, peer) = listening.proxy.plain[0].accept().expect("accepted");
    assert_eq!(peer, waiting.local_addr().expect("connected"));
}

#[tokio::test]
async fn more_sockets_than_fit_into_a_message() {
    let old = running(150);
    let (_predecessor, listening) = old.ask().await.expect("passed").expect("somebody");
    assert_eq!(counts(&listening), [150, 1, 1]);
}

#[tokio::test]
async fn a_successor_that_fails_costs_nothing() {
    let mut old = running(1);
    for _ in 0..3 {
        let (predecessor, listening) = old.ask().await.expect("passed").expect("somebody");
        let error = old.ask().await.expect_err("one at a time").to_string();
        assert!(error.contains("already"), "{error}");
        drop((predecessor, listening));
        // It is known to have failed when another may try.
        let again = async {
            loop {
                match old.ask().await {
                    Ok(asked) => break asked,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        let (predecessor, _) = timeout(LIMIT, again).await.expect("in time").expect("somebody");
        drop(predecessor);
        while old.ask().await.is_err() {
            tokio::task::yield_now().await;
        }
    }
    assert!(timeout(Duration::ZERO, old.offer.taken()).await.is_err());
    assert!(TcpStream::connect(old.address).is_ok());
}

#[tokio::test]
async fn a_predecessor_that_ends_is_noticed() {
    let old = running(1);
    let (predecessor, listening) = old.ask().await.expect("passed").expect("somebody");
    assert!(timeout(Duration::from_millis(20), predecessor.gone()).await.is_err());
    old.offer.close().await;
    timeout(LIMIT, predecessor.gone()).await.expect("noticed");
    assert!(predecessor.ready("a:1").await.is_err());
    drop(TcpStream::connect(old.address).expect("the successor's sockets live on"));
    drop(listening);
    assert!(TcpStream::connect(old.address).is_err());
}

#[tokio::test]
async fn a_stranger_is_refused_with_a_reason() {
    let old = running(1);
    let stranger = Speaker { protocol: PROTOCOL + 1, version: "9.9.9".to_owned(), process: 1 };
    let reason = old.refusal(Message::Ask(stranger)).await;
    assert!(reason.contains("9.9.9") && reason.contains("stop it"), "{reason}");
    let reason = old.refusal(Message::Ready { address: "a:1".to_owned() }).await;
    assert!(reason.contains("not asked"), "{reason}");

    // Not even a message.
    let stream = UnixStream::connect(old.path()).await.expect("connected");
    let garbage = [&5u32.to_be_bytes()[..], b"hello"].concat();
    stream.writable().await.expect("writable");
    stream.try_write(&garbage).expect("sent");
    let answer = wire::receive(&stream).await.expect("an answer");
    assert!(matches!(&answer, Some((Message::Refused(reason), _)) if reason.contains("understand")), "{answer:?}");
    assert!(old.ask().await.expect("passed").is_some());
}

#[tokio::test]
async fn whoever_does_not_speak_our_language_is_no_predecessor() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("h");
    assert!(Predecessor::ask(&path).await.expect("nobody").is_none());
    let listener = UnixListener::bind(&path).expect("bound");
    let listening = TcpListener::bind("127.0.0.1:0").expect("bound");
    let pipe = UnixStream::pair().expect("a pair").0;
    let sockets = |roles: Vec<Role>| Message::Sockets { roles, more: false, from: Speaker::own() };
    let cases: [(Message, Vec<BorrowedFd<'_>>, &str); 4] = [
        (Message::Refused("it has a cold".to_owned()), vec![], "it has a cold"),
        (Message::Closed, vec![], "it says Closed"),
        (sockets(vec![Role::Plain, Role::Tls]), vec![listening.as_fd()], "1 sockets instead of 2"),
        (sockets(vec![Role::Plain]), vec![pipe.as_fd()], "does not listen"),
    ];
    for (answer, descriptors, expect) in cases {
        let speak = async {
            let (stream, _) = listener.accept().await.expect("accepted");
            drop(wire::receive(&stream).await);
            wire::send(&stream, &answer, &descriptors).await.expect("sent");
        };
        let (asked, ()) = tokio::join!(Predecessor::ask(&path), speak);
        let error = asked.expect_err(expect).to_string();
        assert!(error.contains(expect) && error.contains("keeps serving"), "{error}");
    }
    let closes = async { drop(listener.accept().await) };
    let (asked, ()) = tokio::join!(Predecessor::ask(&path), closes);
    assert!(asked.is_err());
    drop(listener);
    assert!(Predecessor::ask(&path).await.expect("left behind").is_none());
    assert_eq!(
        TcpListener::bind(listening.local_addr().expect("bound")).map_err(|e| e.kind()).err(),
        Some(ErrorKind::AddrInUse)
    );
}
