//! Everything that cannot be taken is said by name and line.

use super::{document, read};

/// The document must be refused (`Error`) or complained about (`Warning`) with exactly one problem like this.
pub(super) fn check(text: &str, severity: &str, line: u32, parts: &[&str]) {
    let (_, problems) = read(text);
    let [problem] = &*problems else { panic!("expected one problem, found {problems:#?}\n{text}") };
    let start = format!("{severity} g.yaml:{line}: ");
    assert!(problem.starts_with(&start), "expected {start}..., found {problem}\n{text}");
    for part in parts {
        assert!(problem.contains(part), "expected `{part}` in {problem}\n{text}");
    }
    assert!(!problem.contains('\n'), "{problem}");
}

#[test]
fn predicates() {
    for (predicate, parts) in [
        ("'Paht=/a'", &["predicates[0]", "unknown predicate `Paht`", "did you mean `Path`?"][..]),
        ("'path=/a'", &["did you mean `Path`?"]),
        ("'Foo=/a'", &["unknown predicate `Foo`", "own Java class (FooRoutePredicateFactory)", "Path, Method"]),
        ("ReadBody", &["predicate `ReadBody` is not supported", "Java"]),
        ("CloudFoundryRouteService", &["predicate `CloudFoundryRouteService` is not supported", "X-CF-Forwarded-Url"]),
        ("'Version=1.1+'", &["predicate `Version` is not supported", "spring.webflux.apiversion", "use Header"]),
        ("After", &["After needs `datetime`"]),
        ("'After=tomorrow'", &["expected a time with its offset", "found `tomorrow`"]),
        ("'Before=2027-01-20T17:42:47'", &["expected a time with its offset"]),
        ("'Between=2027-01-20T17:42:47Z'", &["Between needs `datetime2`"]),
        (
            "'Between=2027-01-20T17:42:47Z, 2027-01-20T17:42:47Z'",
            &["`2027-01-20T17:42:47Z` is not after the time before it"],
        ),
        ("'XForwardedRemoteAddr=localhost'", &["`localhost` is not an address or a network"]),
        ("XForwardedRemoteAddr", &["needs at least one of `sources`"]),
        ("'/b/**'", &["unknown predicate `/b/**`"]),
        ("'=x'", &["has no name"]),
        ("{ Path: '/a' }", &["unknown key", "`Name=argument`"]),
        ("{ args: { patterns: '/a' } }", &["has no `name`"]),
        ("{ name: Path, arg: { patterns: '/a' } }", &["unknown key", "did you mean `args`?"]),
        (
            "{ name: Path, args: { patern: '/a' } }",
            &["predicates[0].args.patern", "no argument `patern`", "did you mean `patterns`?"],
        ),
        ("'Path=true'", &["Path needs at least one of `patterns`"]),
        (
            "{ name: Path, args: { patterns: '/a', matchTrailingSlash: maybe } }",
            &["expected true or false, found `maybe`"],
        ),
        ("'Path=a/**'", &["must begin with `/`"]),
        ("'Path=/a/**/b'", &["must be the last segment"]),
        ("'Path=/a/{*x}/b'", &["must be the last segment"]),
        ("'Path=/a/{id'", &["never closed"]),
        ("'Path=/a/id}'", &["`}` without `{`"]),
        ("'Path=/a/{1d}'", &["`1d` is not the name of a variable"]),
        ("'Path=/a/{id:(}'", &["not a regular expression", "`(` is never closed at character 2"]),
        ("'Path=/{a}/{b}-{a}'", &["two variables are called `a`"]),
        ("'Path=/a%20b'", &["`%` never matches"]),
        ("'Method=G T'", &["`G T` is not a method"]),
        ("'Header='", &["Header needs `header` (header, regexp)"]),
        ("'Header=X Y'", &["`X Y` is not a header name"]),
        ("'Header=X, \\d{1,3}'", &["at most 2 argument(s) (header, regexp), found 3", "comma"]),
        ("'Header=X, (?<=a*)b'", &["no greatest length"]),
        ("'Header=X, #{@bean}'", &["expressions are not supported"]),
        ("{ name: Header, args: { header: X, _genkey_0: Y } }", &["`header` is given twice"]),
        ("'Query=a, ('", &["not a regular expression"]),
        ("'Cookie='", &["Cookie needs `name`"]),
        ("'Cookie=a, ['", &["not a regular expression"]),
        ("'Host=.example.org'", &["no host begins with a dot"]),
        ("'Host={sub.example.org'", &["never closed"]),
        ("'RemoteAddr=10.0.0.0/33'", &["`10.0.0.0/33` is not an address or a network"]),
        ("'RemoteAddr=localhost'", &["`localhost` is not an address or a network"]),
        ("'Weight=g'", &["Weight needs `weight` (group, weight)"]),
        ("'Weight=g, -1'", &["expected a weight", "found `-1`"]),
        ("'Weight=g, 0.5'", &["expected a weight"]),
        ("'Weight=g,1', 'Weight=h,1'", &["one weight group only"]),
    ] {
        check(&document(predicate, ""), "Error", 3, parts);
    }
}

