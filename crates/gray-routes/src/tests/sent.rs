//! Whatever filters make of a path: it is checked as it came and as it is sent, and empty segments go last.

use gray_rules::RequestFacts;
use http::HeaderMap;
use proptest::prelude::*;

use super::table;
use crate::{Spelling, check_path, spelling::canonical_of};

/// Every filter of the path, some of which undo or make what is ambiguous.
const FILTERS: [&str; 14] = [
    "'StripPrefix=1'",
    "'StripPrefix=2'",
    "'PrefixPath=/in//{seg}'",
    "'PrefixPath=/p'",
    "'SetPath=/set/{seg}'",
    "'SetPath=/{seg}//{rest}/'",
    "{ name: RewritePath, args: { regexp: '/a/(?<r>.*)', replacement: '/$\\{r}' } }",
    "{ name: RewritePath, args: { regexp: '/a(?!/admin)(?<r>/?.*)', replacement: '/v2$\\{r}' } }",
    "{ name: RewritePath, args: { regexp: '-', replacement: '/' } }",
    "{ name: RewritePath, args: { regexp: 'x', replacement: '.' } }",
    "{ name: RewritePath, args: { regexp: '(?<=/)y++', replacement: '/' } }",
    "{ name: RewritePath, args: { regexp: '%252e', replacement: '%2e' } }",
    "{ name: RewritePath, args: { regexp: '(?=[bx])', replacement: '/' } }",
    "{ name: RewritePath, args: { regexp: '%2f', replacement: '/' } }",
];

fn path() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/", "/", "/a", "/admin", "x", "xx", "-", "y", ".", "%2e", "%252e", "%2f", "%5c", "\\", ";", ";x=1", "%20",
        "b", "é",
    ]);
    prop::collection::vec(piece, 0..10).prop_map(|pieces| format!("/a{}", pieces.concat()))
}

/// Documents that are drawn, with 12 paths each: more of them where `PROPTEST_CASES` says so.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(600)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn what_is_sent_means_one_thing(
        common in prop::collection::vec(prop::sample::select(FILTERS.to_vec()), 0..3),
        own in prop::collection::vec(prop::sample::select(FILTERS.to_vec()), 0..4),
        paths in prop::collection::vec(path(), 12),
    ) {
        let text = format!(
            "spring.cloud.gateway:\n  default-filters: [{}]\n  routes:\n  - {{ id: a, uri: 'lb://a', predicates: ['Path=/a{{seg}}/{{*rest}}'], filters: [{}] }}\n  \
             - {{ id: all, uri: 'lb://a', predicates: ['Path=/{{seg}}/{{*rest}}'], filters: [{}] }}\n",
            common.join(", "),
            own.join(", "),
            own.join(", "),
        );
        let table = table(&text);
        let headers = HeaderMap::new();
        let send = |path: &str| {
            let request = RequestFacts { path, ..RequestFacts::new(&headers) };
            let resolved = table.resolve(&request, check_path(path).ok()?).ok()?;
            let route = resolved.route?;
            let sent = resolved.send(route, path).ok()?;
            Some((route.id.to_string(), sent.path.into_owned()))
        };
        for path in paths {
            let Some((id, sent)) = send(&path) else { continue };
            prop_assert!(sent.starts_with('/') && !sent.contains("//"), "{} became {}", path, sent);
            // As it came: no dot segment, however it is read.
            let received = canonical_of(&path);
            prop_assert!(received.is_ok(), "{} was taken", path);
            // As it is sent: the same.
            prop_assert!(check_path(&sent).is_ok() && canonical_of(&sent).is_ok(), "{} became {}", path, sent);
            // A server that reads it in another way gets what it would have got for that.
            if check_path(&path) == Ok(Spelling::Ambiguous)
                && let Ok(plain) = received
                && let Some((other_id, other)) = send(&plain)
            {
                prop_assert_eq!(&id, &other_id, "{} and {}", path, plain);
                prop_assert_eq!(canonical_of(&sent), canonical_of(&other), "{} and {}", path, plain);
            }
        }
    }
}
