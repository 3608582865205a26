//! What ends at the gateway, and what only the gateway may say. That the backend sees exactly one of ours, with our value,
//! is checked for every request that passes ([`unambiguous`](super::unambiguous)).

use super::{Bench, Expect::Seen};

#[tokio::test]
async fn nobody_names_our_fields_away() {
    let bench = Bench::new().await;
    let named = "gray, gray-lane, gray-caller, gray-signature, x-real-ip, x-forwarded-for, x-forwarded-proto, forwarded, host, \
                 content-length, transfer-encoding, cookie, x-kept";
    let casings = [named.to_owned(), named.to_uppercase(), named.replace(", ", ","), named.replace("gray", "gRaY")];
    for (turn, tokens) in casings.iter().enumerate() {
        for fields in [
            format!("Connection: {tokens}\r\n"),
            format!("Connection: close, {tokens}\r\n").replace("close, ", "keep-alive, "),
            format!("connection: keep-alive\r\nCONNECTION: {tokens}\r\n"),
            tokens.split(',').map(|token| format!("Connection: {}\r\n", token.trim())).collect(),
            format!("Proxy-Connection: {tokens}\r\n"),
            format!("Keep-Alive: {tokens}\r\n"),
        ] {
            let head = format!("POST /api/x HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: 2\r\nX-Kept: 1\r\n\r\nhi");
            bench.check(&format!("{turn}: {fields}"), head.as_bytes(), Seen(&[("POST /x HTTP/1.1", "hi")])).await;
        }
    }
}

#[tokio::test]
async fn nobody_else_says_what_only_we_may() {
    let bench = Bench::new().await;
    let values = ["GRAY", "ALL", "x", "", "PROD"];
    let names = [
        "gray",
        "GRAY",
        "Gray",
        "g.ray",
        "gray_",
        "_gray",
        "g-r-a-y",
        "g_ra.y",
        "gray-lane",
        "Gray_Lane",
        "gray.lane",
        "graylane",
        "gray-caller",
        "GRAY_CALLER",
        "gray-signature",
        "gray_signature",
        "x-forwarded-for",
        "X-Forwarded-For",
        "X_Forwarded_For",
        "x.forwarded.for",
        "X-Forwarded_For",
        "X-Real-IP",
        "X_Real_IP",
        "Forwarded",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Prefix",
        "X-Forwarded-Anything",
        "X_Forwarded_Proto",
    ];
    for (turn, name) in names.iter().enumerate() {
        let value = values[turn % values.len()];
        let fields = format!("{name}: {value}\r\n{name}: 203.0.113.7\r\n");
        let head = format!("GET /api/x HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        bench.check(name, head.as_bytes(), Seen(&[("GET /x HTTP/1.1", "")])).await;
        let seen = bench.backend.seen();
        let last = &seen[seen.len() - 2];
        assert!(!last.head.contains("203.0.113.7") && !last.head.contains("GRAY"), "{name}: {}", last.head);
    }
}

#[tokio::test]
async fn what_ends_here_ends_here() {
    let bench = Bench::new().await;
    for fields in [
        "Keep-Alive: timeout=1000\r\n",
        "Proxy-Connection: keep-alive\r\n",
        "Proxy-Authorization: Basic x\r\n",
        "TE: gzip, trailers;q=0.5\r\n",
        "TE: chunked\r\n",
        "Upgrade: TLS/1.0\r\nConnection: Upgrade\r\n",
        "Upgrade: websocket\r\n",
        "Connection: x-own\r\nX-Own: 1\r\n",
    ] {
        let head = format!("GET /api/x HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        bench.check(fields, head.as_bytes(), Seen(&[("GET /x HTTP/1.1", "")])).await;
        let seen = bench.backend.seen();
        assert!(!seen[seen.len() - 2].head.to_lowercase().contains("x-own"), "{fields}");
    }
}
