//! Every predicate, in its short and its long forms.

use super::{Request, document, read, table, taken};

/// Checks that every way of writing the predicate takes and leaves these requests.
fn check(forms: &[&str], takes: &[Request], leaves: &[Request]) {
    for form in forms {
        let table = table(&document(form, ""));
        for (requests, expect) in [(takes, "one"), (leaves, "-")] {
            for request in requests {
                assert_eq!(taken(&table, request), expect, "{form}: {} {:?}", request.target, request.headers);
            }
        }
    }
}

fn paths(paths: &[&str]) -> Vec<Request> {
    paths.iter().map(|path| Request::get(path)).collect()
}

#[test]
fn path_forms() {
    check(
        &[
            "'Path=/a/**,/b/{id}'",
            "'Path = /a/** , /b/{id}'",
            "'Path=/a/**,/b/{id},true'",
            "{ name: Path, args: { patterns: ['/a/**', '/b/{id}'] } }",
            "{ name: Path, args: { patterns: '/a/**,/b/{id}' } }",
            "{ name: Path, args: { patterns: ['/a/**', '/b/{id}'], match-trailing-slash: true } }",
            "{ name: Path, args: { _genkey_0: '/a/**', _genkey_1: '/b/{id}' } }",
            "{ name: Path, args: { _genkey_1: '/b/{id}', _genkey_0: '/a/**', _genkey_2: 'true' } }",
        ],
        &paths(&["/a", "/a/", "/a/x", "/a/x/y/", "/a//x", "/b/1", "/b/1/"]),
        &paths(&["/", "/ab", "/b", "/b/", "/b/1/2", "/b/1//", "/A/x", "//a", "*", ""]),
    );
    check(
        &[
            "'Path=/a/{id},false'",
            "{ name: Path, args: { pattern: '/a/{id}', matchTrailingSlash: false } }",
            "{ name: Path, args: { patterns: ['/a/{id}'], matchOptionalTrailingSeparator: 'false' } }",
        ],
        &paths(&["/a/1"]),
        &paths(&["/a/1/", "/a/", "/a"]),
    );
}

/// Mostly the cases of Spring's own tests of its path patterns.
#[test]
fn path_patterns() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("/foo", &["/foo", "/foo/", "/f%6fo", "/foo;v=1"], &["/food", "/fo", "/foo//", "/Foo", "/"]),
        ("/foo/", &["/foo/"], &["/foo", "/foo//"]),
        ("/", &["/"], &["//", "/a"]),
        ("/**", &["/", "/x", "//x//", "/x/y"], &["*"]),
        ("/{*rest}", &["/", "/x", "//x//"], &[]),
        ("/res/**", &["/res", "/res/", "/res/x/y", "/res//"], &["/resX", "/resX/y"]),
        ("/res/{*rest}", &["/res", "/res/x/y"], &["/resX"]),
        ("/*", &["/", "/x", "/x/"], &["/x//", "/x/y"]),
        ("/*/", &["/x/"], &["/x", "/x//"]),
        ("/a/*", &["/a/", "/a/a", "/a/a/"], &["/a//", "/a"]),
        ("/*/bar", &["/foo/bar"], &["/foo/baz", "//bar"]),
        ("/*/**", &["/a", "/a/b"], &["/", "//"]),
        ("/f*/bar", &["/foo/bar", "/f/bar"], &["/goo/bar"]),
        ("/a*b*c*d/bar", &["/abcd/bar"], &["/abc/bar"]),
        ("/a**b", &["/ab", "/axxb"], &["/a/b"]),
        ("/bla*bla/test", &["/bla-x-bla/test"], &["/bla-x-bl/test"]),
        ("/f?o/bar", &["/foo/bar", "/f%20o/bar"], &["/fo/bar", "/fooo/bar"]),
        ("/??", &["/aa", "/aa/"], &["/a", "/aaa", "/a/a"]),
        ("/.?.a", &["/.a.a"], &["/.aba"]),
        ("/{a}", &["/x", "/x/", "/%20"], &["/", "//", "/x//"]),
        ("/{a}/boo", &["/a/boo"], &["/boo", "//boo"]),
        ("/{a}_{b}", &["/r1_r2", "/r1_r2/"], &["/r1r2", "/r1_r2//"]),
        ("/{a}*", &["/a", "/a/"], &["/", "//"]),
        ("/{a}.html", &["/x.html"], &["/x.htm", "/xhtml"]),
        ("/{n:[0-9]+}", &["/12"], &["/1x", "/x", "/"]),
        ("/{n:[0-9]*}", &["/12"], &["/x", "/"]),
        ("/{n:a{2}}/{m:\\d{1}}", &["/aa/1"], &["/a/1", "/aa/12"]),
        ("/{n:a|b}c", &["/ac", "/bc"], &["/a", "/c"]),
        ("/{n:\\{\\}}", &["/{}"], &["/x"]),
        ("/{n:f o}", &["/f%20o"], &["/fxo"]),
        ("/*/{foo:....}/**", &["/foo/barg", "/foo/barg/x/y"], &["/foo/bar"]),
        ("///abc//d", &["///abc//d"], &["/abc/d", "///abc/d"]),
        ("/杭/**", &["/%e6%9d%ad/x"], &["/%e6%9d/x"]),
    ];
    for (pattern, takes, leaves) in cases {
        let form = format!("{{ name: Path, args: {{ patterns: ['{pattern}'] }} }}");
        check(&[&form], &paths(takes), &paths(leaves));
    }
}

