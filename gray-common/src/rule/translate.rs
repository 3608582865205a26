//! The Java demo's settings, translated into rules.

use super::{Matcher, Rule, RuleSet};
use crate::{settings::GraySettings, tag::GrayStatus};

impl RuleSet {
    /// The rules that `kerwin.tool.gray.*` stands for: off unless both switches are on; else header, IP list, city
    /// list and user list each lead to gray, and everything else is prod.
    pub fn from_settings(settings: &GraySettings) -> Self {
        let gateway = &settings.gateway;
        if !settings.policy.load || !gateway.enabled {
            return Self::off();
        }
        let mut rules = Vec::new();
        let mut gray = |name: &str, matcher: Matcher| {
            rules.push(Rule { name: name.into(), any: vec![vec![matcher]], target: GrayStatus::Gray });
        };
        if let Some((name, value)) = &gateway.head {
            gray("grayHead", Matcher::Header { name: name.clone(), value: value.as_bytes().into() });
        }
        if !gateway.ip_list.is_empty() {
            gray("grayIPList", Matcher::ClientIp(gateway.ip_list.clone()));
        }
        if !gateway.city_list.is_empty() {
            gray("grayCityList", Matcher::city(gateway.city_list.iter().map(String::as_str)));
        }
        if !gateway.user_no_list.is_empty() {
            let values = gateway.user_no_list.iter().map(|user| user.as_bytes().into()).collect();
            gray("grayUserNoList", Matcher::HeaderIn { name: gateway.user_no_header.clone(), values });
        }
        Self::new(rules, GrayStatus::Prod)
    }
}
