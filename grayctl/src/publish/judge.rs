//! Documents judged as the programs would that read them, before anything is written.
//!
//! Placeholders stay open: what they stand for is known where the programs run. What the gateway reads is judged as `gray-gateway
//! --check-config` judges it.

use gray_document::{Documents, Lasting, Outline, Problem, Problems, Reading, Severity, lasting::losses as losses_of};
use gray_routes::{Question, ROUTES, ROUTES_DOCUMENT, RouteTable, judge};
use gray_rules::RuleSet;
use gray_settings::GraySettings;

use crate::{config::now, find::Document};

pub(super) const SHARED: &str = "common-config.yaml";
pub(super) const GATEWAY: &str = "gateway-app.yaml";
pub(super) const RULES: &str = "gray-rules.yaml";

/// How documents are judged.
#[derive(Debug)]
pub(super) struct Judging {
    /// Key of the gray settings.
    pub(super) prefix: String,
    /// For which profiles.
    pub(super) reading: Reading,
}

/// What is wrong with the document `name`, read together with the others that its readers read.
pub(super) fn errors(name: &str, documents: &[Document], judging: &Judging) -> Vec<String> {
    let is_gateways = matches!(name, GATEWAY | RULES) || has_routes(name, documents, judging);
    let order: &[&str] = match name {
        SHARED => &[SHARED],
        // What stands for filters of the system's own is said with the rules.
        GATEWAY | RULES => &[SHARED, GATEWAY, RULES],
        own if is_gateways => &[SHARED, own, RULES],
        own => &[SHARED, own],
    };
    let text = |name: &str| documents.iter().find(|document| document.name == name).map(|one| one.text.as_str());
    let sources: Vec<_> = order.iter().filter_map(|&name| Some((name, text(name)?))).collect();
    // Rules go with the versions that the settings name; without those, nothing can be said of their lanes.
    let has_settings = sources.iter().any(|(name, _)| *name == SHARED);
    let mut problems = if is_gateways && name != SHARED && (name != RULES || has_settings) {
        let Judging { prefix, reading } = judging;
        judge(&Question { sources: &sources, reading, prefix, environment: &|_| None, now: now(), routes_in: None })
            .problems
    } else {
        let (Ok(problems) | Err(problems)) = read(name, &sources, judging);
        problems.into_iter().collect()
    };
    problems.sort_by_key(|problem| problem.origin.line);
    // A document that is wrong by itself is told of when it is its turn.
    let is_ours = |problem: &&Problem| problem.severity == Severity::Error && *problem.origin.document == *name;
    let mut errors: Vec<_> =
        problems.into_iter().filter(|problem| is_ours(&problem)).map(|one| one.to_string()).collect();
    let outline = || Outline::of(name, text(name)?, &judging.reading);
    let states_rules = || outline().is_none_or(|outline| outline.states("gray"));
    if name == RULES && errors.is_empty() && !states_rules() {
        errors.push(format!(
            "{name}: there is no `gray` in it; is the key misspelt? If there are to be no rules, write `gray: {{}}`"
        ));
    }
    errors
}

/// What the programs that run would refuse of the new text of a document that they have: routes or settings that are in
/// none of the documents any more.
pub(super) fn losses(name: &str, there: &str, after: &[Document], judging: &Judging) -> Vec<String> {
    let Some(document) = after.iter().find(|document| document.name == name) else { return Vec::new() };
    let in_effect = after.iter().map(|one| {
        let text = if one.name == name { there } else { &one.text };
        (one.name.as_str().into(), text.into())
    });
    let lasting =
        [Lasting::list(&ROUTES), Lasting::map("gray")].into_iter().chain(GraySettings::lasting(&judging.prefix));
    let (in_effect, lasting): (Vec<_>, Vec<_>) = (in_effect.collect(), lasting.collect());
    let problems = losses_of(&in_effect, name, &document.text, &judging.reading, &lasting);
    problems.into_iter().map(|problem| problem.to_string()).collect()
}

/// Whether a document says what routes there are, so that a gateway reads it.
fn has_routes(name: &str, documents: &[Document], judging: &Judging) -> bool {
    let Some(document) = documents.iter().find(|document| document.name == name) else { return false };
    let outline = Outline::of(name, &document.text, &judging.reading);
    outline.is_some_and(|outline| ROUTES.iter().chain(&[ROUTES_DOCUMENT]).any(|key| outline.states(key)))
}

