//! Metric series by rule and by service: those of the snapshot in use, written on every scrape. The recorder would show a
//! series for as long as the process lives, also when the rule it counts is gone.

use std::{collections::BTreeMap, fmt::Write as _};

use gray_common::telemetry::UNVERSIONED_TOTAL;

use crate::{
    proxy::Pick,
    snapshot::{ServiceSnapshot, Snapshot},
};

pub(super) fn render(snapshot: &Snapshot) -> String {
    let mut out = String::new();
    // Names that are not counted one by one share a counter and a name.
    let rules: BTreeMap<&str, u64> =
        snapshot.rule_tallies.iter().map(|(rule, tally)| (&**rule, tally.sum()[0])).collect();
    let rules = rules.into_iter().map(|(rule, count)| (labels(&[("rule", rule)]), count));
    family(&mut out, "gray_gateway_rule_requests_total", "counter", "Requests decided, by rule", rules);
    let services: BTreeMap<&str, &ServiceSnapshot> =
        snapshot.services.iter().map(|(name, service)| (name.as_str(), &**service)).collect();
    let counted = services.iter().filter_map(|(name, service)| Some((name, service.tally.as_ref()?)));
    let picks = counted.clone().flat_map(|(name, tally)| {
        let fits = Pick::ALL.map(|pick| labels(&[("service", name), ("fit", pick.as_str())]));
        fits.into_iter().zip(tally.sum())
    });
    let help = "Choices of an instance, by service and how they went";
    family(&mut out, "gray_gateway_picks_total", "counter", help, picks);
    let unversioned = counted.filter_map(|(name, tally)| {
        let count = tally.sum()[Pick::Unversioned as usize];
        (count > 0).then(|| (labels(&[("service", name)]), count))
    });
    let help = "Requests to services of which no instance says a version: every instance serves";
    family(&mut out, UNVERSIONED_TOTAL, "counter", help, unversioned);
    let ejected = services.iter().map(|(name, service)| {
        let ejected = service.set.endpoints().filter(|endpoint| !endpoint.load().is_in()).count();
        (labels(&[("service", name)]), ejected as u64)
    });
    family(&mut out, "gray_gateway_ejected_instances", "gauge", "Instances that are ejected, by service", ejected);
    out
}

/// One family in Prometheus' text format; nothing when it has no series.
fn family(out: &mut String, name: &str, kind: &str, help: &str, series: impl IntoIterator<Item = (String, u64)>) {
    let mut series = series.into_iter().peekable();
    if series.peek().is_none() {
        return;
    }
    // Writing to a string does not fail.
    let _written = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    for (labels, value) in series {
        let _written = writeln!(out, "{name}{labels} {value}");
    }
    out.push('\n');
}

fn labels(pairs: &[(&str, &str)]) -> String {
    let escaped = |value: &str| value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_empty_families_left_out() {
        assert_eq!(labels(&[("rule", "a\"b\\c\n"), ("fit", "hit")]), r#"{rule="a\"b\\c\n",fit="hit"}"#);
        let mut out = String::new();
        family(&mut out, "x_total", "counter", "X", []);
        assert_eq!(out, "");
        family(&mut out, "x_total", "counter", "X", [(labels(&[("a", "b")]), 3)]);
        assert_eq!(out, "# HELP x_total X\n# TYPE x_total counter\nx_total{a=\"b\"} 3\n\n");
    }
}
