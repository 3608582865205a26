//! What the settings documents become, and what they are refused for.

use gray_document::{Problems, check};
use proptest::prelude::*;

// By name: proptest's prelude has a Strategy of its own.
use super::{Strategy, *};

const PREFIX: &str = "kerwin.tool.gray";
const COMMON: &str = include_str!("../../../../deploy/nacos/common-config.yaml");
const GATEWAY: &str = include_str!("../../../../deploy/nacos/gateway-app.yaml");

fn read(sources: &[(&str, &str)], prefix: &str) -> Result<(GraySettings, Problems), Problems> {
    check(sources, |documents| {
        let root = documents.root();
        let settings = GraySettings::read(&root, prefix);
        GraySettings::warn_unread(&root);
        settings
    })
}

fn good(text: &str) -> GraySettings {
    let (settings, warnings) = read(&[("a.yaml", text)], PREFIX).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(warnings.to_string(), "", "{text}");
    settings
}

#[test]
fn the_shipped_documents_are_clean() {
    for sources in [
        &[("common-config.yaml", COMMON)][..],
        &[("gateway-app.yaml", GATEWAY)],
        &[("common-config.yaml", COMMON), ("gateway-app.yaml", GATEWAY)],
    ] {
        let (_, warnings) = read(sources, PREFIX).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(warnings.to_string(), "", "{sources:?}");
    }
    let (settings, _) = read(&[("c", COMMON), ("g", GATEWAY)], PREFIX).expect("good");
    let policy = VersionPolicy::new(true, "V1", "V2", Fallback::Prod);
    assert_eq!(settings.policy, policy);
    assert!(settings.gateway.enabled);
    let (name, value) = settings.gateway.head.as_ref().expect("set");
    assert_eq!((name.as_str(), value.as_str()), ("gray", "gray-996"));
    assert_eq!(settings.strategy("user-app"), Strategy::RoundRobin);
}

#[test]
fn nothing_means_off_and_says_so() {
    let (settings, warnings) = read(&[], PREFIX).expect("no error");
    assert!(!settings.policy.load && !settings.gateway.enabled);
    assert!(warnings.to_string().contains("gray release is off"), "{warnings}");
}

#[test]
fn every_spelling_and_prefix_is_read() {
    let camel = "{ load: true, version: { prodVersion: A, grayVersion: B }, gateway: { enabled: true, grayHeadKey: k, \
                 grayHeadValue: v, grayIPList: [10.0.0.0/8], grayCityList: 杭州, grayUserNoList: [U1, 7], \
                 userNoHeader: X-User, trustedHops: '127.0.0.1, ::1' }, fallback: any, \
                 balance: { user-app: weighted } }";
    let kebab = camel
        .replace("prodVersion", "prod-version")
        .replace("grayVersion", "GRAY_VERSION")
        .replace("grayHeadKey", "gray-head-key")
        .replace("grayIPList", "gray-ip-list")
        .replace("trustedHops", "trusted_hops")
        .replace("userNoHeader", "user-no-header");
    let documents = [
        (PREFIX, format!("kerwin: {{tool: {{gray: {camel}}}}}")),
        (PREFIX, format!("kerwin.tool.gray: {kebab}")),
        ("lxd.tool.gray", format!("lxd: {{tool.gray: {camel}}}")),
        ("LXD.tool.gray", format!("lxd: {{tool.gray: {kebab}}}")),
    ];
    for (prefix, text) in documents {
        let (settings, warnings) = read(&[("a", &text)], prefix).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(warnings.to_string(), "", "{text}");
        let policy = VersionPolicy::new(true, "A", "B", Fallback::Any);
        assert_eq!(settings.policy, policy);
        let gateway = &settings.gateway;
        assert!(gateway.enabled && gateway.ip_list.contains([10, 9, 8, 7].into()));
        assert!(gateway.trusted_hops.contains([127, 0, 0, 1].into()));
        assert_eq!(gateway.city_list, ["杭州"]);
        assert_eq!(gateway.user_no_list, ["U1", "7"]);
        assert_eq!(gateway.user_no_header, "x-user");
        assert_eq!(settings.strategy("user-app"), Strategy::Weighted);
    }
}

