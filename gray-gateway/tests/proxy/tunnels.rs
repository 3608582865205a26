//! How long a websocket may be silent.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use gray_gateway::proxy::Limits;
use tokio::net::TcpStream;
use tokio_tungstenite::{accept_async, client_async, tungstenite::Message};

use crate::support::{Backend, Gateway, Setup, soon};

const LIMIT: Duration = Duration::from_millis(600);

/// Reads, and answers pings.
async fn listener() -> Backend {
    Backend::raw(|socket| async move {
        let Ok(mut socket) = accept_async(socket).await else { return };
        while let Some(Ok(_)) = socket.next().await {}
    })
    .await
}

fn start(backend: &Backend, metadata: &str, limit: impl FnOnce(&mut Limits)) -> Gateway {
    let route =
        format!("[{{ id: app, uri: 'lb://app', predicates: ['Path=/api/**'], filters: ['StripPrefix=1']{metadata} }}]");
    Setup::with_routes(&route, &[backend.instance("V1")]).limited(limit).start()
}

/// How long it lives without a word, after so many pings.
async fn life(gateway: &Gateway, pings: u32) -> Duration {
    let socket = soon(TcpStream::connect(gateway.address)).await.expect("connected");
    let (mut socket, _) = soon(client_async("ws://shop/api/ws", socket)).await.expect("switched");
    let began = Instant::now();
    for _ in 0..pings {
        tokio::time::sleep(LIMIT / 3).await;
        soon(socket.send(Message::Ping("?".into()))).await.expect("sent");
        assert!(matches!(soon(socket.next()).await, Some(Ok(Message::Pong(_)))), "after {:?}", began.elapsed());
    }
    assert!(soon(socket.next()).await.is_none_or(|end| end.is_err()), "it ends");
    began.elapsed()
}

#[tokio::test]
async fn pings_keep_it_open() {
    let backend = listener().await;
    let gateway = start(&backend, "", |limits| limits.tunnel_idle_timeout = Some(LIMIT));
    let silent = life(&gateway, 0).await;
    assert!(silent >= LIMIT, "{silent:?}");
    let kept = life(&gateway, 6).await;
    assert!(kept >= LIMIT * 3, "{kept:?}");
}

#[tokio::test]
async fn a_route_may_say_how_long() {
    assert_eq!(Limits::default().tunnel_idle_timeout, Some(Duration::from_secs(600)), "unless told otherwise");
    let backend = listener().await;
    let (longer, shorter) = (LIMIT * 3, Duration::from_millis(200));
    for (global, metadata, expected) in [
        (Some(shorter), format!(", metadata: {{ idle-timeout: {} }}", longer.as_millis()), longer),
        (None, format!(", metadata: {{ idle-timeout: {} }}", LIMIT.as_millis()), LIMIT),
    ] {
        let gateway = start(&backend, &metadata, |limits| limits.tunnel_idle_timeout = global);
        let silent = life(&gateway, 0).await;
        assert!(silent >= expected, "{metadata}: {silent:?}");
    }
    // Negative: as long as it likes.
    let gateway =
        start(&backend, ", metadata: { idle-timeout: -1 }", |limits| limits.tunnel_idle_timeout = Some(shorter));
    assert!(tokio::time::timeout(LIMIT * 3, life(&gateway, 0)).await.is_err(), "it lives");
}
