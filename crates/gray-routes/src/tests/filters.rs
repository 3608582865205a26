//! Every filter, in its short and its long forms.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue};

use super::{super::Filters, document, table};

pub(super) fn filters(form: &str) -> Filters {
    table(&document("Path=/**", form)).routes()[0].filters.clone()
}

fn check_path(forms: &[&str], cases: &[(&str, &str, Option<&str>)]) {
    for form in forms {
        let filters = filters(form);
        for (path, expect, prefix) in cases {
            assert_eq!(filters.rewrite(path), *expect, "{form} {path}");
            assert_eq!(filters.stripped_prefix(path), *prefix, "{form} {path}");
        }
    }
}

#[test]
fn nothing_is_changed_without_filters() {
    check_path(&[""], &[("/a//b", "/a//b", None), ("/", "/", None)]);
    assert!(!filters("").preserve_host);
}

#[test]
fn strip_prefix() {
    check_path(
        &[
            "StripPrefix=1",
            "StripPrefix",
            "{ name: StripPrefix, args: { parts: 1 } }",
            "{ name: StripPrefix, args: { _genkey_0: '1' } }",
        ],
        &[
            ("/order-api/order/N0001", "/order/N0001", Some("/order-api")),
            ("/order-api", "/", Some("/order-api")),
            ("/order-api/", "/", Some("/order-api")),
            ("/a/b/", "/b/", Some("/a")),
            ("/a//b//c/", "/b/c/", None),
            ("//a/b", "/b", Some("//a")),
            ("/a%2Fb/c%20d", "/c%20d", Some("/a%2Fb")),
            ("/", "/", None),
        ],
    );
    check_path(
        &["StripPrefix=2"],
        &[("/a/b/c", "/c", Some("/a/b")), ("/a", "/", Some("/a")), ("/a/b", "/", Some("/a/b"))],
    );
    check_path(&["StripPrefix=0"], &[("/a/b", "/a/b", None), ("/a//b", "/a/b", None)]);
    check_path(&["StripPrefix=1, StripPrefix=1"], &[("/a/b/c", "/c", Some("/a/b")), ("/a//b/c", "/c", Some("/a//b"))]);
}

#[test]
fn stripping_borrows() {
    let filters = filters("StripPrefix=1");
    for path in ["/order-api/order/N0001", "/order-api", "/a/b/"] {
        assert!(matches!(filters.rewrite(path), Cow::Borrowed(_)), "{path}");
    }
}

#[test]
fn rewrite_path() {
    check_path(
        &[
            r"'RewritePath=/red/?(?<segment>.*), /$\{segment}'",
            r"{ name: RewritePath, args: { regexp: '/red/?(?<segment>.*)', replacement: '/$\{segment}' } }",
            r"'RewritePath=/red/?(.*), /$1'",
        ],
        &[
            ("/red/blue", "/blue", Some("/red")),
            ("/red", "/", Some("/red")),
            ("/green", "/green", None),
            ("/x/red/blue", "/x/blue", None),
        ],
    );
    // Java: every match is replaced, `$12` is group 1 and a `2` when there is no group 12, `\` makes literal.
    check_path(&[r"'RewritePath=(a), $12\$'"], &[("/a/ba", "/a2$/ba2$", None)]);
    check_path(&["'RewritePath=/api(?:/v(\\d))?, /x$1'"], &[("/api/v2/b", "/x2/b", None), ("/api/b", "/x/b", None)]);
    // A path stays a path.
    check_path(&["'RewritePath=^/.*, gone'"], &[("/a", "/gone", None)]);
    check_path(&["'StripPrefix=1', 'RewritePath=^/b, /c'"], &[("/a/b/x", "/c/x", None), ("/b/b", "/c", None)]);
    check_path(&["'RewritePath=^/b, /c/d', 'StripPrefix=1'"], &[("/b/x", "/d/x", None)]);
}