#[test]
fn what_is_wrong_is_refused_by_line() {
    let gray = |rest: &str| format!("kerwin.tool.gray:\n{rest}");
    for (rest, expect) in [
        ("  load: maybe", "a:2: kerwin.tool.gray.load: expected true or false, found `maybe`"),
        ("  laod: true", "a:2: kerwin.tool.gray.laod: unknown key; did you mean `load`?"),
        (
            "  gateway:\n    grayHeadKye: x",
            "a:3: kerwin.tool.gray.gateway.grayHeadKye: unknown key; did you mean `grayHeadKey`?",
        ),
        (
            "  load: true\n  version: {grayVersion: V2}",
            "a:3: kerwin.tool.gray.version.prodVersion: missing or empty; set a version, such as `prodVersion: V1`, or \
             `load: false`",
        ),
        (
            "  load: true\n  version:\n    prodVersion: V1\n    gray-version: ''",
            "a:5: kerwin.tool.gray.version.gray-version: missing or empty; set a version, such as `grayVersion: V1`, \
             or `load: false`",
        ),
        (
            "  version:\n    prodVersion: V1\n    grayVersion: V1",
            "a:4: kerwin.tool.gray.version.grayVersion: the same as prodVersion; a gray release needs two different \
             versions",
        ),
        (
            "  version: {prodVersion: 'V 1'}",
            "a:2: kerwin.tool.gray.version.prodVersion: `V 1` cannot be used: a version has at most 64 characters, out \
             of letters, digits and . _ - +",
        ),
        (
            "  version: {grayVersion: ANY}",
            "a:2: kerwin.tool.gray.version.grayVersion: `ANY` cannot be used: it is not a version; for every instance, \
             switch gray release off (`load: false`)",
        ),
        (
            "  gateway: {maxInFlight: 0}",
            "a:2: kerwin.tool.gray.gateway.maxInFlight: `0` cannot be used: it would turn every request away; remove it \
             for no limit",
        ),
        (
            "  gateway: {maxInFlight: 5%}",
            "a:2: kerwin.tool.gray.gateway.maxInFlight: `5%` cannot be used: expected a whole number of requests, at least 1",
        ),
        (
            "  outlier: {panicPercent: 101}",
            "a:2: kerwin.tool.gray.outlier.panicPercent: `101` is not a whole number from 0 to 100",
        ),
        (
            "  gateway: {healthCheck: {a: {unhealthy: 0}}}",
            "a:2: kerwin.tool.gray.gateway.healthCheck.a.unhealthy: `0` is not a whole number from 1 to 4294967295",
        ),
        ("  version: V1", "a:2: kerwin.tool.gray.version: expected a map, found `V1`"),
        ("  fallback: maybe", "a:2: kerwin.tool.gray.fallback: `maybe` cannot be used: expected fail, prod or any"),
        (
            "  gateway: {grayHeadKey: gray}",
            "a:2: kerwin.tool.gray.gateway.grayHeadKey: grayHeadValue is missing or empty; set both or neither",
        ),
        (
            "  gateway: {grayHeadKey: 'a b', grayHeadValue: x}",
            "a:2: kerwin.tool.gray.gateway.grayHeadKey: `a b` cannot be used: invalid HTTP header name",
        ),
        (
            "  gateway: {grayHeadKey: a, grayHeadValue: \"x\\u0001y\"}",
            "a:2: kerwin.tool.gray.gateway.grayHeadValue: `x\\u{1}y` cannot be used: failed to parse header value",
        ),
        (
            "  gateway:\n    grayIPList:\n      - 127.0.0.1\n      - 10.0.0.0/99",
            "a:5: kerwin.tool.gray.gateway.grayIPList[1]: `10.0.0.0/99` is neither an IP address nor a network such as \
             10.0.0.0/8",
        ),
        (
            "  gateway:\n    trustedHops: [{a: b}]",
            "a:3: kerwin.tool.gray.gateway.trustedHops[0]: expected an IP address or a network such as 10.0.0.0/8, \
             found a map",
        ),
        (
            "  gateway:\n    trustedHops: ['10.0.0.1', '0.0.0.0/0']",
            "a:3: kerwin.tool.gray.gateway.trustedHops: trusts every address, so that any client could say where it comes \
             from: write the networks of your proxies, such as 10.0.0.0/24, or leave it out",
        ),
        (
            "  gateway:\n    grayUserNoList: ['']",
            "a:3: kerwin.tool.gray.gateway.grayUserNoList[0]: expected a user number, found an empty text",
        ),
        (
            "  gateway:\n    grayCityList: {a: b}",
            "a:3: kerwin.tool.gray.gateway.grayCityList: expected a list, found a map",
        ),
        (
            "  balance: {user-app: fastest}",
            "a:2: kerwin.tool.gray.balance.user-app: `fastest` cannot be used: unknown strategy: expected round-robin, \
             random, weighted, least-in-flight, response-time or consistent-hash",
        ),
        (
            "  load: false\nuser-app:\n  ribbon:\n    NFLoadBalancerRuleClassName: com.example.Mine",
            "a:5: user-app.ribbon.NFLoadBalancerRuleClassName: no strategy is known for the class `com.example.Mine`; \
             use one of GrayRoundRobinRule, GrayRandomRule, NacosWeightRandomV2Rule, BestAvailableRule, \
             WeightedResponseTimeRule (any package), or set kerwin.tool.gray.balance.user-app to one of round-robin, \
             random, weighted, least-in-flight, response-time, consistent-hash",
        ),
    ] {
        let text = gray(rest);
        let problems = read(&[("a", &text)], PREFIX).expect_err(&text);
        assert_eq!(problems.to_string(), expect, "{text}");
    }
}

