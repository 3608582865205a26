//! Instances that fail: what is sent twice, what never is, and who is left out.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use gray_core::balance::Outcome;
use http::Method;
use rustix::io::Errno;
use tokio::io::AsyncReadExt as _;

use super::*;

/// Reads a request and hangs up; counts them.
async fn breaks(version: &str) -> (Instance, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    let counter = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&counter);
    spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut some = [0; 1024];
            if socket.read(&mut some).await.is_ok_and(|length| length > 0) {
                count.fetch_add(1, SeqCst);
            }
        }
    });
    (Instance::new("127.0.0.1", port).with_version(version), counter)
}

#[tokio::test]
async fn an_idempotent_call_goes_elsewhere_and_another_fails() {
    let (broken, asked) = breaks("V1").await;
    let client = client(&[broken, stub("V1").await], policy(false, Fallback::Prod));
    for _ in 0..4 {
        assert_eq!(who(&client, None).await, "V1 -");
    }
    let seen = asked.load(SeqCst);
    assert!(seen > 0, "it was asked, and the other one answered");
    let (broken, asked) = breaks("V1").await;
    let client = super::client(&[broken], policy(false, Fallback::Prod));
    let error = client.request(Method::POST, "/echo").body("x").send().await.expect_err("broken off");
    assert!(matches!(error, ClientError::Transport { .. }), "{error}");
    assert_eq!(asked.load(SeqCst), 1, "a POST is not sent twice");
}

#[tokio::test]
async fn what_breaks_is_never_sent_to_another_version() {
    let client = client(&[stub("V1").await, breaks("V2").await.0], policy(true, Fallback::Prod));
    for _ in 0..8 {
        let asking = ReleaseContext::tagged(Some(GrayStatus::Gray)).scope(client.get("/who").send());
        assert!(matches!(asking.await, Err(ClientError::Transport { .. })));
    }
}

#[tokio::test]
async fn who_breaks_off_again_and_again_is_left_out() {
    let (broken, asked) = breaks("V1").await;
    let instances = [broken, stub("V1").await, stub("V1").await];
    let client = client(&instances, policy(false, Fallback::Prod));
    for _ in 0..60 {
        assert_eq!(who(&client, None).await, "V1 -");
    }
    // Five in a row eject it; a trial or two may follow if this takes long.
    assert!((5..=8).contains(&asked.load(SeqCst)), "{asked:?}");
}

/// As the HTTP client says it.
#[derive(Debug, thiserror::Error)]
#[error("tcp connect error")]
struct Dialling(#[source] io::Error);

#[test]
fn what_this_machine_lacks_says_nothing_of_an_instance() {
    let outcome = |error: io::Error| super::super::send::outcome_of_connect(&error);
    for (errno, expect) in [
        (Errno::MFILE, None),
        (Errno::NFILE, None),
        (Errno::NOBUFS, None),
        (Errno::ADDRNOTAVAIL, None),
        (Errno::CONNREFUSED, Some(Outcome::Unreachable)),
        (Errno::HOSTUNREACH, Some(Outcome::Unreachable)),
    ] {
        assert_eq!(outcome(io::Error::other(Dialling(errno.into()))), expect, "{errno}");
    }
    assert_eq!(outcome(io::Error::other("its certificate is not for 10.0.0.7")), Some(Outcome::Unreachable));
}

#[tokio::test]
async fn the_dead_are_asked_once_and_the_fallback_answers_for_a_dead_version() {
    let client = client(&[stub("V1").await, closed("V2").await], policy(true, Fallback::Prod));
    for _ in 0..3 {
        assert_eq!(who(&client, Some(GrayStatus::Gray)).await, "V1 GRAY");
    }
    let view = client.inner.view.load();
    let dead = view.instances.version("V2").expect("listed").endpoints()[0].load().ejection();
    assert!(dead.is_some());
    let strict = super::client(&[stub("V1").await, closed("V2").await], policy(true, Fallback::Fail));
    let asking = ReleaseContext::tagged(Some(GrayStatus::Gray)).scope(strict.get("/who").send());
    assert!(matches!(asking.await, Err(ClientError::Connect { .. })));
}
