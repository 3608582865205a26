//! Whether two answers are the same, and if not, in what.

use std::collections::{BTreeSet, HashSet};

use http::{HeaderMap, HeaderName, header};
use serde_json::Value;

/// Headers that mean something to clients; those that begin with `access-control-` come to them.
const COMPARED: [HeaderName; 8] = [
    header::LOCATION,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_DISPOSITION,
    header::CACHE_CONTROL,
    header::VARY,
    header::WWW_AUTHENTICATE,
    header::ALLOW,
];
/// Headers that are lists of names, in any order.
const LISTS: [HeaderName; 2] = [header::VARY, header::ALLOW];
/// Most places of two bodies that are listed.
const MAX_PLACES: usize = 5;
/// Longest piece of an answer that is shown.
const LONGEST: usize = 80;

/// An answer, as much of it as is kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// The body is longer than that.
    pub(super) is_cut: bool,
    /// `scheme://host:port` it came from.
    pub(super) from: String,
}

/// What of two answers differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// `status`, `header NAME` or `body`.
    pub(super) kind: String,
    /// Where in a body.
    pub(super) place: String,
    pub(super) spring: String,
    pub(super) ours: String,
}

/// What is compared.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    /// Further headers.
    pub(super) headers: Vec<HeaderName>,
    pub(super) ignored_headers: HashSet<HeaderName>,
    /// Places in JSON that may differ, as pointers; `*` stands for any one step.
    pub(super) ignored: Vec<String>,
    /// What errors say: each gateway words its own.
    pub(super) ignores_error_bodies: bool,
}

impl Rules {
    /// Everything in which the two differ.
    pub(super) fn compare(&self, spring: &Answer, ours: &Answer) -> Vec<Difference> {
        let mut found = Vec::new();
        let has_body = !(self.ignores_error_bodies && spring.status == ours.status && spring.status >= 400);
        let mut note = |kind: String, place: &str, one: String, other: String| {
            let (spring, ours) = (shown(&one), shown(&other));
            found.push(Difference { kind, place: place.to_owned(), spring, ours });
        };
        if spring.status != ours.status {
            note("status".to_owned(), "", spring.status.to_string(), ours.status.to_string());
        }
        let is_compared = |name: &HeaderNameOrd| has_body || name.0 != header::CONTENT_TYPE;
        for name in self.names(spring, ours).into_iter().filter(is_compared) {
            let (one, other) = (field(spring, &name), field(ours, &name));
            if one != other {
                let text = |values: Option<String>| values.unwrap_or_else(|| "(none)".to_owned());
                note(format!("header {name}"), "", text(one), text(other));
            }
        }
        let (one, other) = (cookies(&spring.headers), cookies(&ours.headers));
        if one != other && !self.ignored_headers.contains(&header::SET_COOKIE) {
            let text = |names: BTreeSet<String>| {
                if names.is_empty() { "(none)".to_owned() } else { names.into_iter().collect::<Vec<_>>().join(", ") }
            };
            note("header set-cookie".to_owned(), "", text(one), text(other));
        }
        let bodies = if has_body { self.body(spring, ours) } else { Vec::new() };
        for (place, one, other) in bodies {
            note("body".to_owned(), &place, one, other);
        }
        found
    }

    fn names(&self, spring: &Answer, ours: &Answer) -> BTreeSet<HeaderNameOrd> {
        let both = spring.headers.keys().chain(ours.headers.keys());
        let cross = both.filter(|name| name.as_str().starts_with("access-control-"));
        let all = COMPARED.iter().chain(&self.headers).chain(cross);
        all.filter(|name| !self.ignored_headers.contains(*name)).map(|name| HeaderNameOrd(name.clone())).collect()
    }

    fn body(&self, spring: &Answer, ours: &Answer) -> Vec<(String, String, String)> {
        if spring.body == ours.body && spring.is_cut == ours.is_cut {
            return Vec::new();
        }
        let json = |answer: &Answer| serde_json::from_slice::<Value>(&answer.body).ok().filter(|_| !answer.is_cut);
        if let (Some(one), Some(other)) = (json(spring), json(ours)) {
            let mut found = Vec::new();
            self.values("", &one, &other, &mut found);
            return found;
        }
        vec![(String::new(), described(spring), described(ours))]
    }

