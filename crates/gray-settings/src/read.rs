//! From documents to [`GraySettings`].

use std::{collections::BTreeMap, str::FromStr};

use gray_core::{
    Addresses, IpSet,
    balance::{Fallback, Strategy, VersionPolicy},
    takes_everybody,
};
use gray_document::{Item, Section, is_same_name};
use http::HeaderValue;

use super::{GatewayGray, GraySettings, Mesh, sources, static_instances};

/// The Java classes an operator is most likely to want, for the error message.
const RULE_CLASSES: &str = "GrayRoundRobinRule, GrayRandomRule, NacosWeightRandomV2Rule, BestAvailableRule, \
                            WeightedResponseTimeRule (any package)";
/// Ribbon's key for the class of a service's rule.
const RULE_CLASS: &str = "NFLoadBalancerRuleClassName";

impl GraySettings {
    /// Reads everything under `prefix` (`kerwin.tool.gray`), and Ribbon's per-service keys beside it. Problems are
    /// noted in the documents; a key under the prefix that means nothing is one.
    pub fn read(root: &Section<'_>, prefix: &str) -> Self {
        let gray = root.section(prefix);
        if !gray.exists() {
            let hint = similar(root, prefix).map_or_else(String::new, |found| {
                format!("; `{found}` looks like it: start with --prefix {found} (GRAY_PREFIX)")
            });
            root.warn(prefix, format!("no document sets this: gray release is off and every instance serves{hint}"));
        }
        let mut strategies = ribbon(root, prefix);
        let filtered = strategies.keys().cloned().collect();
        // Our own key wins over Ribbon's.
        strategies.extend(balance(&gray.section("balance")));
        let (static_instances, mesh) = (static_instances::read(root), Mesh::read(&gray));
        let of_edges = mesh.admission.edges.iter().flat_map(|edge| [&edge.from, &edge.to]);
        let known = strategies.keys().chain(static_instances.keys()).chain(of_edges);
        let settings = Self {
            known: known.map(|service| service.as_str().into()).collect(),
            policy: policy(&gray),
            gateway: gateway(&gray.section("gateway")),
            strategies,
            filtered,
            static_instances,
            mesh,
        };
        gray.reject_unknown();
        settings
    }

    /// Warns of every key that is not read. To be called last, after all readers.
    ///
    /// Routes and rules belong to the gateway; a service that happens to see them says nothing about them.
    pub fn warn_unread(root: &Section<'_>) {
        root.section("spring.cloud.gateway");
        root.section("gray");
        // What says which documents, and which parts of them, are read.
        let config = root.section("spring.config");
        config.has("import");
        config.section("activate");
        let spring = root.section("spring");
        spring.has("application.name");
        if spring.peek_keys().iter().any(|(key, item)| is_same_name(key, "profiles") && item.is_map()) {
            let profiles = spring.section("profiles");
            profiles.has("active");
            profiles.has("include");
        } else {
            spring.has("profiles");
        }
        let nacos = root.section(sources::NACOS);
        for key in sources::KEYS {
            nacos.has(key);
        }
        root.warn_unknown("not used by gray-chain");
    }
}

/// Another prefix that has settings like ours: another first part (`lxd.tool.gray`), the same ones behind it.
fn similar(root: &Section<'_>, prefix: &str) -> Option<String> {
    let (_, rest) = prefix.split_once('.')?;
    let has_rest = |item: Item<'_>| {
        // Looked at without asking: what is not ours stays unread.
        let found = rest.split('.').try_fold(item, |item, segment| {
            let below = Some(item).filter(Item::is_map)?.section().peek_keys();
            below.into_iter().find(|(key, _)| key == segment).map(|(_, item)| item)
        });
        found.is_some_and(|item| item.is_map())
    };
    root.peek_keys().into_iter().find(|(_, item)| has_rest(item.clone())).map(|(key, _)| format!("{key}.{rest}"))
}

fn policy(gray: &Section<'_>) -> VersionPolicy {
    let default = VersionPolicy::default();
    let load = gray.bool("load").unwrap_or(default.load);
    let version = gray.section("version");
    let name = |key: &str| {
        if load && !version.has(key) {
            version.error(key, format!("missing or empty; set a version, such as `{key}: V1`, or `load: false`"));
        }
        version.parsed::<VersionName>(key).map(|name| name.0)
    };
    let (prod, gray_version) = (name("prodVersion"), name("grayVersion"));
    if prod.is_some() && prod == gray_version {
        version.error("grayVersion", "the same as prodVersion; a gray release needs two different versions");
    }
    let fallback = gray.parsed::<FallbackName>("fallback").map_or(default.fallback, |name| name.0);
    VersionPolicy::new(load, prod.unwrap_or(default.prod), gray_version.unwrap_or(default.gray), fallback)
}

/// A version is compared with instance metadata and stands in logs and metrics.
struct VersionName(String);

