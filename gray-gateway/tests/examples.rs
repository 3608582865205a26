//! The examples of docs/rules.md: each is read as a gateway reads it, and leads sample requests where it says.

use std::{
    fs,
    path::{Path, PathBuf},
};

use gray_document::{Problems, check};
use gray_gateway::{args::GatewayArgs, check::verdict, config::GatewayConfig};
use gray_rules::{Fleet, RequestFacts, Severity};
use http::{HeaderMap, HeaderName, HeaderValue};

/// In the order in which a gateway reads them.
const DOCUMENTS: [&str; 3] = ["common-config.yaml", "gateway-app.yaml", "gray-rules.yaml"];

const BETA_TOKEN: &str = "authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJVMSIsInJlYWxtX2FjY2VzcyI6eyJncm91cCI6ImJldGEifX0.yo4025Mf4dscHU-tIFpxTiK2qFKimoNVrkiHOFdCApY";

/// Example; request line and headers (`:ip`, `:city`, `:host`, `:now` and `:random` are other facts); what is decided:
/// rule, lane, and the choice for a service when there is an `@`.
type Case = (&'static str, &'static [&'static str], &'static str);

const CASES: &[Case] = &[
    ("01-java-settings", &["GET /", "gray: gray-996"], "head gray @user-app version:V2|version:V1"),
    ("01-java-settings", &["GET /", ":ip: 10.20.3.4"], "addresses gray"),
    ("01-java-settings", &["GET /", ":ip: 2001:db8::7"], "addresses gray"),
    ("01-java-settings", &["GET /", ":city: 杭州市"], "cities gray"),
    ("01-java-settings", &["GET /", "userNo: 1001"], "users gray"),
    ("01-java-settings", &["GET /", "userNo: 1002", ":ip: 192.0.2.8"], "default baseline @user-app version:V1"),
    ("02-exact-version", &["GET /", "versionId: v7.0.2"], "exact exact @order-app version:v7.0.2|version:v7.0.0"),
    ("02-exact-version", &["GET /", "versionId: v7.0.2"], "exact exact @legacy-app version:v7.0.2|version:3.2.1"),
    ("02-exact-version", &["GET /", "versionId: latest"], "default baseline @order-app version:v7.0.0"),
    ("02-exact-version", &["GET /"], "default baseline @legacy-app version:3.2.1"),
    ("03-ab", &["GET /", "v: a"], "asked ab @user-app v:a|*"),
    ("03-ab", &["GET /?v=b"], "asked ab @user-app v:b|*"),
    ("03-ab", &["GET /", "cookie: theme=dark; vip=1"], "vip b @user-app v:b|*"),
    ("03-ab", &["GET /", "user-agent: Mozilla/5.0 (Linux; Android 14)"], "android b"),
    ("03-ab", &["GET /"], "default any @user-app *"),
    ("04-user-batch", &["GET /", "uid: 1002"], "batch-1 gray @user-app gray-tag:true|!gray-tag"),
    ("04-user-batch", &["GET /?uid=2099"], "batch-2 gray"),
    ("04-user-batch", &["GET /?uid=2100"], "default baseline @user-app !gray-tag"),
    ("04-user-batch", &["GET /", "gray-tag: true"], "marked gray"),
    ("05-canary", &["GET /", "X-Tester: me"], "testers gray"),
    ("05-canary", &["GET /", "X-User-No: U0041"], "ramp gray"),
    ("05-canary", &["GET /", "cookie: uid=U0041"], "ramp gray"),
    ("05-canary", &["GET /order-api/x", "X-User-No: U0001", ":random: 0"], "default baseline"),
    ("05-canary", &["GET /order-api/x", ":random: 0"], "anonymous gray"),
    ("05-canary", &["GET /order-api/x", ":random: 9223372036854775808"], "default baseline"),
    ("06-blue-green", &["GET /"], "default blue @user-app version:V1"),
    ("06-blue-green", &["GET /", "X-Rehearsal: green", ":ip: 10.1.1.1"], "rehearsal green @user-app version:V2"),
    ("06-blue-green", &["GET /", "X-Rehearsal: green", ":ip: 192.0.2.7"], "default blue"),
    ("07-lanes", &["GET /", "X-Team: checkout"], "checkout-team checkout @order-app version:V2|version:V1"),
    ("07-lanes", &["GET /", "X-Team: checkout"], "checkout-team checkout @user-app version:V3|*"),
    ("07-lanes", &["GET /", "X-Team: checkout"], "checkout-team checkout @pay-app version:V8"),
    ("07-lanes", &["GET /", "X-Team: checkout"], "checkout-team checkout @cart-app version:V1"),
    ("07-lanes", &["GET /", ":host: nightly.example.com"], "nightly nightly @pay-app build:nightly"),
    ("07-lanes", &["GET /"], "default baseline @pay-app version:V7"),
    ("08-layers", &["GET /", "X-User-No: U0007", ":now: 1796400000"], "cart cart-b @cart-app version:V2|version:V1"),
    ("08-layers", &["GET /", "X-User-No: U0007", ":now: 1797300000"], "default baseline"),
    ("08-layers", &["GET /order-api/x", "X-User-No: U0005", ":now: 1796400000"], "pay pay-b"),
    ("08-layers", &["GET /user-api/x", "X-User-No: U0005", ":now: 1796400000"], "default baseline"),
    ("08-layers", &["GET /order-api/x", "X-User-No: U0001", ":now: 1796400000"], "default baseline"),
    ("08-layers", &["GET /order-api/x", ":now: 1796400000"], "default baseline"),
    (
        "09-matchers",
        &["PUT /order-api/7/confirm", ":host: Shop.example.com", "X-Client: mobile", "X-Trial: "],
        "request gray",
    ),
    ("09-matchers", &["PUT /order-api/7/confirm", "X-Client: mobile", "X-Trial: 1"], "default baseline"),
    ("09-matchers", &["GET /?tenant=acme&page=2", "cookie: theme=dark"], "values gray"),
    ("09-matchers", &["GET /", "X-App-Version: v7.3", "X-Build: 3000"], "versions gray"),
    ("09-matchers", &["GET /", "X-App-Version: v8", "X-Build: 3000"], "default baseline"),
    ("09-matchers", &["GET /", "X-Device: Pixel 8"], "patterns gray"),
    ("09-matchers", &["GET /", ":ip: 10.1.1.1", ":city: 杭州"], "places gray"),
    ("09-matchers", &["GET /", ":ip: 10.1.1.1"], "default baseline"),
    ("09-matchers", &["GET /", "user-agent: Mozilla/5.0 (Linux; Android 14)"], "agents gray"),
    ("09-matchers", &["GET /", "user-agent: MicroMessenger/8"], "agents gray"),
    ("09-matchers", &["GET /", "user-agent: bot (Android 14)"], "default baseline"),
    ("09-matchers", &["GET /", "X-Night: 1", ":now: 1795186800"], "anonymous-at-night gray"),
    ("09-matchers", &["GET /", "X-Night: 1", "cookie: session=", ":now: 1795186800"], "default baseline"),
    ("09-matchers", &["GET /", "X-Lunch: 1", ":now: 1795186800"], "not-at-lunch gray"),
    ("09-matchers", &["GET /", "X-Lunch: 1", ":now: 1795149000"], "default baseline"),
    ("10-jwt-and-json", &["GET /", BETA_TOKEN], "insiders gray"),
    ("10-jwt-and-json", &["GET /", "authorization: Bearer e30.e30.e30"], "default baseline"),
    ("10-jwt-and-json", &["GET /", "cookie: session=%7B%22user%22%3A%7B%22plan%22%3A%22gold%22%7D%7D"], "premium gray"),
    ("11-mesh", &["GET /", "X-Preview: 1"], "preview preview @pay-app version:V2"),
    ("11-mesh", &["GET /"], "default baseline @pay-app version:V1"),
    ("12-static-instances", &["GET /", "X-Zone: b"], "zone-b zone-b @user-app zone:b|*"),
    ("12-static-instances", &["GET /", "X-Tester: 1"], "testers gray @user-app version:V2|version:V1"),
    ("12-static-instances", &["GET /"], "default baseline"),
    ("13-front-end", &["GET /?release=beta"], "join beta @order-app version:V2|version:V1"),
    ("13-front-end", &["GET /app.js", "cookie: release=beta"], "stay beta"),
    ("13-front-end", &["GET /order-api/order/N0001", "x-page: V1", "cookie: release=beta"], "page-v1 baseline"),
    ("13-front-end", &["GET /order-api/order/N0001", "x-page: V2"], "page-v2 beta"),
    ("13-front-end", &["GET /?release=stable", "cookie: release=beta"], "leave baseline"),
    ("13-front-end", &["GET /"], "default baseline"),
    ("14-namespaces", &["GET /", "X-Developer: alice"], "alice alice @order-app dev-alice/*|version:V1"),
    ("14-namespaces", &["GET /", "X-Developer: bob"], "default baseline @order-app version:V1"),
    ("14-namespaces", &["GET /", ":ip: 192.0.2.75"], "canary canary @order-app gray-ns@CANARY/version:V2"),
    ("15-tls", &["GET /", "X-Tester: 1", ":host: shop.example.com"], "testers gray"),
    ("15-tls", &["GET /", "X-Tester: 1", ":host: other.example.com"], "default baseline"),
];

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace")
}