    fn values(&self, at: &str, one: &Value, other: &Value, found: &mut Vec<(String, String, String)>) {
        if found.len() >= MAX_PLACES || one == other || self.ignored.iter().any(|pointer| is_at(pointer, at)) {
            return;
        }
        let missing = || "(none)".to_owned();
        let text = |value: Option<&Value>| value.map_or_else(missing, Value::to_string);
        match (one, other) {
            (Value::Object(one), Value::Object(other)) => {
                let keys: BTreeSet<_> = one.keys().chain(other.keys()).collect();
                for key in keys {
                    let below = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                    self.both(&below, one.get(key), other.get(key), found);
                }
            }
            (Value::Array(one), Value::Array(other)) => {
                for place in 0..one.len().max(other.len()) {
                    self.both(&format!("{at}/{place}"), one.get(place), other.get(place), found);
                }
            }
            _ => found.push((at.to_owned(), text(Some(one)), text(Some(other)))),
        }
    }

    fn both(&self, at: &str, one: Option<&Value>, other: Option<&Value>, found: &mut Vec<(String, String, String)>) {
        match (one, other) {
            (Some(one), Some(other)) => self.values(at, one, other, found),
            _ if found.len() >= MAX_PLACES || self.ignored.iter().any(|pointer| is_at(pointer, at)) => {}
            _ => {
                let text = |value: Option<&Value>| value.map_or_else(|| "(none)".to_owned(), Value::to_string);
                found.push((at.to_owned(), text(one), text(other)));
            }
        }
    }
}

/// A name in the order of its letters.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HeaderNameOrd(HeaderName);

impl PartialOrd for HeaderNameOrd {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for HeaderNameOrd {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.as_str().cmp(other.0.as_str())
    }
}

impl std::fmt::Display for HeaderNameOrd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// Whether a pointer, in which `*` is any one step, is this one.
fn is_at(pointer: &str, at: &str) -> bool {
    let (mut steps, mut path) = (pointer.split('/'), at.split('/'));
    loop {
        match (steps.next(), path.next()) {
            (None, None) => return true,
            (Some(step), Some(key)) if step == "*" || step == key => {}
            _ => return false,
        }
    }
}

/// The values of a field as far as they mean something.
fn field(answer: &Answer, name: &HeaderNameOrd) -> Option<String> {
    let values =
        answer.headers.get_all(&name.0).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned());
    let values: Vec<_> = values.collect();
    if values.is_empty() {
        return None;
    }
    let name = &name.0;
    if LISTS.contains(name) || name.as_str().starts_with("access-control-") {
        let names = values.iter().flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase());
        return Some(
            names.filter(|name| !name.is_empty()).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", "),
        );
    }
    let text = values.join(", ");
    Some(match name {
        // A redirect to the gateway itself names the one that was asked.
        name if name == header::LOCATION => match text.strip_prefix(&answer.from) {
            Some(path) if path.is_empty() || path.starts_with(['/', '?']) => path.to_owned(),
            _ => text,
        },
        name if name == header::CONTENT_TYPE || name == header::CACHE_CONTROL => {
            text.to_ascii_lowercase().split_whitespace().collect()
        }
        _ => text,
    })
}

fn cookies(headers: &HeaderMap) -> BTreeSet<String> {
    let all = headers.get_all(header::SET_COOKIE).iter();
    let name = |value: &http::HeaderValue| {
        Some(String::from_utf8_lossy(value.as_bytes()).split('=').next()?.trim().to_owned())
    };
    all.filter_map(name).collect()
}

fn described(answer: &Answer) -> String {
    let more = if answer.is_cut { "more than " } else { "" };
    let begin: String = String::from_utf8_lossy(&answer.body[..answer.body.len().min(200)]).into_owned();
    format!("{more}{} bytes: {begin}", answer.body.len())
}

