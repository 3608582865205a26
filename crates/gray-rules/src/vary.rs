//! On what decisions depend, in the words of caches (RFC 9111, 4.1).

use std::collections::BTreeSet;

use http::{HeaderName, HeaderValue, header};

use super::{LaneEntry, Rule, ShareKey, Source, Subject, Switch};

/// Longest list of names that is said to caches, in bytes. Of longer ones nothing is gained.
const LONGEST: usize = 1024;

/// On which fields of a request its decision depends, worked out once for all requests.
///
/// A cache that keeps one answer for each value of these fields (`Vary`) never gives an answer to a request that would
/// have been decided otherwise, as long as the rules are the same and [`is_complete`](Self::is_complete) holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vary {
    names: Option<HeaderValue>,
    is_complete: bool,
}

impl Vary {
    /// Nothing decides: every request gets the same lane.
    const NOTHING: Self = Self { names: None, is_complete: true };

    pub(super) fn of(sources: &[Source], lanes: &[LaneEntry], rules: &[Rule], switch: Switch) -> Self {
        if switch != Switch::On {
            return Self::NOTHING;
        }
        let mut found = Found { names: BTreeSet::new(), is_complete: true };
        for rule in rules {
            found.is_complete &= rule.since.is_none() && rule.until.is_none();
            let mut places = Vec::new();
            for condition in rule.any.iter().flatten() {
                match &condition.subject {
                    Subject::Fact { source, .. } => places.push(*source),
                    Subject::Time(_) => found.is_complete = false,
                }
            }
            match rule.share.as_ref().map(|share| share.key) {
                Some(ShareKey::Random) => found.is_complete = false,
                Some(ShareKey::Fact(source)) => places.push(source),
                None => {}
            }
            places.extend(lanes.get(rule.lane).and_then(|entry| entry.value));
            places.into_iter().filter_map(|place| sources.get(place)).for_each(|source| found.add(source));
        }
        found.said()
    }

    /// The value of `Vary`; `None` when no field decides.
    pub fn names(&self) -> Option<&HeaderValue> {
        self.names.as_ref()
    }

    /// Whether the fields and the URL are all that decides. Otherwise (address, city, time, chance, method) a shared cache
    /// cannot tell requests apart, and an answer is for one user (`private`).
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }
}

struct Found<'s> {
    names: BTreeSet<&'s str>,
    is_complete: bool,
}

impl<'s> Found<'s> {
    fn add(&mut self, source: &'s Source) {
        match source {
            Source::Header(name) => self.name(name),
            Source::Cookie(_) | Source::CookieJson { .. } => self.name(&header::COOKIE),
            Source::UserAgent(_) => self.name(&header::USER_AGENT),
            Source::Claim { jwt, .. } => self.add(&jwt.token),
            Source::FirstOf(sources) => sources.iter().for_each(|source| self.add(source)),
            // Parts of the URL, by which caches keep answers in any case.
            Source::Query(_) | Source::Path | Source::Host => {}
            // A cache answers HEAD by what it has for GET.
            Source::Method | Source::Ip | Source::City => self.is_complete = false,
        }
    }

    fn name(&mut self, name: &'s HeaderName) {
        self.names.insert(name.as_str());
    }

    fn said(self) -> Vary {
        let names = self.names.into_iter().collect::<Vec<_>>().join(", ");
        match HeaderValue::try_from(&names) {
            Ok(_) if names.is_empty() => Vary { names: None, is_complete: self.is_complete },
            Ok(value) if names.len() <= LONGEST => Vary { names: Some(value), is_complete: self.is_complete },
            _ => Vary { names: None, is_complete: false },
        }
    }
}

#[cfg(test)]
mod tests {
    use gray_document::{Documents, check};
    use gray_settings::GraySettings;

    use crate::RuleSet;

    fn vary(gray: &str) -> (String, bool) {
        let on = "kerwin.tool.gray: { load: true, version: { prodVersion: V1, grayVersion: V2 }, gateway: { enabled: true } }\n";
        let read = |documents: &Documents| {
            RuleSet::read(documents, &GraySettings::read(&documents.root(), "kerwin.tool.gray"))
        };
        let text = format!("{on}gray: {{ {gray} }}\n");
        let (rules, _) = check(&[("rules", &text)], read).unwrap_or_else(|problems| panic!("{problems}"));
        let names = rules.vary().names().map_or("", |value| value.to_str().expect("text"));
        (names.to_owned(), rules.vary().is_complete())
    }

    #[test]
    fn what_caches_have_to_know() {
        for (rule, names, is_complete) in [
            ("when: { header.X-User-No: 7 }", "x-user-no", true),
            ("when: { cookie.vip: 1 }", "cookie", true),
            ("when: { cookie-json.info.id: 1, cookie.vip: 1 }", "cookie", true),
            ("when: { user-agent.os: ios }", "user-agent", true),
            ("when: { jwt.sub: 7 }", "authorization", true),
            ("when: [{ header.b: 1 }, { header.a: 1, header.b: 2 }]", "a, b", true),
            ("when: { user: 7 }", "cookie, x-user-no", true),
            ("when: { query.q: 1, path: /a, host: shop }", "", true),
            ("when: { header.a: 1, ip: 10.0.0.0/8 }", "a", false),
            ("when: { header.a: 1, city: 杭州 }", "a", false),
            ("when: { header.a: 1, method: GET }", "a", false),
            ("when: { header.a: 1, time: { from: '09:00', to: '18:00', zone: UTC } }", "a", false),
            ("when: { header.a: 1 }, until: '2026-12-31T18:00:00+08:00'", "a", false),
            ("share: { percent: 5, key: random }", "", false),
            ("share: { percent: 5, key: [header.X-User-No, cookie.uid] }", "cookie, x-user-no", true),
            // What is checked and not in force decides nothing.
            ("when: { ip: 10.0.0.0/8 }, enabled: false", "", true),
        ] {
            let facts = "facts: { user: [header.X-User-No, query.uid, cookie.uid], other: header.unused }";
            let gray = format!(
                "{facts}, jwt: {{ token: header.authorization }}, rules: [{{ name: one, {rule}, lane: gray }}]"
            );
            assert_eq!(vary(&gray), (names.to_owned(), is_complete), "{rule}");
            let (names, is_complete) = vary(&format!("kill: true, {gray}"));
            assert_eq!((&*names, is_complete), ("", true), "{rule}: killed");
        }
        let filled = "lanes: { exact: { select: { version: $header.versionId } } },
            rules: [{ name: one, when: { query.q: 1 }, lane: exact }]";
        assert_eq!(vary(filled), ("versionid".to_owned(), true));
        assert_eq!(vary("rules: []"), (String::new(), true));
    }

    #[test]
    fn a_list_that_is_too_long_is_not_said() {
        let rule = |n: usize| format!("{{ name: r{n}, when: {{ header.some-name-{n}: 1 }}, lane: gray }}");
        let rules = |count| format!("rules: [{}]", (0..count).map(rule).collect::<Vec<_>>().join(", "));
        assert!(vary(&rules(60)).1);
        assert_eq!(vary(&rules(80)), (String::new(), false));
    }
}