#[test]
fn method() {
    check(
        &[
            "'Method=GET,POST'",
            "'Method=get, Post'",
            "{ name: Method, args: { methods: 'GET,POST' } }",
            "{ name: Method, args: { methods: [GET, POST] } }",
            "{ name: Method, args: { _genkey_0: GET, _genkey_1: POST } }",
        ],
        &[Request::get("/"), Request::get("/").method("POST")],
        &[Request::get("/").method("PUT"), Request::get("/").method("HEAD"), Request::get("/").method("get")],
    );
    // Other methods exist, but a typing error looks just like one.
    let (table, problems) = read(&document("'Method=PROPFIND,GTE'", ""));
    assert_eq!(taken(&table, &Request::get("/").method("PROPFIND")), "one");
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[1].starts_with("Warning g.yaml:3") && problems[1].contains("did you mean `GET`"), "{problems:?}");
}

#[test]
fn header() {
    check(
        &[
            "'Header=X-Id, \\d+'",
            "{ name: Header, args: { header: X-Id, regexp: '\\d+' } }",
            "{ name: Header, args: { _genkey_0: X-Id, _genkey_1: '\\d+' } }",
        ],
        &[Request::get("/").header("x-id", "12"), Request::get("/").header("x-id", "x").header("x-id", "7")],
        &[
            Request::get("/"),
            Request::get("/").header("x-id", "12a"),
            Request::get("/").header("x-id", ""),
            Request::get("/").header("x-id", b"\xff1"),
        ],
    );
    check(
        &[
            "'Header=X-Id'",
            "{ name: Header, args: { header: X-Id } }",
            "{ name: Header, args: { header: X-Id, regexp: } }",
        ],
        &[Request::get("/").header("x-id", ""), Request::get("/").header("x-id", b"\xff")],
        &[Request::get("/")],
    );
    check(
        &["'Header=X-Id, V2'"],
        &[Request::get("/").header("x-id", "V2")],
        &[Request::get("/").header("x-id", "V22")],
    );
}

#[test]
fn query() {
    check(
        &["'Query=color, gree.'", "{ name: Query, args: { param: color, regexp: gree. } }"],
        &paths(&["/?color=green", "/?a&color=red&color=greet", "/?c%6flor=gr%65en", "/?color=gree+", "/?color=gree="]),
        &paths(&[
            "/",
            "/?",
            "/?color",
            "/?color=",
            "/?color=greener",
            "/?Color=green",
            "/?xcolor=green",
            "/color=green",
        ]),
    );
    check(
        &["'Query=color'", "{ name: Query, args: { param: color } }"],
        &paths(&["/?color", "/?color=", "/?a=b&color=x"]),
        &paths(&["/", "/?colors=1", "/?a=color"]),
    );
}

