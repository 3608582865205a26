//! What filters make of heads: every filter in its forms, what it makes of a request and of an answer.

use std::borrow::Cow;

use gray_expression::Steps;
use gray_rules::RequestFacts;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    super::{EditError, Filters, Line, RouteTable, Variables},
    document, table,
};

/// Header fields as they are written in tests: `name: value`.
fn fields(lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").expect("a field");
        let name: HeaderName = name.parse().expect("a name");
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
    }
    headers
}

/// What of these fields of a client an instance gets, and what it gets besides.
pub(super) fn sent(filters: &Filters, client: &[&str]) -> Vec<String> {
    written(filters, client, &Variables::default()).expect("it fits")
}

fn written(filters: &Filters, client: &[&str], variables: &Variables<'_>) -> Result<Vec<String>, EditError> {
    let headers = fields(client);
    let kept = client.iter().filter(|line| !filters.removes(line.split(':').next().unwrap_or_default()));
    let mut lines: Vec<String> = kept.map(|line| (*line).to_owned()).collect();
    filters.write_fields(&RequestFacts::new(&headers), variables, |name, value| {
        lines.push(format!("{name}: {}", String::from_utf8_lossy(value)));
    })?;
    Ok(lines)
}

/// What a client gets of an answer with these fields to `GET /a/v1/x` of host `shop:81`.
fn answered(filters: &Filters, lines: &[&str], variables: &Variables<'_>) -> Vec<String> {
    let remembered = filters.remember(("/a/v1/x", None), Some("shop:81"), variables).expect("it fits");
    let split = |line: &&'static str| {
        let (name, value) = line.split_once(": ").expect("a field");
        Line { name, value: Cow::Borrowed(value.as_bytes()) }
    };
    let texts: Vec<&'static str> = lines.iter().map(|line| &*line.to_string().leak()).collect();
    let mut lines: Vec<_> = texts.iter().map(split).collect();
    filters.response.apply(&mut lines, &remembered).expect("it fits");
    lines.iter().map(|line| format!("{}: {}", line.name.to_lowercase(), String::from_utf8_lossy(&line.value))).collect()
}

fn one(filters: &str) -> RouteTable {
    table(&document("'Path=/a/{seg}/{*rest}', 'Host={sub}.shop'", filters))
}

fn filters(form: &str) -> Filters {
    table(&document("Path=/**", form)).routes()[0].filters.clone()
}