/// A piece of an answer as it may stand in a terminal.
fn shown(text: &str) -> String {
    let safe = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut short: String = text.chars().take(LONGEST).map(safe).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Answer {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.append(*name, value.parse().expect("a value"));
        }
        Answer { status, headers: all, body: body.into(), is_cut: false, from: "http://a:1".into() }
    }

    fn kinds(rules: &Rules, one: &Answer, other: &Answer) -> Vec<String> {
        let show = |one: Difference| format!("{}{} {} | {}", one.kind, one.place, one.spring, one.ours);
        rules.compare(one, other).into_iter().map(show).collect()
    }

    #[test]
    fn what_clients_see_is_compared() {
        let rules = Rules::default();
        for (one, other, expect) in [
            (answer(200, &[], "a"), answer(200, &[("date", "x"), ("server", "y")], "a"), &[][..]),
            (answer(200, &[], ""), answer(404, &[], ""), &["status 200 | 404"]),
            (
                answer(200, &[("vary", "Origin, accept")], ""),
                answer(200, &[("vary", "Accept"), ("vary", "origin")], ""),
                &[],
            ),
            (answer(200, &[("vary", "Origin")], ""), answer(200, &[], ""), &["header vary origin | (none)"]),
            (
                answer(200, &[("content-type", "application/json;charset=UTF-8")], ""),
                answer(200, &[("content-type", "application/json; charset=utf-8")], ""),
                &[],
            ),
            (answer(200, &[("set-cookie", "a=1; Path=/")], ""), answer(200, &[("set-cookie", "a=2")], ""), &[]),
            (answer(200, &[("set-cookie", "a=1")], ""), answer(200, &[], ""), &["header set-cookie a | (none)"]),
            (
                answer(200, &[("access-control-max-age", "1")], ""),
                answer(200, &[], ""),
                &["header access-control-max-age 1 | (none)"],
            ),
            (answer(302, &[("location", "http://a:1/x")], ""), answer(302, &[("location", "/x")], ""), &[]),
            (
                answer(302, &[("location", "http://a:10/x")], ""),
                answer(302, &[("location", "/x")], ""),
                &["header location http://a:10/x | /x"],
            ),
            (answer(200, &[], "a"), answer(200, &[], "ab"), &["body 1 bytes: a | 2 bytes: ab"]),
            (answer(200, &[], "{\"a\":1,\"b\":2}"), answer(200, &[], "{ \"b\": 2, \"a\": 1 }"), &[]),
            (
                answer(200, &[], "{\"a\":[1,2],\"c/d\":1}"),
                answer(200, &[], "{\"a\":[1,3,4]}"),
                &["body/a/1 2 | 3", "body/a/2 (none) | 4", "body/c~1d 1 | (none)"],
            ),
        ] {
            assert_eq!(kinds(&rules, &one, &other), expect, "{one:?}\n{other:?}");
        }
    }

    #[test]
    fn what_is_to_be_ignored_is() {
        let rules = Rules {
            headers: vec![HeaderName::from_static("x-own")],
            ignored_headers: [header::VARY].into(),
            ignored: vec!["/data/*/port".into(), "/time".into()],
            ignores_error_bodies: true,
        };
        let one = answer(200, &[("vary", "a"), ("x-own", "1")], "{\"time\":1,\"data\":[{\"port\":1,\"n\":1}]}");
        let other = answer(200, &[("x-own", "2")], "{\"data\":[{\"port\":2,\"n\":2}]}");
        assert_eq!(kinds(&rules, &one, &other), ["header x-own 1 | 2", "body/data/0/n 1 | 2"]);
        let (one, other) = (answer(404, &[("content-type", "a/b")], "a"), answer(404, &[], "b"));
        assert_eq!(kinds(&rules, &one, &other), [""; 0]);
        assert_eq!(kinds(&rules, &one, &answer(500, &[], "b")).len(), 3);
    }

    #[test]
    fn a_body_that_was_cut_is_the_same_as_far_as_it_is_known() {
        let cut = |body: &str, is_cut| Answer { is_cut, ..answer(200, &[], body) };
        assert_eq!(kinds(&Rules::default(), &cut("{}", true), &cut("{}", true)), [""; 0]);
        assert_eq!(kinds(&Rules::default(), &cut("{}", true), &cut("{}", false)).len(), 1);
    }
}
