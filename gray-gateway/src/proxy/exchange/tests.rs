//! What an exchange leaves behind, however it ends: an instance and a client on real sockets, and a worker of their own.

use gray_core::Instance;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{
    proxy::{bench, request::forwarded::Forwarded},
    scheme::Scheme,
};

/// A request to an instance that answers so and, if it `closes`, is gone then. When the client has seen `seen`, its connection is
/// dropped as it is. Returns how many buffers were made to read into, and how many of them are not lent afterwards.
async fn buffers(answer: &str, closes: bool, seen: &str) -> (usize, usize) {
    let instance = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let edge = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = instance.local_addr().expect("bound").port();
    let worker = Rc::new(bench::worker(&[Instance::new("127.0.0.1", port).with_version("V1")]));
    let mut client = TcpStream::connect(edge.local_addr().expect("bound")).await.expect("connects");
    let (socket, peer) = edge.accept().await.expect("accepted");
    let (state, forwarded) = (worker.state(false), Forwarded::new(peer, Scheme::Http));
    let connection = Connection::new(Rc::clone(&worker), state, forwarded, Socket::Tcp(socket, None));
    let world = async {
        client.write_all(b"GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
        let (mut asked, _) = instance.accept().await.expect("called");
        assert!(asked.read(&mut [0; 1024]).await.expect("asked") > 0);
        asked.write_all(answer.as_bytes()).await.expect("answered");
        let _open = Some(asked).filter(|_| !closes);
        let mut got = Vec::new();
        while !String::from_utf8_lossy(&got).contains(seen) {
            assert!(client.read_buf(&mut got).await.expect("reads") > 0, "{}", String::from_utf8_lossy(&got));
        }
    };
    tokio::select! {
        _ended = connection.run() => panic!("the connection is over before {seen} was seen"),
        () = world => {}
    }
    worker.buffers.made_and_unused()
}

#[tokio::test]
async fn every_buffer_comes_back_however_a_request_ends() {
    for (answer, closes, seen) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole", false, "whole"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart", false, "part"),
        ("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 O", false, "103"),
        ("HTTP/1.1 200 O", true, "502"),
        ("NONSENSE\r\n\r\n", false, "502"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", false, "502"),
    ] {
        let (made, unused) = buffers(answer, closes, seen).await;
        assert!(made > 0 && made == unused, "{made} made, {unused} came back: {answer:?}");
    }
}