#[test]
fn request_fields() {
    let client = &["x-a: 1", "x-a: 2", "X_B: spelled", "x-blank:  ", "x-c: c"][..];
    for (forms, expect) in [
        (
            &["AddRequestHeader=X-A, 3", "{ name: AddRequestHeader, args: { name: X-A, value: '3' } }"][..],
            &["x-a: 1", "x-a: 2", "X_B: spelled", "x-blank:  ", "x-c: c", "x-a: 3"][..],
        ),
        (
            &["SetRequestHeader=X-A, 3", "{ name: SetRequestHeader, args: { _genkey_0: X-A, _genkey_1: '3' } }"],
            &["X_B: spelled", "x-blank:  ", "x-c: c", "x-a: 3"],
        ),
        (
            &["RemoveRequestHeader=x-b", "{ name: RemoveRequestHeader, args: { name: X-B } }"],
            &["x-a: 1", "x-a: 2", "x-blank:  ", "x-c: c"],
        ),
        (
            &["MapRequestHeader=X-A, X-Z", "{ name: MapRequestHeader, args: { fromHeader: X-A, toHeader: X-Z } }"],
            &["x-a: 1", "x-a: 2", "X_B: spelled", "x-blank:  ", "x-c: c", "x-z: 1", "x-z: 2"],
        ),
        (
            &[
                "'AddRequestHeadersIfNotPresent=X-A:9,X-Blank:b,X-N:1,X-N:2'",
                "{ name: AddRequestHeadersIfNotPresent, args: { keyValues: ['X-A:9', 'X-Blank:b', 'X-N:1', 'X-N:2'] } }",
            ],
            &["x-a: 1", "x-a: 2", "X_B: spelled", "x-blank:  ", "x-c: c", "x-blank: b", "x-n: 1", "x-n: 2"],
        ),
        // In their order: each sees what the ones before it left.
        (
            &["AddRequestHeader=X-N, 1, RemoveRequestHeader=X-N, AddRequestHeader=X-N, 2"
                .split(", Remove")
                .next()
                .unwrap_or("")],
            &["x-a: 1", "x-a: 2", "X_B: spelled", "x-blank:  ", "x-c: c", "x-n: 1"],
        ),
        (
            &["'AddRequestHeader=X-A, 3', 'MapRequestHeader=X-A, X-Z', 'RemoveRequestHeader=X-A'"],
            &["X_B: spelled", "x-blank:  ", "x-c: c", "x-z: 1", "x-z: 2", "x-z: 3"],
        ),
        (
            &["'RemoveRequestHeader=X-A', 'MapRequestHeader=X-A, X-Z', 'AddRequestHeadersIfNotPresent=X-A:n'"],
            &["X_B: spelled", "x-blank:  ", "x-c: c", "x-a: n"],
        ),
        (
            &["'AddRequestHeadersIfNotPresent=X-N:1', 'AddRequestHeadersIfNotPresent=X-N:2'"],
            &["x-a: 1", "x-a: 2", "X_B: spelled", "x-blank:  ", "x-c: c", "x-n: 1"],
        ),
        (
            &["'AddRequestHeader=X-N, 1', 'RemoveRequestHeader=X-N', 'AddRequestHeader=X-N, 2'"],
            &["x-a: 1", "x-a: 2", "X_B: spelled", "x-blank:  ", "x-c: c", "x-n: 2"],
        ),
        // A value in the long form keeps its commas and the space at its ends.
        (
            &["{ name: SetRequestHeader, args: { name: X-A, value: ' two, three ' } }"],
            &["X_B: spelled", "x-blank:  ", "x-c: c", "x-a:  two, three "],
        ),
        (&["CacheRequestBody", "{ name: CacheRequestBody, args: { bodyClass: java.lang.String } }"], client),
    ] {
        for form in forms {
            let form = if form.contains(", ") && !form.starts_with(['\'', '{']) {
                format!("'{form}'")
            } else {
                (*form).into()
            };
            assert_eq!(sent(&filters(&form), client), expect, "{form}");
        }
    }
}

#[test]
fn copies_are_bounded() {
    let doubling = "'MapRequestHeader=X-A, X-A', ".repeat(40);
    let filters = filters(doubling.trim_end_matches(", "));
    assert_eq!(sent(&filters, &["x-b: 1"]), ["x-b: 1"]);
    assert_eq!(written(&filters, &["x-a: 1"], &Variables::default()), Err(EditError::TooLong));
}