#[test]
fn cookie() {
    let cookie = |value: &str| Request::get("/").header("cookie", value);
    check(
        &["'Cookie=choc, ch.p'", "{ name: Cookie, args: { name: choc, regexp: ch.p } }"],
        &[
            cookie("choc=chip"),
            cookie("a=b; choc=chop"),
            cookie("a=b;choc=\"chip\""),
            cookie("a=b").header("cookie", "choc=chip"),
        ],
        &[Request::get("/"), cookie("choc=chips"), cookie("xchoc=chip"), cookie("choc"), cookie("a=choc=chip")],
    );
    check(&["Cookie=choc"], &[cookie("choc="), cookie("choc=1")], &[cookie("cho=1"), cookie("choc")]);
}

#[test]
fn host() {
    let host = |host: &str| Request::get("/").host(Some(host));
    check(
        &[
            "'Host=**.somehost.org,*.other.org'",
            "{ name: Host, args: { patterns: ['**.somehost.org', '*.other.org'] } }",
            "{ name: Host, args: { patterns: '**.somehost.org,*.other.org' } }",
        ],
        &[
            host("www.somehost.org"),
            host("a.b.somehost.org"),
            host("somehost.org"),
            host("x.OTHER.org"),
            host("x.other.org."),
        ],
        &[host("other.org"), host("a.b.other.org"), host("somehost.org.evil"), host("xsomehost.org"), host("")],
    );
    check(&["'Host=**.a.**.b'"], &[host("a.b"), host("x.a.a.y.b.b")], &[host("b.a"), host("a.x")]);
    check(&["'Host=**'"], &[host("x"), host("[::1]")], &[Request::get("/").host(None)]);
    check(
        &["'Host={sub}.x.org'", "'Host=www?.x.org,w*.x.org'"],
        &[host("WWW1.x.org")],
        &[host("x.org"), host("a.b.x.org")],
    );
    check(
        &["{ name: Host, args: { patterns: ['{v:v\\d{1,2}}.x.org'] } }"],
        &[host("V12.x.org")],
        &[host("v123.x.org")],
    );
    check(&["'Host=127.0.0.*'"], &[host("127.0.0.1")], &[host("127.0.1.1")]);
}

/// Where an expression takes too many steps it is not known which route it is, least of all the one behind.
#[test]
fn what_takes_too_many_steps_is_not_known() {
    let many = "a".repeat(60);
    for (predicate, request) in [
        ("'Path=/{x:(?!ok)(?:a+)+b}'", Request::get(&format!("/{many}"))),
        ("'Host={x:(?!ok)(?:a+)+b}.example'", Request::get("/").host(Some(&format!("{many}.example")))),
        ("'Header=X-Who, (?!ok)(?:a+)+b'", Request::get("/").header("x-who", &many)),
        ("'Query=who, (?!ok)(?:a+)+b'", Request::get(&format!("/?who={many}"))),
        ("'Cookie=who, (?!ok)(?:a+)+b'", Request::get("/").header("cookie", format!("who={many}"))),
    ] {
        let table = table(&format!(
            "spring.cloud.gateway.routes:\n- {{ id: guard, uri: 'lb://a', predicates: [{predicate}] }}\n\
             - {{ id: open, uri: 'lb://a', predicates: ['Path=/**'] }}\n"
        ));
        assert!(table.find(&request.facts()).is_err(), "{predicate}");
        assert_eq!(
            taken(&table, &Request::get("/x?who=ok").header("x-who", "ok").host(Some("ok"))),
            "open",
            "{predicate}"
        );
    }
}

#[test]
fn remote_addr() {
    let from = |remote| Request::get("/").remote(remote);
    check(
        &[
            "'RemoteAddr=192.168.1.1/24,10.0.0.7,fd00::/8'",
            "{ name: RemoteAddr, args: { sources: ['192.168.1.1/24', 10.0.0.7, 'fd00::/8'] } }",
        ],
        &[from("192.168.1.200"), from("10.0.0.7"), from("fd12::1"), from("::ffff:10.0.0.7")],
        &[from("192.168.2.1"), from("10.0.0.8"), from("fe80::1"), from("127.0.0.1")],
    );
    // As IPv6 writes addresses of IPv4.
    check(
        &["'RemoteAddr=::ffff:7f00:1'", "'RemoteAddr=::ffff:127.0.0.1,fd00::/8'", "'RemoteAddr=::ffff:127.0.0.0/127'"],
        &[from("127.0.0.1"), from("::ffff:127.0.0.1")],
        &[from("127.0.0.2"), from("10.0.0.1"), from("::1")],
    );
}