#[test]
fn load_needs_both_versions() {
    let problems = read(&[("a", "kerwin.tool.gray.load: true")], PREFIX).expect_err("no versions");
    let text = problems.to_string();
    assert!(text.contains("version.prodVersion: missing") && text.contains("version.grayVersion: missing"), "{text}");
    assert!(!good("kerwin.tool.gray.load: false").policy.load, "off needs none");
}

#[test]
fn our_own_strategy_wins_over_ribbons() {
    let text = "kerwin.tool.gray.balance: {user-app: response-time}\n\
                user-app.ribbon.NFLoadBalancerRuleClassName: com.kerwin.gray.loadbalancer.GrayRandomRule\n\
                order-app.ribbon.NFLoadBalancerRuleClassName: NacosWeightRandomV2Rule\n";
    let settings = good(text);
    assert_eq!(settings.strategy("user-app"), Strategy::ResponseTime);
    assert_eq!(settings.strategy("order-app"), Strategy::Weighted);
    assert_eq!(settings.strategy("other-app"), Strategy::RoundRobin);
    for class in RULE_CLASSES.split(" (").next().expect("one").split(", ") {
        assert!(Strategy::from_rule_class(class).is_some(), "{class} is offered");
    }
}

#[test]
fn what_nobody_reads_is_a_warning_and_the_gateways_routes_are_not() {
    let text = "kerwin.tool.gray.load: false\nlogging: {level: debug}\n\
                spring:\n  datasource: {url: '${NOT_SET_ANYWHERE}'}\n  cloud:\n    nacos: {config: {server-addr: x, sharedConfigs: [a]}}\n    gateway: {routes: []}\n\
                user-app:\n  ribbon:\n    ReadTimeout: 5\n    NFLoadBalancerRuleClasName: x\n";
    let (_, warnings) = read(&[("a", text)], PREFIX).expect("warnings only");
    assert_eq!(
        warnings.to_string(),
        "a:2: logging: not used by gray-chain\n\
         a:4: spring.datasource: not used by gray-chain\n\
         a:6: spring.cloud.nacos.config.server-addr: not used by gray-chain\n\
         a:10: user-app.ribbon.ReadTimeout: not used by gray-chain\n\
         a:11: user-app.ribbon.NFLoadBalancerRuleClasName: not used by gray-chain; did you mean \
         `NFLoadBalancerRuleClassName`?"
    );
}

#[test]
fn settings_under_another_prefix_are_noticed() {
    for (text, expect) in [
        ("lxd.tool.gray: {load: true}", Some("`lxd.tool.gray` looks like it: start with --prefix lxd.tool.gray")),
        ("lxd: {tool: {gray: {load: true}}}", Some("`lxd.tool.gray` looks like it")),
        ("lxd: {tool: 1}", None),
        ("tool: {gray: {load: true}}", None),
        ("lxd.tool.gray: {load: true}\nkerwin.tool.gray.load: false", None),
    ] {
        let (_, warnings) = read(&[("a", text)], PREFIX).expect("warnings only");
        let warnings = warnings.to_string();
        assert_eq!(warnings.contains("looks like it"), expect.is_some(), "{text}: {warnings}");
        assert!(warnings.contains(expect.unwrap_or_default()), "{text}: {warnings}");
    }
}

proptest! {
    #[test]
    fn no_value_panics(key in "[a-zA-Z.]{1,12}", value in any::<String>()) {
        let keys = ["load", "version", "fallback", "gateway.grayHeadKey", "gateway.grayIPList", "balance.x", &key];
        for key in keys {
            let quoted = value.replace('\'', "''");
            drop(read(&[("a", &format!("kerwin.tool.gray.{key}: '{quoted}'"))], PREFIX));
            drop(read(&[("a", &format!("kerwin.tool.gray.{key}: {value}"))], PREFIX));
        }
    }
}