#[test]
fn queries() {
    for (form, query, expect) in [
        ("'AddRequestParameter=a, 1'", None, Some("a=1")),
        ("'AddRequestParameter=a, 1'", Some(""), Some("a=1")),
        ("'AddRequestParameter=a, 1'", Some("b=2"), Some("b=2&a=1")),
        ("'AddRequestParameter=a, 1'", Some("b=2&"), Some("b=2&a=1")),
        (
            "{ name: AddRequestParameter, args: { name: 'a b', value: 'x y&z=ü#' } }",
            None,
            Some("a%20b=x%20y&z=%C3%BC%23"),
        ),
        ("RemoveRequestParameter=a", None, None),
        ("RemoveRequestParameter=a", Some("a=1"), None),
        ("RemoveRequestParameter=a", Some("b=%2f&a=1&%61&c+=&a"), Some("b=%2f&c+=")),
        ("RemoveRequestParameter=a", Some("aa=1&&x"), Some("aa=1&&x")),
        ("'RewriteRequestParameter=a, n&w'", Some("a=1&b=2&a=3"), Some("b=2&a=n%26w")),
        ("'RewriteRequestParameter=a, new'", Some("b=2"), Some("b=2")),
        ("'RewriteRequestParameter=a, new'", None, None),
        ("{ name: RewriteRequestParameter, args: { name: a, replacement: new } }", Some("a"), Some("a=new")),
        ("'RemoveRequestParameter=a', 'AddRequestParameter=a, 2'", Some("a=1"), Some("a=2")),
        ("'AddRequestParameter=a, 2', 'RemoveRequestParameter=a'", Some("b"), Some("b")),
        ("StripPrefix=1", Some("a=%zz&|"), Some("a=%zz&|")),
    ] {
        let filters = filters(form);
        let made = filters.query(query, &Variables::default()).expect("short");
        assert_eq!(made.as_deref(), expect, "{form} {query:?}");
    }
}