fn read(name: &str, sources: &[(&str, &str)], judging: &Judging) -> Result<Problems, Problems> {
    let nothing = Documents::parse(&[], &|_| None)?;
    let documents = Documents::parse_candidate(sources, name, &nothing, &judging.reading, &|_| None)?;
    let settings = GraySettings::read(&documents.root(), &judging.prefix);
    if name != RULES {
        drop(RuleSet::read(&documents, &settings));
    } else {
        // `gray.spring` is read with the routes.
        drop(RouteTable::read(&documents.root()));
    }
    Ok(documents.take_problems())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMON: &str =
        "kerwin.tool.gray: { load: true, version: { prodVersion: V1, grayVersion: V2 }, namespaces: [n] }";

    const OWN: &str =
        "spring.cloud.gateway.routes: [{ id: a, uri: 'lb://a', predicates: [Path=/**], filters: [Auth] }]";

    fn judging() -> Judging {
        Judging { prefix: "kerwin.tool.gray".to_owned(), reading: Reading::default() }
    }

    fn of(name: &str, documents: &[(&str, &str)]) -> Vec<String> {
        let documents: Vec<_> =
            documents.iter().map(|&(name, text)| Document { name: name.into(), text: text.into() }).collect();
        errors(name, &documents, &judging())
    }

    #[test]
    fn good_documents_pass() {
        let rules = "gray: { lanes: { a: { namespace: n } }, rules: [{ name: a, when: { ip: 10.0.0.1 }, lane: a }] }";
        for (name, documents) in [
            (SHARED, &[(SHARED, COMMON)][..]),
            (
                GATEWAY,
                &[
                    (SHARED, COMMON),
                    (GATEWAY, "spring.cloud.gateway.routes: [{ id: a, uri: '${WHERE}', predicates: [Path=/**] }]"),
                ],
            ),
            // What stands for a class of the system's own is said beside the rules.
            (GATEWAY, &[(SHARED, COMMON), (GATEWAY, OWN), (RULES, "gray.spring.filters: { Auth: refuse }")]),
            // The gateway does not judge a service's own security.
            ("order-app.yaml", &[(SHARED, COMMON), ("order-app.yaml", "spring.security.user.name: u")]),
            (RULES, &[(SHARED, COMMON), (RULES, rules)]),
            // Without the settings nothing is known of namespaces.
            (RULES, &[(RULES, rules)]),
            (RULES, &[(SHARED, COMMON), (RULES, "gray: { jwt: { key: '${KEY}', algorithm: HS256 } }")]),
            ("order-app.yaml", &[("order-app.yaml", "server.port: 1\n")]),
        ] {
            assert_eq!(of(name, documents), [""; 0], "{name} {documents:?}");
        }
    }

    #[test]
    fn what_vanishes_is_told_unless_it_moves() {
        let document = |name: &str, text: &str| Document { name: name.into(), text: text.into() };
        let routes = "spring.cloud.gateway.routes: [{ id: a, uri: 'lb://a' }]";
        for (after, expect) in [
            (vec![document(GATEWAY, "spring.cloud.gateway.route: []")], "spring.cloud.gateway.routes"),
            (vec![document(GATEWAY, "spring.cloud.gateway.routes: []")], ""),
            (vec![document(GATEWAY, "other: 1"), document(SHARED, routes)], ""),
        ] {
            let losses = losses(GATEWAY, routes, &after, &judging()).join("\n");
            assert_eq!(losses.is_empty(), expect.is_empty(), "{after:?}: {losses}");
            assert!(losses.contains(expect), "{losses}");
        }
    }

    #[test]
    fn bad_ones_are_told_with_their_line() {
        for (name, text, expect) in [
            (SHARED, "a: [\n", "common-config.yaml:"),
            (SHARED, "\nkerwin.tool.gray: { laod: true }", "common-config.yaml:2: kerwin.tool.gray.laod: unknown key"),
            (GATEWAY, "kerwin.tool.gray.gateway.grayHeadKey: x", "gateway-app.yaml:1: kerwin.tool.gray.gateway.gray"),
            (GATEWAY, OWN, "the system's own"),
            (
                GATEWAY,
                "spring.cloud.gateway.routes:\n- { id: a, uri: 'lb://a', predicates: [Paht=/**] }",
                "gateway-app.yaml:2",
            ),
            ("shop-gateway.yml", "spring.cloud.gateway.routes: [{ id: a, uri: 'lb://a' }]", "at least one predicate"),
            (RULES, "gray:\n  ruls: []\n", "gray-rules.yaml:2: gray.ruls: unknown key"),
            (RULES, "grey: {}", "there is no `gray` in it"),
            (RULES, "gray.spring.filters: { StripPrefix: refuse }", "cannot be given another meaning"),
            (RULES, "gray.spring: { filtres: {} }", "unknown key; did you mean `filters`?"),
            (RULES, "gray: { default: v9 }", "there is no lane `v9`"),
        ] {
            let errors = of(name, &[(SHARED, COMMON), (name, text)][usize::from(name == SHARED)..]);
            assert!(errors.iter().any(|error| error.contains(expect)), "{name} {text:?}: {errors:?}");
        }
        // A document that another one makes impossible to judge is not blamed for it.
        assert_eq!(of(GATEWAY, &[(SHARED, "a: ["), (GATEWAY, "spring.cloud.gateway.routes: []")]), [""; 0]);
    }
}
