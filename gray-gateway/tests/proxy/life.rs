//! Start and stop.

use std::{sync::Arc, time::Duration};

use gray_gateway::proxy::{AccessLogFormat, AccessLogOptions, ProxyOptions, Stats, start};
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::Notify};

use crate::{
    support::{Backend, Client, Setup, soon, spawn, until},
    wire::read_head,
};

#[tokio::test]
async fn a_port_in_use_is_an_error() {
    let gateway = Setup::new(&[]).start();
    let options = ProxyOptions { workers: 1, ..ProxyOptions::new(gateway.address) };
    let error = start(options.clone(), Arc::clone(&gateway.shared), &Stats::new(1)).expect_err("in use");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&gateway.address.to_string()), "{error}");
    // A successor that is meant to overlap may.
    let successor = ProxyOptions { share_port: true, ..options };
    assert!(start(successor, Arc::clone(&gateway.shared), &Stats::new(1)).is_ok());
}

#[tokio::test]
async fn every_worker_needs_its_counters() {
    let gateway = Setup::new(&[]).start();
    let options = ProxyOptions { workers: 3, ..ProxyOptions::new("127.0.0.1:0".parse().expect("address")) };
    let error = start(options, Arc::clone(&gateway.shared), &Stats::new(2)).expect_err("too few");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn an_access_log_that_cannot_be_opened_is_an_error() {
    let gateway = Setup::new(&[]).start();
    let directory = tempfile::tempdir().expect("directory");
    let log = |path| Some(AccessLogOptions { path, format: AccessLogFormat::Json });
    let options = ProxyOptions { workers: 1, ..ProxyOptions::new("127.0.0.1:0".parse().expect("address")) };
    let start = |options| start(options, Arc::clone(&gateway.shared), &Stats::new(1));

    let taken = ProxyOptions { access_log: log(directory.path().to_owned()), ..options.clone() };
    let error = start(taken).expect_err("a directory").to_string();
    assert!(error.contains(&*directory.path().to_string_lossy()), "{error}");

    let path = directory.path().join("access.log");
    let workers = start(ProxyOptions { access_log: log(path.clone()), ..options }).expect("started");
    assert!(path.exists());
    soon(workers.shutdown(Duration::ZERO)).await;
}

/// A backend that tells when it was asked and answers when it is told.
async fn gated() -> (Backend, Arc<Notify>, Arc<Notify>) {
    let (asked, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&asked), Arc::clone(&answer));
    let backend = Backend::raw(move |mut socket| {
        let (tell, wait) = (Arc::clone(&tell), Arc::clone(&wait));
        async move {
            read_head(&mut socket, &mut Vec::new()).await.expect("a request");
            tell.notify_one();
            wait.notified().await;
            socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await.expect("sent");
        }
    })
    .await;
    (backend, asked, answer)
}

#[tokio::test]
async fn a_shutdown_finishes_what_is_in_flight() {
    let (backend, asked, answer) = gated().await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let address = gateway.address;
    let mut idle = gateway.client().await;
    until("the idle connection is known", || gateway.stats.snapshot().connections == 1).await;
    let mut client = gateway.client().await;
    client.send("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    soon(asked.notified()).await;
    assert_eq!(gateway.stats.snapshot().in_flight, 1);

    let stopped = spawn(gateway.workers.shutdown(Duration::from_secs(10)));
    let refused = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(refused).await;
    assert!(idle.is_closed().await);
    answer.notify_one();
    let response = client.response().await;
    assert_eq!((response.status, response.body.as_str()), (200, "done"));
    assert_eq!(response.header("connection"), Some("close"));
    assert_eq!(soon(stopped).await.expect("joined"), 0);
    assert_eq!(gateway.stats.snapshot().in_flight, 0);
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_ever() {
    let (backend, asked, _never) = gated().await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = gateway.client().await;
    client.send("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    soon(asked.notified()).await;
    assert_eq!(soon(gateway.workers.shutdown(Duration::from_millis(200))).await, 1);
    assert!(client.is_closed().await);
    assert_eq!(gateway.stats.snapshot().in_flight, 0);
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_request() {
    let (backend, asked, _never) = gated().await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = Client::connect(gateway.address).await;
    client.send("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    soon(asked.notified()).await;
    drop(client);
    until("the request is over", || gateway.stats.snapshot().in_flight == 0).await;
    let set = Arc::clone(&gateway.shared.load().services["app"].set);
    until("its load is off", || set.all().endpoints()[0].load().in_flight() == 0).await;
}