#[test]
fn response_fields() {
    for (forms, lines, expect) in [
        (
            &["AddResponseHeader=X-A, 1", "{ name: AddResponseHeader, args: { name: X-A, value: 1 } }"][..],
            &["X-A: 0"][..],
            &["x-a: 0", "x-a: 1"][..],
        ),
        (&["AddResponseHeader=X-A, 1, true"], &["X-A: 0"], &["x-a: 0", "x-a: 1"]),
        (
            &[
                "AddResponseHeader=X-A, 1, false",
                "{ name: AddResponseHeader, args: { name: X-A, value: 1, override: false } }",
            ],
            &["X-A: 0"],
            &["x-a: 0"],
        ),
        (&["AddResponseHeader=X-A, 1, false"], &["X-A:  "], &["x-a:  ", "x-a: 1"]),
        (&["SetResponseHeader=X-A, 1"], &["X-A: 0", "y: 1", "x-a: 2"], &["y: 1", "x-a: 1"]),
        (&["RemoveResponseHeader=X-A"], &["X-A: 0", "y: 1", "x-a: 2"], &["y: 1"]),
        (
            &[
                "RewriteResponseHeader=X-A, password=[^&]+, password=***",
                "{ name: RewriteResponseHeader, args: { name: X-A, regexp: 'password=[^&]+', replacement: password=*** } }",
            ],
            &["X-A: /42?password=omg!what&flag=true", "y: password=1"],
            &["x-a: /42?password=***&flag=true", "y: password=1"],
        ),
        (&[r"RewriteResponseHeader=X-A, (\\w)(?<b>\\w), $\\{b}$1$0"], &["x-a: ab"], &["x-a: baab"]),
        (
            &["DedupeResponseHeader=X-A X-B"],
            &["x-a: 1", "x-a: 2", "x-b: 1", "y: 1", "y: 1"],
            &["x-a: 1", "x-b: 1", "y: 1", "y: 1"],
        ),
        (&["DedupeResponseHeader=X-A, RETAIN_LAST"], &["x-a: 1", "x-a: 2"], &["x-a: 2"]),
        (
            &[
                "DedupeResponseHeader=X-A, RETAIN_UNIQUE",
                "{ name: DedupeResponseHeader, args: { name: X-A, strategy: RETAIN_UNIQUE } }",
            ],
            &["x-a: 1", "x-a: 2", "X-A: 1"],
            &["x-a: 1", "x-a: 2"],
        ),
        (&["RewriteLocationResponseHeader"], &["Location: http://i:8080/v2/x"], &["location: http://shop:81/x"]),
        // The filter gets to see the path after those before it.
        (
            &["'StripPrefix=1', RewriteLocationResponseHeader"],
            &["Location: http://i/v2/x"],
            &["location: http://shop:81/v2/x"],
        ),
        (
            &["RewriteLocationResponseHeader=NEVER_STRIP"],
            &["Location: http://i/v2/x"],
            &["location: http://shop:81/v2/x"],
        ),
        (
            &[
                "RewriteLocationResponseHeader=ALWAYS_STRIP, Link, api.example",
                "{ name: RewriteLocationResponseHeader, args: { stripVersion: ALWAYS_STRIP, locationHeaderName: Link, hostValue: api.example } }",
            ],
            &["link: https://i/v1/x", "location: http://i/v2/x"],
            &["link: https://api.example/x", "location: http://i/v2/x"],
        ),
        (
            &["{ name: RewriteLocationResponseHeader, args: { protocols: https } }"],
            &["Location: http://i/v2/x"],
            &["location: http://i/v2/x"],
        ),
        // The last filter of the document sees the answer first, as in Spring.
        (&["'AddResponseHeader=X-A, 1', 'AddResponseHeader=X-A, 2'"], &[], &["x-a: 2", "x-a: 1"]),
        (&["'DedupeResponseHeader=X-A', 'AddResponseHeader=X-A, 2'"], &["x-a: 1"], &["x-a: 1"]),
        (&["'AddResponseHeader=X-A, 2', 'RemoveResponseHeader=X-A'"], &["x-a: 1"], &["x-a: 2"]),
    ] {
        for form in forms {
            let form = if form.starts_with(['\'', '{']) { (*form).to_owned() } else { format!("'{form}'") };
            let form = form.replace(r"\\", r"\");
            assert_eq!(answered(&filters(&form), lines, &Variables::default()), expect, "{form}");
        }
    }
}

#[test]
fn secure_headers() {
    let names = |text: &str| {
        let table = table(text);
        let lines = answered(&table.routes()[0].filters, &["x-frame-options: SAMEORIGIN"], &Variables::default());
        lines.iter().map(|line| line.split(": ").take(2).collect::<Vec<_>>().join("=")).collect::<Vec<_>>()
    };
    let all = names(&document("Path=/**", "SecureHeaders"));
    assert_eq!(all.len(), 8, "{all:?}");
    assert!(all.contains(&"x-frame-options=SAMEORIGIN".to_owned()), "the instance's own counts: {all:?}");
    assert!(all.contains(&"strict-transport-security=max-age=631138519".to_owned()), "{all:?}");
    let settings = "spring.cloud.gateway.filter.secure-headers: { disable: [x-frame-options, Content-Security-Policy], enable: \
                    Permissions-Policy, referrer-policy: same-origin, permissions-policy: 'usb=()' }\n";
    let some = names(&format!("{settings}{}", document("Path=/**", "SecureHeaders")));
    assert_eq!(some.len(), 8, "{some:?}");
    assert!(some.contains(&"referrer-policy=same-origin".to_owned()), "{some:?}");
    assert!(some.contains(&"permissions-policy=usb=()".to_owned()), "{some:?}");
    assert!(!some.iter().any(|line| line.starts_with("content-security-policy")), "{some:?}");
    // A route's own lists take the place of the common ones.
    let own = "{ name: SecureHeaders, args: { disable: [X-Download-Options], frameOptionsHeaderValue: DENY } }";
    let own = names(&format!("{settings}{}", document("Path=/**", own)));
    assert_eq!(own.len(), 7, "{own:?}");
    assert!(own.iter().any(|line| line.starts_with("content-security-policy")), "{own:?}");
}

#[test]
fn statuses_and_redirections() {
    for (form, status) in
        [("SetStatus=401", 401), ("SetStatus=BAD_REQUEST", 400), ("{ name: SetStatus, args: { status: 204 } }", 204)]
    {
        let filters = filters(form);
        assert_eq!((filters.status(200).0, filters.status(101).0), (status, 101), "{form}");
    }
    assert_eq!(filters("SetStatus=401, SetStatus=402").status(200).0, 401, "the first one sees the answer last");
    let named = format!(
        "spring.cloud.gateway.set-status.original-status-header-name: X-Was\n{}",
        document("Path=/**", "SetStatus=401")
    );
    let table = table(&named);
    assert_eq!(table.routes()[0].filters.status(200).1.map(HeaderName::as_str), Some("x-was"));
    for (form, query, status, location) in [
        ("'RedirectTo=302, https://a.example/x?y'", Some("q=1"), 302, "https://a.example/x?y"),
        ("'RedirectTo=FOUND, /x, true'", Some("q=%41&b"), 302, "/x?q=%41&b"),
        ("'RedirectTo=308, /x?y#z, true'", Some("q=1"), 308, "/x?y&q=1#z"),
        ("{ name: RedirectTo, args: { status: 307, url: /x, includeRequestParams: true } }", None, 307, "/x"),
    ] {
        let redirect = filters(form).redirect.expect(form);
        assert_eq!(redirect.status, status, "{form}");
        assert_eq!(redirect.location(query).expect(form), location, "{form}");
    }
    // What stands behind a redirection is never come to, but for what keeps requests out.
    let behind = filters("'RedirectTo=302, /x', StripPrefix=1, RequestRateLimiter=1, RequestSize=1KB");
    assert_eq!(behind.rewrite("/a/b", &Variables::default()).expect("short").path, "/a/b");
    assert_eq!((behind.rates.len(), behind.max_body), (1, Some(1024)));
}

#[test]
fn variables_of_path_and_host() {
    let table =
        one("'SetRequestHeader=X-Seg, <{seg}>', 'AddRequestParameter=p, {seg}', 'SetResponseHeader=X-Out, {sub}', \
         'SetRequestHostHeader={sub}.internal', 'PrefixPath=/in/{sub}', 'AddResponseHeader=X-Rest, {rest}'");
    let route = &table.routes()[0];
    let path = "/a/x%2fy%20%26;v=1/b/c%2Fd";
    let variables = table.variables(route, path, Some("Eu.shop"), &Steps::default()).expect("few steps");
    let filters = &route.filters;
    assert_eq!(written(filters, &[], &variables).expect("it fits"), ["x-seg: <x/y &>"]);
    assert_eq!(filters.query(Some("a"), &variables).expect("short").as_deref(), Some("a&p=x%2Fy%20%26"));
    assert_eq!(filters.host(&variables).expect("a value").as_deref(), Some(&b"Eu.internal"[..]));
    assert_eq!(filters.rewrite(path, &variables).expect("short").path, format!("/in/Eu{path}"));
    assert_eq!(answered(filters, &[], &variables), ["x-rest: /b/c/d", "x-out: Eu"]);
    // Parts of segments and of labels, of whichever pattern matches.
    let table = super::table(&document(
        "{ name: Path, args: { patterns: ['/x/{a}-{b:[0-9]+}', '/y/{b}/{a}'] } }, 'Host=**.{h:[a-z]+}.example'",
        "'SetPath=/{b}/{a}/{h}'",
    ));
    let set = |path: &str, host: &str| {
        let route = &table.routes()[0];
        let variables = table.variables(route, path, Some(host), &Steps::default()).expect("few steps");
        route.filters.rewrite(path, &variables).map(|made| made.path.into_owned())
    };
    assert_eq!(set("/x/q-r-12", "a.b.eu.example").as_deref(), Ok("/12/q-r/eu"));
    assert_eq!(set("/y/1/2", "EU.example").as_deref(), Ok("/1/2/EU"));
    assert_eq!(set("/z", "EU.example"), Err(EditError::Missing));
    // Only the first prefix counts, as in Spring.
    let twice = super::table(&document("Path=/**", "PrefixPath=/a, PrefixPath=/b"));
    assert_eq!(twice.routes()[0].filters.rewrite("/x", &Variables::default()).expect("short").path, "/a/x");
}
