//! Paths: what passes the check and the routes' filters means the same to the backend as to us, however it decodes them.
#![no_main]

use std::sync::LazyLock;

use gray_document::Documents;
use gray_gateway::route::{RouteTable, check_path};
use gray_rules::RequestFacts;
use http::HeaderMap;
use libfuzzer_sys::fuzz_target;

const ROUTES: &str = "
spring.cloud.gateway.routes:
- { id: strip, uri: 'lb://a', predicates: ['Path=/api/**'], filters: ['StripPrefix=1'] }
- { id: deep, uri: 'lb://a', predicates: ['Path=/deep/{a}/**'], filters: ['StripPrefix=2'] }
- { id: rewrite, uri: 'lb://a', predicates: ['Path=/re/**'], filters: ['RewritePath=/re/(?<rest>.*), /v1/$\\{rest}'] }
- { id: all, uri: 'lb://a', predicates: ['Path=/**'] }
";

static TABLE: LazyLock<RouteTable> = LazyLock::new(|| table(ROUTES));

#[path = "../../crates/gray-routes/tests/spellings/mod.rs"]
#[allow(dead_code, reason = "paths are made by the fuzzer here")]
mod spellings;

static GUARDED: LazyLock<RouteTable> = LazyLock::new(|| {
    let routes = spellings::ROUTES.replace("{uri}", "lb://a").replace("{guard}", "'AddRequestHeader=guarded,yes'");
    table(&format!("spring.cloud.gateway.routes:{routes}"))
});

fn table(text: &str) -> RouteTable {
    let documents = Documents::parse(&[("routes", text)], &|_| None).expect("well formed");
    let table = RouteTable::read(&documents.root());
    assert!(documents.take_problems().is_empty());
    table
}

fuzz_target!(|data: &[u8]| {
    let Ok(path) = std::str::from_utf8(data) else { return };
    if check_path(path).is_err() {
        return;
    }
    judge(path);
    if !path.starts_with('/') || path.contains('?') {
        return;
    }
    let headers = HeaderMap::new();
    let request = RequestFacts { path, ..RequestFacts::new(&headers) };
    let resolved = check_path(path).map_err(Into::into).and_then(|spelling| GUARDED.resolve(&request, spelling));
    if let Ok(resolved) = resolved
        && let Some(route) = resolved.route.filter(|route| route.id.ends_with("-open"))
    {
        if let Ok(sent) = resolved.send(route, path) {
            let reads =
                |server: &&spellings::Server| (server.1)(&sent.path).is_some_and(|read| spellings::is_guarded(&read));
            if let Some((server, _)) = spellings::SERVERS.iter().find(reads) {
                panic!("{path:?} is sent by {} as {sent:?}; {server} reads what is guarded", route.id);
            }
        }
    }
    let id =
        TABLE.find(&request).expect("few steps").map(|route| route.id.clone()).expect("one route takes everything");
    let route = TABLE.routes().iter().find(|route| route.id == id).expect("found");
    let Ok(rewritten) = route.filters.rewrite(path, &Default::default()) else { return };
    let sent = &rewritten.path;
    assert!(sent.starts_with('/') && !sent.contains("//"), "{path:?} became {sent:?}");
    // What the filters made is looked at again before it is sent.
    if check_path(sent).is_ok() {
        judge(sent);
    } else {
        assert!(matches!(sent, std::borrow::Cow::Owned(_)), "a part of {path:?} is not clear: {sent:?}");
    }
    if let Some(prefix) = rewritten.prefix(path) {
        assert!(path.starts_with(&*prefix), "{prefix:?} of {path:?}");
    }
});

/// As the most lenient backend reads it: decoded once, `\` for `/`, parameters cut off.
fn judge(path: &str) {
    let decoded = decode(path.as_bytes());
    assert!(!decoded.iter().any(|byte| *byte < b' ' || *byte == 0x7f), "a control character in {path:?}");
    for segment in decoded.split(|byte| matches!(byte, b'/' | b'\\')) {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        assert!(name != b"." && name != b"..", "a dot segment in {path:?}");
    }
}

fn decode(path: &[u8]) -> Vec<u8> {
    let (mut decoded, mut rest) = (Vec::new(), path);
    while let Some((&byte, after)) = rest.split_first() {
        let hex = (byte == b'%').then(|| after.get(..2).and_then(|two| std::str::from_utf8(two).ok())).flatten();
        match hex.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(value) => {
                decoded.push(value);
                rest = &after[2..];
            }
            None => {
                decoded.push(byte);
                rest = after;
            }
        }
    }
    decoded
}
