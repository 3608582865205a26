//! One line for every request, however it ends.

use std::{fs, time::Duration};

use gray_gateway::proxy::{AccessLogFormat, AccessLogOptions};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    support::{Backend, Setup, soon, until},
    wire::read_head,
};

#[tokio::test]
async fn every_request_leaves_a_line() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("access.log");
    let backend = Backend::serving(|seen| match seen.line() {
        "GET /half HTTP/1.1" => ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_owned(), false),
        "GET /never HTTP/1.1" => (String::new(), false),
        _ => ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_owned(), true),
    })
    .await;
    let mut setup = Setup::new(&[backend.instance("V1")]);
    setup.access_log = Some(AccessLogOptions { path: path.clone(), format: AccessLogFormat::Json });
    let gateway = setup.start();
    let mut client = gateway.client().await;
    client.send("POST /api/x?y=1 HTTP/1.1\r\nHost: a\r\nX-Request-Id: id-1\r\nContent-Length: 3\r\n\r\nabc").await;
    assert_eq!(client.response().await.status, 200);
    client.send("GET /elsewhere HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.response().await.status, 404);
    assert_eq!(gateway.ask("GET /api/never HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 502);
    let mut broken = gateway.client().await;
    broken.send("GET /api/half HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let _reset_or_closed = soon(broken.socket.read_to_end(&mut Vec::new())).await;
    assert_eq!(gateway.ask("NO HTTP\r\n\r\n").await.status, 400);
    until("all are over", || gateway.stats.snapshot().in_flight == 0).await;
    assert_eq!(soon(gateway.workers.shutdown(Duration::from_secs(5))).await, 0);

    let text = fs::read_to_string(&path).expect("a log");
    let line = |part: &str| -> Value {
        let mut lines = text.lines().filter(|line| line.contains(part));
        let line = lines.next().unwrap_or_else(|| panic!("no {part} in {text}"));
        assert_eq!(lines.next(), None, "{part}");
        serde_json::from_str(line).expect("JSON")
    };
    assert_eq!(text.lines().count(), 5, "{text}");
    let ok = line("/api/x?y=1");
    for (name, expect) in [
        ("method", "POST"),
        ("client", "127.0.0.1"),
        ("route", "app"),
        ("service", "app"),
        ("instance", &backend.address.to_string()),
        ("request_id", "id-1"),
        ("end", "complete"),
    ] {
        assert_eq!(ok[name], expect, "{name} of {ok}");
    }
    assert_eq!((&ok["status"], &ok["sent_bytes"], &ok["received_bytes"]), (&200.into(), &5.into(), &3.into()), "{ok}");
    assert!(ok["upstream_us"].is_u64() && ok["lane"].is_string(), "{ok}");
    let nowhere = line("/elsewhere");
    assert_eq!((&nowhere["status"], &nowhere["route"]), (&404.into(), &Value::Null), "{nowhere}");
    assert_eq!(line("/api/never")["status"], 502);
    let half = line("/api/half");
    assert_eq!((&half["status"], &half["end"]), (&200.into(), &"upstream-broken".into()), "{half}");
    let unreadable = line("\"status\":400");
    assert_eq!((&unreadable["method"], &unreadable["target"]), (&"-".into(), &"-".into()), "{unreadable}");
}

#[tokio::test]
async fn a_websocket_is_logged_with_what_has_passed() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("access.log");
    let backend = Backend::raw(|mut socket| async move {
        read_head(&mut socket, &mut Vec::new()).await.expect("a request");
        let switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        socket.write_all(switch).await.expect("sent");
        let (mut read, mut write) = socket.split();
        let _ended = tokio::io::copy(&mut read, &mut write).await;
    })
    .await;
    let mut setup = Setup::new(&[backend.instance("V1")]);
    setup.access_log = Some(AccessLogOptions { path: path.clone(), format: AccessLogFormat::Json });
    let gateway = setup.start();
    let mut client = gateway.client().await;
    client.send("GET /api/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    assert_eq!(client.head().await.expect("head").status, 101);
    client.send("hello").await;
    soon(client.socket.shutdown()).await.expect("closed");
    let mut echo = std::mem::take(&mut client.buffer);
    soon(client.socket.read_to_end(&mut echo)).await.expect("echo");
    assert_eq!(echo, b"hello");
    until("it is over", || gateway.stats.snapshot().in_flight == 0).await;
    assert_eq!(soon(gateway.workers.shutdown(Duration::from_secs(5))).await, 0);
    let line: Value = serde_json::from_str(&fs::read_to_string(&path).expect("a log")).expect("one line");
    let expect = (&101.into(), &5.into(), &5.into(), &"complete".into());
    assert_eq!((&line["status"], &line["sent_bytes"], &line["received_bytes"], &line["end"]), expect, "{line}");
}
