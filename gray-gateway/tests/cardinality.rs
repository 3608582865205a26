//! Whatever clients send, the number of metric series stays what it is.

mod support;

use std::{collections::BTreeSet, time::Duration};

use axum::{Router, routing::any};
use gray_gateway::app::Application;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};

use support::args;

const LIMIT: Duration = Duration::from_secs(20);
const REQUESTS: usize = 2_000;

/// Sends bytes and reads until the gateway closes.
async fn exchange(address: std::net::SocketAddr, bytes: &str) -> String {
    let exchange = async {
        let mut socket = TcpStream::connect(address).await.expect("connects");
        socket.write_all(bytes.as_bytes()).await.expect("sends");
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.expect("reads");
        String::from_utf8_lossy(&answer).into_owned()
    };
    timeout(LIMIT, exchange).await.expect("in time")
}

/// Names and labels, without values.
async fn series(admin: std::net::SocketAddr) -> BTreeSet<String> {
    let answer = exchange(admin, "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let lines = answer.lines().filter(|line| line.starts_with("gray_"));
    lines.filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series.to_owned()).collect()
}

#[tokio::test]
async fn clients_make_no_series() {
    let mut tasks = JoinSet::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    tasks
        .spawn(async move { axum::serve(listener, Router::new().fallback(any(async || "ok"))).await.expect("serves") });
    let directory = tempfile::tempdir().expect("a directory");
    let settings = format!(
        "\
kerwin.tool.gray: {{load: true, version: {{prodVersion: V1, grayVersion: V2}}, gateway: {{enabled: true, grayUserNoList: [U1]}}}}
spring.cloud:
  gateway.routes: [{{id: users, uri: 'lb://user-app', predicates: ['Path=/api/**'], filters: ['RequestRateLimiter=1000, 2000']}}]
  discovery.client.simple.instances.user-app: [{{uri: 'http://127.0.0.1:{port}', metadata: {{version: V1}}}}]
"
    );
    std::fs::write(directory.path().join("gateway-app.yaml"), settings).expect("written");
    let gateway = Application::build(&args(directory.path(), &[])).await.expect("starts");
    let ready = timeout(LIMIT, async {
        while !exchange(gateway.admin_address(), "GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .await
            .contains("200 OK")
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(ready.await.is_ok(), "ready");
    // One of each kind, so that what there can be is there.
    for first in ["GET /api/x", "GET /none", "GET /api/../x", "BREW /api/x"] {
        exchange(gateway.address(), &format!("{first} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await;
    }
    let before = series(gateway.admin_address()).await;
    assert!(before.len() > 20, "{before:?}");
    let mut statuses = BTreeSet::new();
    for turn in 0..REQUESTS {
        let path = match turn % 4 {
            0 => format!("/api/p{turn}?q={turn}"),
            1 => format!("/n{turn}"),
            2 => format!("/api/%2e%2e/{turn}"),
            _ => format!("/api/{turn}/%e4%b8%ad"),
        };
        let request = format!(
            "M{turn} {path} HTTP/1.1\r\nHost: h{turn}.example\r\nuserNo: U{turn}\r\nUser-Agent: a{turn}\r\ngray: g{turn}\r\n\
             X-Request-Id: {turn}\r\nX-H{turn}: {turn}\r\nCookie: c{turn}={turn}\r\nConnection: close\r\n\r\n"
        );
        let answer = exchange(gateway.address(), &request).await;
        statuses.insert(answer.get(9..12).unwrap_or_default().to_owned());
    }
    assert_eq!(statuses.iter().map(String::as_str).collect::<Vec<_>>(), ["200", "400", "404"]);
    let after = series(gateway.admin_address()).await;
    assert_eq!(after.difference(&before).collect::<Vec<_>>(), Vec::<&String>::new());
}