#[test]
fn header_filters() {
    let forms = "'AddRequestHeader=X-Add, one', { name: AddRequestHeader, args: { name: X-Add, value: 'two, three' } }, \
                 'RemoveRequestHeader=X-Gone', { name: RemoveRequestHeader, args: { name: X-Both } }, \
                 'AddRequestHeader=X-Both,new', 'AddResponseHeader=X-Out,1', \
                 { name: AddResponseHeader, args: { name: X-Out, value: 2 } }";
    let filters = filters(forms);
    let lines = |fields: &[(HeaderName, HeaderValue)]| {
        let line = |(name, value): &(HeaderName, HeaderValue)| format!("{name}: {}", value.to_str().expect("text"));
        fields.iter().map(line).collect::<Vec<_>>()
    };
    assert_eq!(lines(filters.added()), ["x-add: one", "x-add: two, three", "x-both: new"]);
    assert_eq!(lines(filters.added_to_response()), ["x-out: 1", "x-out: 2"]);
    assert!(filters.removes("X-Gone") && filters.removes("x-both"));
    assert!(!filters.removes("x-add") && !filters.removes("x-kept") && !filters.removes("x-out"));
}

#[test]
fn preserve_host_header() {
    assert!(filters("PreserveHostHeader").preserve_host);
    assert!(filters("{ name: PreserveHostHeader }").preserve_host);
}

#[test]
fn request_size() {
    for (text, bytes) in
        [("0", 0), ("1000", 1000), ("10B", 10), ("5KB", 5 << 10), ("5MB", 5 << 20), ("2 GB", 2 << 30), ("3mb", 3 << 20)]
    {
        assert_eq!(filters(&format!("RequestSize={text}")).max_body, Some(bytes), "{text}");
    }
    assert_eq!(filters("{ name: RequestSize, args: { maxSize: 5MB } }").max_body, Some(5 << 20));
    let table = table(
        "spring.cloud.gateway:
  default-filters: [PreserveHostHeader, RequestSize=1KB]
  routes:
  - { id: one, uri: 'lb://s', predicates: [Path=/**], filters: [RequestSize=5MB] }
  - { id: two, uri: 'lb://s', predicates: [Path=/**] }",
    );
    let limits: Vec<_> = table.routes().iter().map(|route| route.filters.max_body).collect();
    assert_eq!(limits, [Some(5 << 20), Some(1 << 10)], "a route's own wins, wherever it stands");
}

#[test]
fn the_key_of_a_token_is_shown_nowhere() {
    let filters =
        filters("{ name: JsonWebToken, args: { key: 'a secret of some length', algorithm: HS256, issuer: us } }");
    let shown = format!("{filters:?}");
    assert!(shown.contains("hidden") && !shown.contains("secret of"), "{shown}");
}

#[test]
fn truth_is_read_alike_everywhere() {
    for truth in ["TRUE", "true"] {
        let filters = filters(&format!(
            "{{ name: JsonWebToken, args: {{ key: 'sixteen bytes or more', algorithm: HS256, requireExp: {truth} }} }}"
        ));
        assert!(filters.token.is_some_and(|token| format!("{token:?}").contains("requires_expiry: true")), "{truth}");
    }
}

#[test]
fn default_filters_keep_springs_places() {
    let table = table(
        "spring.cloud.gateway:
  default-filters:
  - StripPrefix=1
  - AddRequestHeader=X-A, common
  routes:
  - { id: one, uri: 'lb://s', predicates: [Path=/**], filters: ['RewritePath=^/b, /c', 'RemoveRequestHeader=X-A'] }
  - { id: two, uri: 'lb://s', predicates: [Path=/**] }",
    );
    let [one, two] = table.routes() else { panic!("two routes") };
    // StripPrefix (common, first), RewritePath (own, first), AddRequestHeader (common, second), Remove (own, second).
    assert_eq!(one.filters.rewrite("/a/b"), "/c");
    assert_eq!(two.filters.rewrite("/a/b"), "/b");
    assert!(one.filters.added().is_empty() && one.filters.removes("x-a"));
    assert_eq!(two.filters.added(), [(HeaderName::from_static("x-a"), HeaderValue::from_static("common"))]);
}
