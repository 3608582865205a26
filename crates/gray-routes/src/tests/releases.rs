//! The same routes, as releases of Spring Cloud Gateway read them.

use super::{Request, read, table, taken};

const ROUTES: &str = "
spring.cloud.gateway.routes:
- { id: host, uri: 'lb://s', predicates: ['Host=A.example,{x:[b-c]+}.example', 'Path=/host'] }
- { id: header, uri: 'lb://s', predicates: ['Header=X, é', 'Path=/header'] }
- { id: cookie, uri: 'lb://s', predicates: ['Cookie=c, .é', 'Path=/cookie'] }
- { id: end, uri: 'lb://s', predicates: ['Path=/end,/other/{x}'] }
- { id: flag, uri: 'lb://s', predicates: ['Path=/flag,true'] }
";

/// Which releases take a request: none named, 3.1, 4, 5.
fn by(request: &Request) -> [bool; 4] {
    ["", "gray.spring.release: 3.1", "gray.spring.release: 4.3.2", "gray: { spring: { release: 5 } }"]
        .map(|release| taken(&table(&format!("{ROUTES}{release}\n")), request) != "-")
}

#[test]
fn releases_differ() {
    let host = |host: &str| Request::get("/host").host(Some(host));
    let header = |value: &[u8]| Request::get("/header").header("x", value);
    for (request, expect) in [
        (host("A.example"), [true; 4]),
        (host("a.example"), [true, false, false, false]),
        (host("bc.example"), [true; 4]),
        (host("B.example"), [true, false, false, false]),
        // The host with its port, as a request shows it then.
        (host("A.example:80"), [false; 4]),
        (header("é".as_bytes()), [true, false, false, false]),
        (header(b"\xe9"), [false, true, true, true]),
        (Request::get("/cookie").header("cookie", b"c=x\xe9"), [false, true, true, true]),
        (Request::get("/end"), [true; 4]),
        (Request::get("/end/"), [true, true, true, false]),
        (Request::get("/other/1/"), [true, true, true, false]),
        (Request::get("/flag/"), [true; 4]),
    ] {
        assert_eq!(by(&request), expect, "{} {:?} {:?}", request.target, request.host, request.headers);
    }
}

#[test]
fn a_port_is_compared_with_a_release() {
    let document = |release: &str, include: &str| {
        format!(
            "spring.cloud.gateway:\n  predicate.host.include-port: {include}\n  routes:\n  \
             - {{ id: a, uri: 'lb://s', predicates: ['Host=**.a.org:8080'] }}\n{release}"
        )
    };
    let exact = table(&document("gray.spring.release: 4", "true"));
    for (host, expect) in [("x.a.org:8080", "a"), ("a.org:8080", "a"), ("x.a.org", "-"), ("x.a.org:80", "-")] {
        assert_eq!(taken(&exact, &Request::get("/").host(Some(host))), expect, "{host}");
    }
    // Without a release, a pattern with a port asks for it, and the others for none (gray-gateway, `proxy::spring_routes`).
    assert_eq!(read(&document("", "true")).1, [""; 0]);
    let (_, problems) = read(&document("gray.spring.release: 4", "false"));
    assert!(problems.len() == 1 && problems[0].contains("a port cannot be asked for"), "{problems:#?}");
}

#[test]
fn a_release_is_one_of_those_that_are_known() {
    for release in ["2.2", "6", "2025.0.0", "x", "[4]"] {
        let (_, problems) = read(&format!("{ROUTES}gray.spring.release: {release}\n"));
        assert!(problems.iter().any(|problem| problem.contains("gray.spring.release")), "{release}: {problems:#?}");
    }
    let (_, problems) = read(&format!("{ROUTES}gray.spring.release: 6\n"));
    assert!(problems[0].contains("3.1, 4 or 5"), "{problems:#?}");
}