#[test]
fn filters() {
    for (filter, parts) in [
        (
            "'StripPrefx=1'",
            &["filters[0]", "`StripPrefx` is not a filter of Spring", "did you mean `StripPrefix`?"][..],
        ),
        (
            "OwnFilter1",
            &[
                "filters[0]",
                "system's own Java class (OwnFilter1GatewayFilterFactory)",
                "no Java runs here",
                "`gray.spring.filters.OwnFilter1` says what stands for it",
                "`refuse`",
            ],
        ),
        ("CheckAuthority", &["own Java class (CheckAuthorityGatewayFilterFactory)", "nearest to it is JsonWebToken"]),
        ("ipRateLimiter", &["own Java class", "nearest to it is RequestRateLimiter"]),
        ("JsonToGrpc", &["filter `JsonToGrpc` is not supported", "protocol: h2"]),
        (
            "LocalResponseCache=30m",
            &[
                "filter `LocalResponseCache` is not supported",
                "cache in front",
                "`gray.spring.filters.LocalResponseCache`",
            ],
        ),
        ("'RemoveJsonAttributesResponseBody=a,b'", &["`RemoveJsonAttributesResponseBody` is not supported", "service"]),
        ("RequestHeaderToRequestUri=X", &["`RequestHeaderToRequestUri` is not supported", "predicate Header"]),
        ("'SetRequestUri=http://x'", &["filter `SetRequestUri` is not supported", "`uri`"]),
        ("ModifyRequestBody", &["filter `ModifyRequestBody` is not supported", "Java"]),
        ("ModifyResponseBody", &["filter `ModifyResponseBody` is not supported", "Java"]),
        ("'SetStatus=abc'", &["expected a status such as 302 or FOUND, found `abc`"]),
        ("'SetStatus=101'", &["expected a status from 200 to 599"]),
        ("'SetStatus=600'", &["expected a status from 200 to 599"]),
        ("SetStatus", &["SetStatus needs `status`"]),
        ("'SetRequestHostHeader=http://x'", &["expected host or host:port, found `http://x`"]),
        ("'RedirectTo=200, /x'", &["expected a status of a redirection", "found `200`"]),
        ("'RedirectTo=302'", &["RedirectTo needs `url`"]),
        ("'RedirectTo=302, /x y'", &["`/x y` is not a URL", "` ` cannot stand in one"]),
        ("'RedirectTo=302, https://{sub}.x'", &["`{` cannot stand in one, and nothing is filled in"]),
        ("'RedirectTo=302, /x, maybe'", &["expected true or false, found `maybe`"]),
        ("'SetPath=x'", &["expected a path that begins with `/`, found `x`"]),
        ("'SetPath=/x?y'", &["`?` cannot stand in a path unencoded"]),
        ("'PrefixPath=http://x'", &["expected a path that begins with `/`"]),
        ("'PrefixPath=/{x}'", &["`{x}` is not a variable of all patterns of Path"]),
        ("'AddRequestParameter=a'", &["AddRequestParameter needs `value`"]),
        ("\"AddRequestParameter=a, x\\ny\"", &["a control character cannot stand in a query"]),
        ("'AddRequestHeadersIfNotPresent=X'", &["expected name:value, found `X`"]),
        ("'AddRequestHeadersIfNotPresent=gray:1'", &["header `gray`"]),
        ("'MapRequestHeader=X'", &["MapRequestHeader needs `toHeader`"]),
        ("'MapRequestHeader=X, gray-lane'", &["header `gray-lane` carries the gateway's own decision"]),
        ("'SetRequestHeader=X-Forwarded-For, 1'", &["header `x-forwarded-for` says where a request came from"]),
        ("'AddRequestHeader=Forwarded, for=1'", &["header `forwarded` says where"]),
        ("'SetResponseHeader=baggage, a=b'", &["header `baggage` carries what travels along"]),
        ("'SetResponseHeader=Content-Length, 1'", &["header `content-length` belongs to the connection"]),
        ("'RemoveResponseHeader=Transfer-Encoding'", &["header `transfer-encoding` belongs to the connection"]),
        ("'DedupeResponseHeader=X Transfer-Encoding'", &["header `transfer-encoding`"]),
        ("'DedupeResponseHeader=X, RETAIN'", &["RETAIN_FIRST, RETAIN_LAST or RETAIN_UNIQUE, found `RETAIN`"]),
        ("'RewriteResponseHeader=X, (, a'", &["not a regular expression"]),
        ("'RewriteResponseHeader=X, a, $1'", &["`$` must be followed by"]),
        ("\"RewriteResponseHeader=X, a, b\\r\\nc\"", &["`\\r` cannot stand in the value of a header"]),
        ("'RewriteResponseHeader=X, a'", &["RewriteResponseHeader needs `replacement`"]),
        ("'RewriteLocationResponseHeader=SOMETIMES'", &["NEVER_STRIP, AS_IN_REQUEST or ALWAYS_STRIP"]),
        ("'RewriteLocationResponseHeader=NEVER_STRIP, Location, a b'", &["expected host or host:port, found `a b`"]),
        ("{ name: SecureHeaders, args: { disable: [X-Frame] } }", &["`X-Frame` is not a header of SecureHeaders"]),
        ("'RequestHeaderSize=much'", &["expected a size such as 5MB"]),
        ("{ name: RequestHeaderSize, args: { errorHeaderName: gray } }", &["header `gray`"]),
        (
            "{ name: AddRequestHeadersIfNotPresent, args: { keyValues: [{ key: a, value: b }] } }",
            &["expected a text as the element"],
        ),
        ("'StripPrefix=one'", &["expected a number of segments, found `one`"]),
        ("'RequestSize=much'", &["expected a size such as 5MB", "found `much`"]),
        ("'RequestSize=1TB'", &["expected a size such as 5MB"]),
        ("'RequestSize=99999999999GB'", &["expected a size such as 5MB"]),
        ("'RequestSize='", &["RequestSize needs `maxSize`"]),
        ("'RequestRateLimiter=0'", &["expected a number of at least 1, found `0`"]),
        ("'RequestRateLimiter=1, 2, 3'", &["3 tokens are more than there can ever be (2)"]),
        ("'RequestRateLimiter=1, 1, 1, usr'", &["client, user, route, header.NAME", "did you mean `user`?"]),
        (
            "{ name: RequestRateLimiter, args: { redis-rate-limiter.replenishRate: 1, key-resolver: '#{byUser}' } }",
            &["only the name of a bean is taken"],
        ),
        ("'JsonWebToken=a secret of some length'", &["name `algorithm: HS256` if it is a secret"]),
        ("{ name: JsonWebToken, args: { key: short, algorithm: HS256 } }", &["a secret of at least 16 bytes"]),
        ("{ name: JsonWebToken, args: { token: header.x } }", &["JsonWebToken needs `key`"]),
        (
            "{ name: JsonWebToken, args: { key: 'sixteen bytes or more', algorithm: HS256, token: body } }",
            &["expected header.NAME"],
        ),
        ("'StripPrefix=-1'", &["expected a number of segments"]),
        ("'StripPrefix=1,2'", &["at most 1 argument(s) (parts), found 2"]),
        ("'RewritePath=/a'", &["RewritePath needs `replacement`"]),
        ("'RewritePath=(, /a'", &["not a regular expression"]),
        ("'RewritePath=/a, /$1'", &["`$` must be followed by"]),
        ("'RewritePath=/(?<a>x), /$\\{b}'", &["no group is called `b`"]),
        ("'RewritePath=/(?<a>x), /$\\{a'", &["never closed"]),
        ("'RewritePath=/a, /b?c'", &["`?` cannot stand in a path"]),
        ("'RewritePath=/a, /b c'", &["` ` cannot stand in a path"]),
        ("\"RewritePath=/a, /b\\r\\nx\"", &["`\\r` cannot stand in a path"]),
        ("'AddRequestHeader=X'", &["AddRequestHeader needs `value` (name, value)"]),
        ("'AddRequestHeader=X,a,b'", &["found 3", "comma"]),
        ("'AddRequestHeader=X Y, a'", &["`X Y` is not a header name"]),
        ("\"AddRequestHeader=X, a\\r\\nY: b\"", &["cannot be the value of a header"]),
        ("\"AddResponseHeader=X, a\\nb\"", &["cannot be the value of a header"]),
        ("'AddRequestHeader=X, a{segment}'", &["`{segment}` is not a variable of all patterns of Path, or of Host"]),
        ("'AddRequestHeader=Gray, GRAY'", &["header `gray` carries the gateway's own decision"]),
        ("'RemoveRequestHeader=gray'", &["header `gray`"]),
        ("'AddResponseHeader=gray, PROD'", &["header `gray`"]),
        ("'AddRequestHeader=Host, x'", &["PreserveHostHeader"]),
        ("'RemoveRequestHeader=Content-Length'", &["header `content-length` belongs to the connection"]),
        ("'AddResponseHeader=Connection, close'", &["header `connection`"]),
        ("'AddRequestHeader=Keep-Alive, 5'", &["header `keep-alive`"]),
        ("'RemoveRequestHeader=Transfer-Encoding'", &["header `transfer-encoding`"]),
        (
            "{ name: AddResponseHeader, args: { name: X, value: 1, override: no } }",
            &["expected true or false, found `no`"],
        ),
    ] {
        check(&document("Path=/**", filter), "Error", 4, parts);
        if parts[0].contains("is not a variable") {
            continue;
        }
        let common = format!("spring.cloud.gateway:\n\n\n  default-filters: [ {filter} ]\n");
        check(&common, "Error", 4, parts.get(1..).unwrap_or_default());
    }
}

