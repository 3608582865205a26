//! Websockets through the gateway, spoken by a client and a server that know the protocol (RFC 6455).

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, accept_async, client_async,
    tungstenite::{
        Message,
        protocol::{
            CloseFrame, Role,
            frame::{
                Frame,
                coding::{CloseCode, Data, OpCode},
            },
        },
    },
};

use crate::support::{Backend, Gateway, Setup, soon, until};

/// Sends every message back, and hangs up with code 4242 when told to.
async fn echo() -> Backend {
    Backend::raw(|socket| async move {
        let Ok(mut socket) = accept_async(socket).await else { return };
        while let Some(Ok(message)) = socket.next().await {
            let answer = match &message {
                Message::Text(text) if text.as_str() == "leave" => {
                    let close = CloseFrame { code: CloseCode::Library(4242), reason: "as you wish".into() };
                    Message::Close(Some(close))
                }
                Message::Text(_) | Message::Binary(_) => message,
                // The library answers pings and closes by itself.
                _ => continue,
            };
            if socket.send(answer).await.is_err() {
                return;
            }
        }
    })
    .await
}

async fn connect(gateway: &Gateway) -> WebSocketStream<TcpStream> {
    let socket = soon(TcpStream::connect(gateway.address)).await.expect("connected");
    let (socket, response) = soon(client_async("ws://shop/api/ws", socket)).await.expect("switched");
    assert_eq!(response.status(), 101);
    socket
}

async fn next(socket: &mut WebSocketStream<TcpStream>) -> Message {
    soon(socket.next()).await.expect("a message").expect("sound")
}

#[tokio::test]
async fn messages_of_every_size_come_back() {
    let backend = echo().await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut socket = connect(&gateway).await;
    for size in [0, 1, 125, 126, 65_535, 65_536, 3_000_000] {
        for message in [Message::text("é".repeat(size / 2)), Message::binary(vec![7; size])] {
            soon(socket.send(message.clone())).await.expect("sent");
            assert!(next(&mut socket).await == message, "{size} bytes");
        }
    }
    soon(socket.send(Message::Ping("are you there?".into()))).await.expect("sent");
    assert_eq!(next(&mut socket).await, Message::Pong("are you there?".into()));
}

#[tokio::test]
async fn fragments_are_put_together_and_pings_may_come_between() {
    let backend = echo().await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut socket = connect(&gateway).await;
    let parts = [
        Frame::message("one ".as_bytes().to_vec(), OpCode::Data(Data::Text), false),
        Frame::message("two ".as_bytes().to_vec(), OpCode::Data(Data::Continue), false),
        Frame::ping("x".as_bytes().to_vec()),
        Frame::message("three".as_bytes().to_vec(), OpCode::Data(Data::Continue), true),
    ];
    for part in parts {
        soon(socket.send(Message::Frame(part))).await.expect("sent");
    }
    assert_eq!(next(&mut socket).await, Message::Pong("x".into()));
    assert_eq!(next(&mut socket).await, Message::text("one two three"));
}

#[tokio::test]
async fn close_codes_pass_in_both_directions() {
    let backend = echo().await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut told = connect(&gateway).await;
    soon(told.send(Message::text("leave"))).await.expect("sent");
    let close = CloseFrame { code: CloseCode::Library(4242), reason: "as you wish".into() };
    assert_eq!(next(&mut told).await, Message::Close(Some(close)));
    assert!(soon(told.next()).await.is_none_or(|end| end.is_err()), "and the connection ends");

    let mut telling = connect(&gateway).await;
    let away = CloseFrame { code: CloseCode::Away, reason: "bye".into() };
    soon(telling.close(Some(away.clone()))).await.expect("sent");
    assert_eq!(next(&mut telling).await, Message::Close(Some(away)), "the other side has read it, and says so");
    drop((told, telling));
    until("all tunnels are closed", || gateway.stats.snapshot().connections == 0).await;
}

#[tokio::test]
async fn many_at_once_keep_their_messages_apart() {
    let backend = echo().await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let talks = (0..30).map(|number| {
        let gateway = &gateway;
        async move {
            let mut socket = connect(gateway).await;
            for turn in 0..20 {
                let message = Message::text(format!("{number}.{turn}"));
                soon(socket.send(message.clone())).await.expect("sent");
                assert_eq!(next(&mut socket).await, message);
            }
        }
    });
    futures_util::future::join_all(talks).await;
}

#[tokio::test]
async fn a_side_that_vanishes_ends_the_other_one() {
    let backend = echo().await;
    let gateway = Setup::new(&[backend.instance("V1")]).start();
    let mut client = connect(&gateway).await;
    soon(client.send(Message::text("here"))).await.expect("sent");
    next(&mut client).await;
    drop(client);
    until("the tunnel is closed", || gateway.stats.snapshot().connections == 0).await;

    let vanishing = Backend::raw(|socket| async move {
        let socket = accept_async(socket).await.expect("a handshake");
        drop(WebSocketStream::from_raw_socket(socket.into_inner(), Role::Server, None).await);
    })
    .await;
    let gateway = Setup::new(&[vanishing.instance("V1")]).start();
    let mut client = connect(&gateway).await;
    assert!(soon(client.next()).await.is_none_or(|end| end.is_err()));
}