impl FromStr for VersionName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
        if ["any", "all", "none"].iter().any(|word| text.eq_ignore_ascii_case(word)) {
            Err("it is not a version; for every instance, switch gray release off (`load: false`)")
        } else if text.len() <= 64 && text.chars().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err("a version has at most 64 characters, out of letters, digits and . _ - +")
        }
    }
}

struct FallbackName(Fallback);

impl FromStr for FallbackName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = [Fallback::Fail, Fallback::Prod, Fallback::Any];
        known.into_iter().find(|known| known.as_str() == text).map(Self).ok_or("expected fail, prod or any")
    }
}

fn gateway(section: &Section<'_>) -> GatewayGray {
    let default = GatewayGray::default();
    let (key, value) = (section.parsed("grayHeadKey"), section.parsed::<HeaderText>("grayHeadValue"));
    for (given, other) in [("grayHeadKey", "grayHeadValue"), ("grayHeadValue", "grayHeadKey")] {
        if section.has(given) && !section.has(other) {
            section.error(given, format!("{other} is missing or empty; set both or neither"));
        }
    }
    GatewayGray {
        enabled: section.bool("enabled").unwrap_or(default.enabled),
        head: key.zip(value.map(|value| value.0)),
        ip_list: addresses(section, "grayIPList"),
        city_list: texts(section, "grayCityList", "the name of a city"),
        user_no_list: texts(section, "grayUserNoList", "a user number"),
        user_no_header: section.parsed("userNoHeader").unwrap_or(default.user_no_header),
        trusted_hops: trusted_hops(section),
        trusted_headers: section.parsed("trustedHeaders").unwrap_or_default(),
        health_checks: super::health_check::read(&section.section("healthCheck")),
        max_in_flight: section.parsed::<Limit>("maxInFlight").map(|limit| limit.0),
    }
}

/// A number of requests.
struct Limit(usize);

impl FromStr for Limit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(0) => Err("it would turn every request away; remove it for no limit"),
            Ok(limit) => Ok(Self(limit)),
            Err(_) => Err("expected a whole number of requests, at least 1"),
        }
    }
}

/// A text that a header can carry.
struct HeaderText(String);

impl FromStr for HeaderText {
    type Err = http::header::InvalidHeaderValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        HeaderValue::from_bytes(text.as_bytes()).map(|_| Self(text.to_owned()))
    }
}

/// What a value or a network takes besides its text, in settings and rules.
const ENTRY: usize = 160;

pub(super) fn addresses(section: &Section<'_>, key: &str) -> IpSet {
    let items = section.items(key).into_iter().take_while(|item| item.spend("networks", ENTRY));
    let addresses = items.filter_map(|item| {
        let text = item.required_text("an IP address or a network such as 10.0.0.0/8")?;
        text.parse::<Addresses>().map_err(|error| item.error(error.to_string())).ok()
    });
    addresses.collect()
}

fn trusted_hops(section: &Section<'_>) -> IpSet {
    const KEY: &str = "trustedHops";
    let hops = addresses(section, KEY);
    if takes_everybody(|address| hops.contains(address)) {
        section.error(
            KEY,
            "trusts every address, so that any client could say where it comes from: write the networks of your proxies, such \
             as 10.0.0.0/24, or leave it out",
        );
    }
    hops
}

fn texts(section: &Section<'_>, key: &str, expected: &str) -> Vec<String> {
    let items = section.items(key).into_iter().take_while(|item| item.spend("values", ENTRY));
    items.filter_map(|item| item.required_text(expected).map(str::to_owned)).collect()
}

/// `<prefix>.balance.<service>`.
fn balance(section: &Section<'_>) -> BTreeMap<String, Strategy> {
    let services = section.keys().into_iter();
    services.filter_map(|(service, _)| section.parsed(&service).map(|strategy| (service, strategy))).collect()
}

/// `<service>.ribbon.NFLoadBalancerRuleClassName`.
fn ribbon(root: &Section<'_>, prefix: &str) -> BTreeMap<String, Strategy> {
    let mut strategies = BTreeMap::new();
    for (service, item) in root.peek_keys() {
        let is_ribbon = |(key, below): &(String, Item<'_>)| key.eq_ignore_ascii_case("ribbon") && below.is_map();
        if !item.is_map() || !item.section().peek_keys().iter().any(is_ribbon) {
            continue;
        }
        let ribbon = root.section(&service).section("ribbon");
        let Some(class) = ribbon.string(RULE_CLASS) else { continue };
        match Strategy::from_rule_class(&class) {
            Some(strategy) => {
                strategies.insert(service, strategy);
            }
            None => ribbon.error(RULE_CLASS, unknown_class(&class, &service, prefix)),
        }
    }
    strategies
}

fn unknown_class(class: &str, service: &str, prefix: &str) -> String {
    let strategies = Strategy::ALL.map(Strategy::as_str).join(", ");
    format!(
        "no strategy is known for the class `{class}`; use one of {RULE_CLASSES}, \
         or set {prefix}.balance.{service} to one of {strategies}"
    )
}

#[cfg(test)]
mod tests;
