//! Every filter, in its short and its long forms.

use std::borrow::Cow;

use super::{
    super::{Filters, Variables},
    document,
    edits::sent,
    table,
};

pub(super) fn filters(form: &str) -> Filters {
    table(&document("Path=/**", form)).routes()[0].filters.clone()
}

fn check_path(forms: &[&str], cases: &[(&str, &str, Option<&str>)]) {
    for form in forms {
        let filters = filters(form);
        for (path, expect, prefix) in cases {
            let rewritten = filters.rewrite(path, &Variables::default()).expect("short");
            assert_eq!(rewritten.path, *expect, "{form} {path}");
            assert_eq!(rewritten.prefix(path).as_deref(), *prefix, "{form} {path}");
        }
    }
}

#[test]
fn nothing_is_changed_without_filters() {
    check_path(&[""], &[("/a//b", "/a/b", None), ("/", "/", None), ("//", "/", None), ("/a///", "/a/", None)]);
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
    // Each filter has its part of the prefix, as in Spring.
    check_path(
        &["StripPrefix=1, StripPrefix=1"],
        &[("/a/b/c", "/c", Some("/a/b,/b")), ("/a//b/c", "/c", Some("/a//b,/b")), ("/a", "/", Some("/a"))],
    );
    check_path(&["StripPrefix=0, StripPrefix=1"], &[("/a/b", "/b", Some("/a"))]);
}

#[test]
fn stripping_borrows() {
    let filters = filters("StripPrefix=1");
    for path in ["/order-api/order/N0001", "/order-api", "/a/b/"] {
        let rewritten = filters.rewrite(path, &Variables::default()).expect("short");
        assert!(matches!(rewritten.path, Cow::Borrowed(_)), "{path}");
        assert!(matches!(rewritten.prefix(path), Some(Cow::Borrowed(_))), "{path}");
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
    // What is beyond ASCII is encoded, as in Spring.
    check_path(&["'RewritePath=/a, /é'"], &[("/a", "/%C3%A9", None)]);
    // Empty segments go at the end, also those that the client sent.
    check_path(&[r"'RewritePath=/f(?<s>/?.*), /$\{s}'"], &[("/f/a", "/a", Some("/f")), ("/f", "/", Some("/f"))]);
    check_path(&["'RewritePath=/a, /b//'"], &[("/a/c", "/b/c", None), ("/x//y", "/x/y", None)]);
    // A path stays a path.
    check_path(&["'RewritePath=^/.*, gone'"], &[("/a", "/gone", None)]);
    check_path(&["'StripPrefix=1', 'RewritePath=^/b, /c'"], &[("/a/b/x", "/c/x", None), ("/b/b", "/c", None)]);
    check_path(&["'RewritePath=^/b, /c/d', 'StripPrefix=1'"], &[("/b/x", "/d/x", Some("/c"))]);
}

#[test]
fn preserve_host_header() {
    assert!(filters("PreserveHostHeader").preserve_host);
    assert!(filters("{ name: PreserveHostHeader }").preserve_host);
    // Spring ignores what is given to it.
    assert!(filters("PreserveHostHeader=true").preserve_host);
    assert!(filters("{ name: PreserveHostHeader, args: { on: true } }").preserve_host);
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
    let rewrite = |filters: &Filters| filters.rewrite("/a/b", &Variables::default()).expect("short").path.into_owned();
    assert_eq!(rewrite(&one.filters), "/c");
    assert_eq!(rewrite(&two.filters), "/b");
    assert_eq!(sent(&one.filters, &[]), [""; 0]);
    assert!(one.filters.removes("x-a"));
    assert_eq!(sent(&two.filters, &[]), ["x-a: common"]);
}
