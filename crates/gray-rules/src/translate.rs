//! The Java demo's settings, translated into rules.

use gray_settings::GraySettings;

use super::{Condition, Rule, RuleSet, RuleSetBuilder, Source, Subject, Switch, Test, plain_city};

impl RuleSet {
    /// The rules that `kerwin.tool.gray.*` stands for: off unless both switches are on; else header, IP list, city
    /// list and user list each lead to the lane `gray`, and everything else to `baseline`.
    pub fn from_settings(settings: &GraySettings) -> Self {
        if !settings.is_on() {
            return Self::off();
        }
        let mut builder = RuleSetBuilder::new("settings");
        // Names and versions of a checked length: they always fit a header.
        let baseline = builder.lane(settings.policy.baseline(), None).unwrap_or_default();
        let gray = builder.lane(settings.policy.gray(), None).unwrap_or_default();
        builder.given(baseline);
        builder.given(gray);
        builder.settings(settings, gray);
        builder.build(baseline, Switch::On)
    }
}

impl RuleSetBuilder {
    /// Adds the rules that the settings stand for, leading to this lane.
    pub fn settings(&mut self, settings: &GraySettings, gray: usize) {
        let gateway = &settings.gateway;
        if let Some((name, value)) = &gateway.head {
            let source = Source::Header(name.clone());
            self.translated("grayHead", source, Test::Exact(value.as_bytes().into()), gray);
        }
        if !gateway.ip_list.is_empty() {
            self.translated("grayIPList", Source::Ip, Test::Ip(gateway.ip_list.clone()), gray);
        }
        if !gateway.city_list.is_empty() {
            let cities = gateway.city_list.iter().map(|city| plain_city(city).as_bytes().into()).collect();
            self.translated("grayCityList", Source::City, Test::In(cities), gray);
        }
        if !gateway.user_no_list.is_empty() {
            let users = gateway.user_no_list.iter().map(|user| user.as_bytes().into()).collect();
            let source = Source::Header(gateway.user_no_header.clone());
            self.translated("grayUserNoList", source, Test::In(users), gray);
        }
    }

    fn translated(&mut self, name: &str, source: Source, test: Test, lane: usize) {
        let source = self.source(&source.to_string(), || source.clone());
        let condition = Condition { subject: Subject::Fact { source, test }, negated: false };
        self.rule(Rule { name: name.into(), any: vec![vec![condition]], lane, ..Rule::default() });
    }
}