fn text(path: PathBuf) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Reads a rule document with these settings, or with those that are shipped.
fn read(rules: &str, settings: Option<&Path>) -> Result<(GatewayConfig, Problems), Problems> {
    let shipped = workspace().join("deploy/nacos");
    let [common, gateway, _] = DOCUMENTS.map(|name| (name, settings.unwrap_or(&shipped).join(name)));
    let settings = [common, gateway].map(|(name, path)| (name, text(path)));
    let mut documents: Vec<_> = settings.iter().map(|(name, text)| (*name, text.as_str())).collect();
    documents.push((DOCUMENTS[2], rules));
    check(&documents, |documents| GatewayConfig::read(documents, "kerwin.tool.gray"))
}

fn example(name: &str) -> GatewayConfig {
    let place = workspace().join("docs/examples").join(name);
    let (rules, settings) = match place.is_dir() {
        true => (text(place.join(DOCUMENTS[2])), Some(&*place)),
        false => (text(place.with_extension("yaml")), None),
    };
    let (config, warnings) = read(&rules, settings).unwrap_or_else(|problems| panic!("{name}:\n{problems}"));
    assert!(warnings.is_empty(), "{name}:\n{warnings}");
    config
}

fn examples() -> Vec<String> {
    let entries = fs::read_dir(workspace().join("docs/examples")).expect("a directory");
    let name = |entry: fs::DirEntry| entry.path().file_stem().expect("a name").to_string_lossy().into_owned();
    let mut names: Vec<_> = entries.map(|entry| name(entry.expect("an entry"))).collect();
    names.sort();
    names
}

