//! What the gateway adds to a request besides deciding and picking. `docs/benchmarks.md` has the figures.

#[path = "../../../gray-common/benches/speed/harness.rs"]
mod harness;

use std::{
    fmt::Write as _,
    hint::black_box,
    time::{Duration, Instant},
};

use gray_document::Documents;
use gray_gateway::{
    proxy::{AccessLogFormat, End, Entry, LineWriter, head_reader},
    route::{RouteTable, check_path},
};
use gray_rules::RequestFacts;
use http::{HeaderMap, Version};

use crate::harness::Cases;

/// What a browser sends.
const REQUEST: &str = "GET /api/order/N0001?full=1 HTTP/1.1\r\n\
    Host: shop.example.com\r\n\
    Connection: keep-alive\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml\r\n\
    Accept-Language: zh-CN,zh;q=0.9\r\n\
    Accept-Encoding: gzip, br\r\n\
    Cookie: session=0123456789abcdef; theme=dark\r\n\
    X-User: U9999\r\n\
    X-Request-Id: 6f1c2d\r\n\r\n";

/// What is logged of a request.
fn logged() -> Entry<'static> {
    Entry {
        began: Instant::now(),
        duration: Duration::from_micros(1234),
        client: [203, 0, 113, 7].into(),
        method: b"GET",
        target: b"/order-api/order/N0001?page=2",
        version: Version::HTTP_11,
        status: Some(200),
        sent: 1024,
        received: 0,
        upstream: Some(Duration::from_micros(1200)),
        route: Some("order-app"),
        lane: Some("gray"),
        rule: Some("gray-users"),
        service: Some("order-app"),
        instance: Some("10.0.12.34:7100"),
        end: End::Complete,
        fault: None,
        request_id: Some(b"6f1c2d0a9b3e4f5a8c7d6e5f4a3b2c1d"),
    }
}

/// A table of so many services' routes.
fn table(count: usize) -> RouteTable {
    let mut text = "spring.cloud.gateway.routes:\n".to_owned();
    for i in 0..count {
        // Short, because a document has at most a MiB.
        writeln!(text, "  - {{ id: r{i}, uri: 'lb://app', predicates: [Path=/api-{i}/**] }}").expect("written");
    }
    let documents =
        Documents::parse(&[("gateway-app.yaml", &text)], &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
    RouteTable::read(&documents.root())
}

fn main() {
    let mut cases = Cases::default();
    cases.add("request/bytes-to-bytes", || {
        let (mut read, mut out) = (head_reader(), Vec::with_capacity(1 << 12));
        move || {
            out.clear();
            assert!(read(black_box(REQUEST.as_bytes()), &mut out));
            black_box(&out);
        }
    });
    for (name, format) in [("text", AccessLogFormat::Text), ("json", AccessLogFormat::Json)] {
        cases.add(format!("access-log/{name}"), move || {
            let (mut writer, mut lines) = (LineWriter::new(format), Vec::with_capacity(1 << 15));
            let entry = logged();
            move || {
                lines.clear();
                writer.write(black_box(&entry), &mut lines);
                black_box(&lines);
            }
        });
    }
    for count in [10, 1000, 10_000] {
        cases.add(format!("route/find/{count}"), move || {
            let (table, headers, path) = (table(count), HeaderMap::new(), format!("/api-{}/order/N0001", count - 1));
            move || {
                let path = black_box(&*path);
                let request = RequestFacts { path, host: Some("shop.example.com"), ..RequestFacts::new(&headers) };
                assert!(black_box(table.find(&request)).is_ok_and(|route| route.is_some()));
            }
        });
    }
    for (shape, predicate, path, host) in [
        ("host", "Host=api-N.example.com", "/order/1", "api-N.example.com"),
        ("variable", "'Path=/{t}/orders-N/**'", "/t/orders-N/1", "shop.example.com"),
        ("path-of-host", "Path=/api/**,Host=t-N.example.com", "/api/order", "t-N.example.com"),
    ] {
        for count in [10, 1000, 10_000] {
            cases.add(format!("route/find-{shape}/{count}"), move || {
                let at = |text: &str, n: usize| text.replace('N', &n.to_string());
                let mut text = "spring.cloud.gateway.routes:\n".to_owned();
                for n in 0..count {
                    let predicate = at(predicate, n).replace(",Host", ", Host");
                    writeln!(text, "  - {{ id: r{n}, uri: 'lb://app', predicates: [{predicate}] }}").expect("written");
                }
                let documents = Documents::parse(&[("gateway-app.yaml", &text)], &|_| None)
                    .unwrap_or_else(|problems| panic!("{problems}"));
                let (table, headers) = (RouteTable::read(&documents.root()), HeaderMap::new());
                let (path, host) = (at(path, count - 1), at(host, count - 1));
                move || {
                    let (path, host) = (black_box(&*path), Some(&*host));
                    let request = RequestFacts { path, host, ..RequestFacts::new(&headers) };
                    assert!(black_box(table.find(&request)).is_ok_and(|route| route.is_some()));
                }
            });
        }
    }
    // What another server could read in another way is routed in every form; the rest is looked at once.
    for (name, rest) in
        [("plain", "order/N0001"), ("utf8", "%E6%9D%AD%E5%B7%9E/N0001"), ("ambiguous", "/order%2fN0001/a%20b;v=1")]
    {
        cases.add(format!("route/resolve/10000/{name}"), move || {
            let (table, headers, path) = (table(10_000), HeaderMap::new(), format!("/api-9999/{rest}"));
            move || {
                let path = black_box(&*path);
                let request = RequestFacts { path, host: Some("shop.example.com"), ..RequestFacts::new(&headers) };
                let resolved =
                    check_path(path).map_err(Into::into).and_then(|spelling| table.resolve(&request, spelling));
                assert!(black_box(resolved.is_ok_and(|resolved| resolved.route.is_some())));
            }
        });
    }
    cases.add_slow("route/read/1000", || || drop(black_box(table(1000))));
    cases.measure();
}