#[test]
fn weight() {
    for (light, heavy) in [
        ("'Weight=g, 1'", "'Weight=g, 9'"),
        (
            "{ name: Weight, args: { group: g, weight: 1 } }",
            "{ name: Weight, args: { weight.group: g, weight.weight: 9 } }",
        ),
        ("{ name: Weight, args: { _genkey_0: g, _genkey_1: 1 } }", "'Weight=g,9'"),
    ] {
        let table = table(&format!(
            "spring.cloud.gateway.routes:
- {{ id: light, uri: 'lb://a', predicates: ['Path=/**', {light}] }}
- {{ id: heavy, uri: 'lb://b', predicates: ['Path=/**', {heavy}] }}"
        ));
        let mut rng = fastrand::Rng::with_seed(1);
        let mut lights = 0;
        for _ in 0..10_000 {
            let request = Request { random: rng.u64(..), ..Request::get("/x") };
            match taken(&table, &request) {
                "light" => lights += 1,
                other => assert_eq!(other, "heavy"),
            }
        }
        assert!((900..1100).contains(&lights), "{lights} of 10000");
    }
}

#[test]
fn all_predicates_of_a_route_must_hold() {
    check(
        &["'Path=/a/**', 'Path=/*/b', Method=GET, 'Header=X'", "'Header=X', Method=GET, 'Path=/*/b', 'Path=/a/**'"],
        &[Request::get("/a/b").header("x", "1")],
        &[
            Request::get("/a/b"),
            Request::get("/a/c").header("x", "1"),
            Request::get("/c/b").header("x", "1"),
            Request::get("/a/b").header("x", "1").method("PUT"),
        ],
    );
}

#[test]
fn times() {
    let at = |time: &str| {
        let now = gray_rules::time::parse_time(time).expect("a time");
        Request { now, ..Request::get("/") }
    };
    let (before, from, to) =
        ("2017-01-20T16:42:46-07:00", "2017-01-20T17:42:47.789-07:00", "2017-01-21T17:42:47.789-07:00");
    let zoned = format!("{from}[America/Denver]");
    check(
        &[&*format!("'After={zoned}'"), "{ name: After, args: { datetime: '1484959367789' } }"],
        &[at("2017-01-21T00:42:47Z"), at(to)],
        &[at(before), at("2017-01-21T00:42:46Z")],
    );
    check(
        &[&*format!("'Before={zoned}'")],
        &[at(before), at("2017-01-21T00:42:46Z")],
        &[at("2017-01-21T00:42:47Z"), at(to)],
    );
    check(
        &[
            &*format!("'Between={zoned}, {to}[America/Denver]'"),
            &*format!("{{ name: Between, args: {{ datetime1: '{from}', datetime2: '{to}' }} }}"),
        ],
        &[at("2017-01-21T00:42:47Z"), at("2017-01-22T00:42:46Z")],
        &[at(before), at("2017-01-22T00:42:47Z")],
    );
}

#[test]
fn x_forwarded_remote_addr() {
    // The client's address behind trusted hops is for the caller to find: what a stranger writes is not looked at.
    let from = |client: &'static str| Request::get("/").remote(client).header("x-forwarded-for", "10.0.0.7");
    check(
        &[
            "'XForwardedRemoteAddr=10.0.0.7, fd00::/8'",
            "{ name: XForwardedRemoteAddr, args: { sources: [10.0.0.7, 'fd00::/8'] } }",
        ],
        &[from("10.0.0.7"), from("fd12::1"), from("::ffff:10.0.0.7")],
        &[from("10.0.0.8"), from("127.0.0.1")],
    );
    let (_, problems) = super::read(&super::document(
        "{ name: XForwardedRemoteAddr, args: { sources: 10.0.0.7, maxTrustedIndex: 2 } }",
        "",
    ));
    assert!(problems.len() == 1 && problems[0].contains("`trustedHops`"), "{problems:#?}");
}