fn decided(config: &GatewayConfig, request: &[&str], service: Option<&str>) -> String {
    let (method, target) = request[0].split_once(' ').expect("a method and a target");
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let mut headers = HeaderMap::new();
    let pairs: Vec<_> = request[1..].iter().map(|line| line.rsplit_once(": ").expect("name: value")).collect();
    for (name, value) in pairs.iter().filter(|(name, _)| !name.starts_with(':')) {
        let name = HeaderName::try_from(*name).expect("a name");
        headers.append(name, HeaderValue::from_str(value).expect("a value"));
    }
    let special = |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let number = |name| special(name).map_or(u64::MAX, |text| text.parse().expect("a number"));
    let facts = RequestFacts {
        method,
        path,
        query,
        host: special(":host"),
        client_ip: special(":ip").map(|text| text.parse().expect("an address")),
        city: special(":city"),
        now: if special(":now").is_some() { number(":now") } else { 0 },
        random: number(":random"),
        ..RequestFacts::new(&headers)
    };
    let decision = config.rules.decide(&facts);
    let choice = service.map(|service| format!(" @{service} {}", decision.lane.choice(service)));
    format!("{} {}{}", decision.rule, decision.lane.name(), choice.unwrap_or_default())
}

#[test]
fn examples_lead_where_they_say() {
    let names = examples();
    assert_eq!(names.len(), 15, "{names:?}");
    for name in names {
        let config = example(&name);
        let cases: Vec<_> = CASES.iter().filter(|(of, ..)| *of == name).collect();
        assert!(cases.len() >= 2, "{name}: {} sample requests", cases.len());
        for (_, request, expect) in cases {
            let service = expect.split_once('@').and_then(|(_, rest)| rest.split(' ').next());
            assert_eq!(decided(&config, request, service), *expect, "{name}: {request:?}");
        }
    }
}