#[test]
fn routes() {
    for (route, line, parts) in [
        ("a", 3, &["routes[0]", "expected a route"][..]),
        ("{ id: a, predicates: [Path=/**] }", 3, &["a route needs a `uri`"]),
        ("{ id: a, uri: 'lb://s' }", 3, &["at least one predicate"]),
        (
            "{ id: a, uri: 'lb://s', predicates: [Path=/**], filter: [] }",
            3,
            &["routes[0].filter", "unknown key", "did you mean `filters`?"],
        ),
        ("{ id: a, uri: 'lb://s', predicates: [Path=/**], order: first }", 3, &["routes[0].order", "`first`"]),
        ("{ id: a, predicates: [Path=/**],\n    uri: 'order-app' }", 4, &["routes[0].uri", "expected lb://service"]),
        (
            "{ id: a, predicates: [Path=/**],\n    uri: 'forward:x' }",
            4,
            &["expected a path that begins with `/`, found `x`"],
        ),
        ("{ id: a, predicates: [Path=/**],\n    uri: 'forward:/{x}' }", 4, &["nothing is filled in"]),
        ("{ id: a, predicates: [Path=/**],\n    uri: 'forward:/a//b' }", 4, &["in different ways"]),
        ("{ id: a, predicates: [Path=/**],\n    uri: 'forward:/a/../b' }", 4, &["dot segment"]),
        (
            "{ id: a, predicates: [Path=/a], uri: 'forward:///b',\n    filters: [StripPrefix=1] }",
            4,
            &["a route that forwards"],
        ),
        (
            "{ id: a, predicates: [Path=/a], uri: 'lb://b',\n    metadata: { lanes: { x: 'forward:/b' } } }",
            3,
            &["a lane cannot be forwarded"],
        ),
        (
            "{ id: a, predicates: [Path=/a], uri: 'forward:/b',\n    metadata: { lanes: { x: 'lb://b' } } }",
            3,
            &["has no lanes"],
        ),
        ("{ id: a, predicates: [Path=/a/**],\n    uri: 'forward:/a/b' }", 2, &["the `uri` of route `a`", "leads back"]),
        ("{ id: a, predicates: [Path=/**],\n    uri: 'ftp://x' }", 4, &["unknown scheme"]),
        ("{ id: a, predicates: [Path=/**],\n    uri: 'lb://' }", 4, &["name of a service"]),
        ("{ id: a, predicates: [Path=/**],\n    uri: 'lb://x:y' }", 4, &["name of a service"]),
        (
            "{ id: a, predicates: [Path=/**],\n    uri: 'https://x:0' }",
            4,
            &["expected https://host or https://host:port"],
        ),
        ("{ id: a, predicates: [Path=/**],\n    uri: 'http://x:99999' }", 4, &["expected http://host"]),
        ("{ id: a, predicates: [Path=/**],\n    uri: 'http://x:+80' }", 4, &["expected http://host"]),
        ("{ id: a, predicates: [Path=/**],\n    uri: 'http://:80' }", 4, &["expected http://host"]),
        ("{ id: a, predicates: [Path=/**],\n    uri: 'http://[::1' }", 4, &["expected http://host"]),
        ("{ id: a, predicates: [Path=/**],\n    uri: 'http://u:p@x' }", 4, &["user or password"]),
        (
            "{ id: a, predicates: [Path=/**],\n    uri: 'lb://PAY@@x' }",
            4,
            &["service is `x`", "`PAY`", "`space: '@GROUP'`"],
        ),
        (
            "{ id: a, uri: 'lb://x', predicates: [Path=/**],\n    metadata: { space: 'a b' } }",
            4,
            &["metadata.space", "`a b` names no space: expected NAMESPACE"],
        ),
        (
            "{ id: a, uri: 'lb://x', predicates: [Path=/**],\n    metadata: { space: [] } }",
            4,
            &["metadata.space", "namespace@group or @group"],
        ),
        ("{ id: a, predicates: [Path=/**],\n    uri: 'file:/srv/web' }", 4, &["`file:/srv/web`", "file:///srv/web/v1"]),
        ("{ id: a, predicates: [Path=/**],\n    uri: 'file://srv/web' }", 4, &["absolute directory"]),
        ("{ id: a, predicates: [Path=/**],\n    uri: 'file://localhost/srv' }", 4, &["absolute directory"]),
        ("{ id: a, predicates: [Path=/**],\n    uri: 'file:web' }", 4, &["absolute directory"]),
        ("{ id: a, predicates: [Path=/**],\n    uri: 'file:///' }", 4, &["whole file system"]),
        ("{ id: a, predicates: [Path=/**],\n    uri: 'file:///srv/../etc' }", 4, &["without `..`"]),
        ("{ id: a, predicates: [Path=/**],\n    uri: 'file:///srv/%2e%2e/etc' }", 4, &["without `..`"]),
        ("{ id: a, predicates: [Path=/**],\n    uri: 'file:///srv/%00' }", 4, &["cannot be a directory"]),
        ("{ id: a, predicates: [Path=/**],\n    uri: 'file:///srv?v=1' }", 4, &["%3F"]),
        (
            "{ id: a, uri: 'file:///srv', predicates: [Path=/**],\n    metadata: { fallback: ../x.html } }",
            4,
            &["metadata.fallback", "index.html", "`../x.html`"],
        ),
        (
            "{ id: a, uri: 'file:///srv', predicates: [Path=/**],\n    metadata: { max-age: 1h } }",
            4,
            &["metadata.max-age", "seconds", "`1h`"],
        ),
        (
            "{ id: a, uri: 'file:///srv', predicates: [Path=/**],\n    metadata: { versioned: '/assets/, js' } }",
            4,
            &["metadata.versioned", "such as /assets/", "`js`"],
        ),
        (
            "{ id: a, uri: 'file:///srv', predicates: [Path=/**],\n    metadata: { versioned: / } }",
            4,
            &["metadata.versioned", "`/`"],
        ),
        (
            "{ id: a, uri: 'lb://s', predicates: [Path=/**],\n    metadata: { vary-by-lane: cookie } }",
            4,
            &["metadata.vary-by-lane", "true or false", "`cookie`"],
        ),
        (
            "{ id: a, uri: 'lb://s', predicates: [Path=/**],\n    metadata: { connect-timeout: 0 } }",
            4,
            &["metadata.connect-timeout", "milliseconds"],
        ),
        (
            "{ id: a, uri: 'lb://s', predicates: [Path=/**],\n    metadata: { connect-timeout: -1 } }",
            4,
            &["cannot be negative"],
        ),
        (
            "{ id: a, uri: 'lb://s', predicates: [Path=/**],\n    metadata: { response-timeout: 5s } }",
            4,
            &["milliseconds", "`5s`"],
        ),
        (
            "{ id: a, uri: 'lb://s', predicates: [Path=/**],\n    metadata: { protocol: http2 } }",
            4,
            &["metadata.protocol", "http1 or h2", "`http2`"],
        ),
        (
            "{ id: a, uri: 'lb://s', predicates: [Path=/**],\n    metadata: { max-in-flight: 0 } }",
            4,
            &["metadata.max-in-flight", "0 would turn every request away", "`enabled: false`"],
        ),
        (
            "{ id: a, uri: 'lb://s', predicates: [Path=/**],\n    filters: ['JsonWebToken=ENC(c2VjcmV0)'] }",
            4,
            &["filters[0]", "encrypted by Jasypt", "`${VARIABLE}`"],
        ),
    ] {
        check(&format!("spring.cloud.gateway:\n  routes:\n  - {route}\n"), "Error", line, parts);
    }
    let twice = "spring.cloud.gateway.routes:
- { id: a, uri: 'lb://s', predicates: [Path=/a] }
- { id: a, uri: 'lb://s', predicates: [Path=/b] }";
    check(twice, "Warning", 3, &["another route is called `a` already, at g.yaml:2", "this one is `a-2`"]);
    let ids = |text: &str| read(text).0.routes().iter().map(|route| route.id.to_string()).collect::<Vec<_>>();
    assert_eq!(ids(&format!("{twice}\n- {{ id: a, uri: 'lb://s', predicates: [Path=/c] }}")), ["a", "a-2", "a-3"]);
    check("spring.cloud.gateway:\n  routes: { a: b }", "Error", 2, &["expected a list"]);
    for (key, parts) in [
        ("server.webflux.rotues: []", &["rotues", "did you mean `routes`?"][..]),
        ("route: []", &["gateway.route", "did you mean `routes`?"]),
        ("default-filter: [gray]", &["default-filter", "did you mean `default-filters`?"]),
        ("routes[1].id: a", &["spring.cloud.gateway.routes", "the entry `[0]` is missing"]),
        ("default-filters[0]: gray", &["default-filters[0]", "`gray` is not a filter of Spring Cloud Gateway"]),
    ] {
        check(&format!("spring.cloud.gateway:\n  {key}\n"), "Error", 2, parts);
    }
    check("spring.cloud.gateway:\n  httpclient.connect-timeout: 0", "Error", 2, &["longer than 0"]);
}

#[test]
fn a_comma_always_separates_in_the_short_form() {
    let (_, problems) = read(&document("'Path=/a/{id:[0-9]{1,2}}'", ""));
    assert!(problems.len() == 2 && problems[0].contains("a pattern with a comma needs the list form"), "{problems:#?}");
    let (_, problems) = read(&document("{ name: Path, args: { patterns: '/a/{id:[0-9]{1,2}}' } }", ""));
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn all_errors_are_found_at_once() {
    let (table, problems) = read(
        "spring.cloud.gateway.routes:
- id: a
  uri: lbb://s
  predicates: [ 'Paht=/a', 'Method=G T' ]
  filters: [ Strip=1, 'AddRequestHeader=X' ]
- { id: b, uri: 'lb://s', predicates: [Path=/**] }",
    );
    assert_eq!(problems.len(), 5, "{problems:#?}");
    assert_eq!(table.routes().len(), 1);
}