/// What we ship and what we teach holds before our own lint, at a time when every example is in force.
#[test]
fn documents_that_are_shipped_pass_the_lint() {
    let shipped = text(workspace().join("deploy/nacos").join(DOCUMENTS[2]));
    let shipped = read(&shipped, None).unwrap_or_else(|problems| panic!("{problems}")).0;
    let all = examples().into_iter().map(|name| (example(&name), name)).chain([(shipped, "deploy/nacos".into())]);
    for (config, name) in all {
        let findings = config.rules.lint(&Fleet::default(), 1_796_400_000);
        let meant: Vec<_> = findings.iter().filter(|finding| finding.severity != Severity::Note).collect();
        assert!(meant.is_empty(), "{name}: {meant:?}");
    }
}

#[test]
fn examples_have_what_they_are_about() {
    use gray_settings::Edge;
    let gray = example("11-mesh").gray.mesh.admission;
    let allow = |versions: &[&str]| versions.iter().map(ToString::to_string).collect::<Vec<_>>();
    let edge = Edge {
        from: "order-app".into(),
        version: Some("V2".into()),
        to: "user-app".into(),
        allow: allow(&["V2", "V3"]),
    };
    assert_eq!((&gray.edges[0], gray.drain.len(), gray.slow_start.as_secs()), (&edge, 2, 30));
    assert_eq!(
        example("02-exact-version").gray.mesh.propagate.len(),
        6,
        "three of its own, and those that always go on"
    );
    assert_eq!(example("12-static-instances").gray.static_instances["user-app"].len(), 2);
    assert_eq!(example("13-front-end").rules.cookie(), Some("release"));
    assert_eq!(example("14-namespaces").gray.mesh.namespaces.len(), 2);
    for name in ["13-front-end", "15-tls"] {
        assert!(example(name).routes.routes().iter().any(|route| !route.lanes.is_empty()), "{name}");
    }
    assert!(example("11-mesh").routes.routes().iter().all(|route| route.use404));
}

#[test]
fn the_contract_is_linked_and_its_documents_can_be_read() {
    let contract = text(workspace().join("docs/rules.md"));
    for name in examples() {
        assert!(contract.contains(&format!("(examples/{name}")), "docs/rules.md does not link {name}");
    }
    let mut count = 0;
    let readme = text(workspace().join("README.md"));
    let blocks = [&contract, &readme].into_iter().flat_map(|text| text.split("```").enumerate());
    for (place, block) in blocks {
        let Some(block) = block.strip_prefix("yaml\n").filter(|_| place % 2 == 1) else { continue };
        count += 1;
        match read(block, None) {
            Ok((_, warnings)) => assert!(warnings.is_empty(), "{block}\n{warnings}"),
            Err(problems) => panic!("{block}\n{problems}"),
        }
    }
    assert!(count >= 8, "{count} documents");
}

#[tokio::test]
async fn check_config_judges_the_rules_as_well_and_later_documents_win() {
    use clap::Parser;
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).expect("written");
    for name in &DOCUMENTS[..2] {
        write(name, &text(workspace().join("deploy/nacos").join(name)));
    }
    let at = directory.path().to_str().expect("UTF-8");
    let args = GatewayArgs::try_parse_from(["gray-gateway", "--config-dir", at]).expect("valid");
    let is_good = async || verdict(&args).await.expect("documents").0.is_good(false);
    assert!(is_good().await);
    write("gray-rules.yaml", "gray.rules: [{ name: a, when: { header.x: 1 }, lane: nowhere }]");
    let (refused, _) = verdict(&args).await.expect("documents");
    let lines = refused.lines().join("\n");
    assert!(!refused.is_good(false) && lines.contains("gray-rules.yaml:1") && lines.contains("nowhere"), "{lines}");
    write("gray-rules.yaml", "gray: {}");
    // The gateway's own document comes later than the shared one, and so wins.
    write("common-config.yaml", "kerwin.tool.gray: { load: false, gateway.enabled: perhaps }");
    assert!(is_good().await, "the mistake is not in effect");
}
