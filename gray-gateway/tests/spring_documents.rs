//! Documents as Java gateways have them: other names, formats and profiles, files of the jar, lists of routes.

mod support;

use std::{collections::BTreeSet, fs, time::Duration};

use gray_gateway::{
    check,
    config::{GatewayConfig, plan},
};
use gray_live::LiveSettings;
use gray_registry::FileConfigSource;

use support::args;

const LIMIT: Duration = Duration::from_secs(30);
const PREFIX: &str = "kerwin.tool.gray";

/// A directory with these files.
fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        fs::write(directory.path().join(name), text).expect("written");
    }
    directory
}

async fn checked(files: &[(&str, &str)], more: &[&str]) -> Result<(), String> {
    let directory = directory(files);
    let more: Vec<_> = more.iter().map(|more| more.replace("DIR", directory.path().to_str().expect("UTF-8"))).collect();
    let more: Vec<_> = more.iter().map(String::as_str).collect();
    let (verdict, _) = check::verdict(&args(directory.path(), &more)).await.map_err(|error| format!("{error:#}"))?;
    if verdict.is_good(false) { Ok(()) } else { Err(verdict.lines().join("\n")) }
}

/// The ids of the routes that a gateway has by these files.
async fn routes(files: &[(&str, &str)], more: &[&str]) -> BTreeSet<String> {
    let directory = directory(files);
    let more: Vec<_> = more.iter().map(|more| more.replace("DIR", directory.path().to_str().expect("UTF-8"))).collect();
    let more: Vec<_> = more.iter().map(String::as_str).collect();
    let args = args(directory.path(), &more);
    let plan = plan(&args.service.control, args.routes_document.as_deref()).expect("a plan");
    let source = plan.source(FileConfigSource::open(directory.path()).expect("opened"));
    let followed = plan.followed(GatewayConfig::lasting(PREFIX));
    let settings = LiveSettings::follow_documents(source, followed, |documents| GatewayConfig::read(documents, PREFIX));
    let config =
        settings.ready(LIMIT).await.unwrap_or_else(|| panic!("{files:?}: {:?}", settings.subscribe().borrow()));
    config.routes.routes().iter().map(|route| route.id.to_string()).collect()
}

fn route(id: &str) -> String {
    format!("spring.cloud.gateway.routes:\n- {{ id: {id}, uri: 'http://127.0.0.1:1', predicates: [Path=/{id}] }}\n")
}

fn ids(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[tokio::test]
async fn routes_are_found_under_every_name_and_in_every_format() {
    let properties = "\
spring.cloud.gateway.routes[0].id=p
spring.cloud.gateway.routes[0].uri=http://127.0.0.1:1
spring.cloud.gateway.routes[0].predicates[0]=Path=/p
";
    let json = r#"{"spring":{"cloud":{"gateway":{"routes":[{"id":"j","uri":"http://127.0.0.1:1","predicates":["Path=/j"]}]}}}}"#;
    let webmvc = route("m").replace("routes", "server.webmvc.routes");
    let mvc = route("n").replace("routes", "mvc.routes");
    let part = format!("{}---\nspring.config.activate.on-profile: dev & !eu\n{}", route("a"), route("d"));
    for (files, more, expect) in [
        (vec![("gateway-app.properties", properties)], &[][..], &["p"][..]),
        (vec![("gateway-app", properties)], &[], &["p"]),
        (vec![("gateway-app.json", json)], &[], &["j"]),
        (vec![("shop.yml", &*route("s"))], &["--name", "shop"], &["s"]),
        (
            vec![("shop.yml", &*route("s")), ("shop-dev.yml", &*route("d"))],
            &["--name", "shop", "--profile", "dev"],
            &["d"],
        ),
        (vec![("gateway-app.yaml", &*part)], &[], &["a"]),
        (vec![("gateway-app.yaml", &*part)], &["--profile", "dev"], &["d"]),
        (vec![("gateway-app.yaml", &*part)], &["--profile", "dev,eu"], &["a"]),
        (vec![("gateway-app.yaml", &*webmvc)], &[], &["m"]),
        (vec![("gateway-app.yaml", &*mvc)], &[], &["n"]),
        (vec![("common-config.yaml", &*route("c"))], &[], &["c"]),
        (
            vec![
                ("gateway-app.yaml", "spring.config.import: nacos:other.yaml?group=G\n"),
                ("other.yaml", &*route("o")),
            ],
            &[],
            &["o"],
        ),
    ] {
        assert_eq!(routes(&files, more).await, ids(expect), "{files:?} {more:?}");
        checked(&files, more).await.unwrap_or_else(|problems| panic!("{files:?}: {problems}"));
    }
}

#[tokio::test]
async fn the_files_of_a_jar_count_least_and_name_the_rest() {
    let bootstrap = format!(
        "spring:\n  application.name: shop\n  profiles.active: dev\n  cloud.nacos.config:\n    shared-configs: [{{ data-id: shared.yaml }}]\n{}",
        route("jar")
    );
    let more = ["--bootstrap", "DIR/bootstrap.yml"];
    let jar = ("bootstrap.yml", &*bootstrap);
    assert_eq!(routes(&[jar], &more).await, ids(&["jar"]));
    let (shared, own, dev) = (route("shared"), route("own"), route("dev"));
    assert_eq!(routes(&[jar, ("shared.yaml", &shared)], &more).await, ids(&["shared"]));
    assert_eq!(routes(&[jar, ("shared.yaml", &shared), ("shop.yaml", &own)], &more).await, ids(&["own"]));
    let all =
        [jar, ("shared.yaml", &*shared), ("shop.yaml", &own), ("shop-dev.properties", "x=1"), ("shop-dev.yml", &dev)];
    assert_eq!(routes(&all, &more).await, ids(&["dev"]));
    checked(&all, &more).await.expect("in order");
}

#[tokio::test]
async fn a_list_of_routes_is_added_to_the_others() {
    let json = r#"[
	{"id": "j", "uri": "http://127.0.0.1:1", "order": -1, "predicates": [{"name": "Path", "args": {"_genkey_0": "/j"}}], "filters": []},
	{"id": "k", "uri": "http://127.0.0.1:1", "predicates": [{"name": "Path", "args": {"pattern": "/k"}}], "metadata": {}}
]"#;
    let more = ["--routes-document", "dynamic-routes"];
    let own = route("own");
    assert_eq!(routes(&[("dynamic-routes", json)], &more).await, ids(&["j", "k"]));
    assert_eq!(routes(&[("dynamic-routes", json), ("gateway-app.yaml", &own)], &more).await, ids(&["j", "k", "own"]));
    checked(&[("dynamic-routes", json)], &more).await.expect("in order");
    checked(&[("dynamic-routes", "[]")], &more).await.expect("expressly none");
    let problems = checked(&[("dynamic-routes", "[{\"id\": \"a\"}]")], &more).await.expect_err("no uri");
    assert!(problems.contains("dynamic-routes:1: routes-document[0].uri: a route needs a `uri`"), "{problems}");
    let problems = checked(&[("gateway-app.yaml", json)], &more).await.expect_err("a list");
    assert!(problems.contains("expected `key: value` lines, found a list"), "{problems}");
}

#[tokio::test]
async fn a_document_under_another_name_is_hinted_at() {
    let (own, dev) = (route("a"), "spring.profiles: dev\nx: 1");
    for (files, more, expect) in [
        (vec![("gateway-app-dev.yml", &*own)], &[][..], "there is no gateway-app.yaml in"),
        (vec![("gateway-app-dev.yml", &*own)], &[], "gateway-app-dev.yml is there: is the profile `dev` active?"),
        (vec![("shop-gateway.yaml", &*own)], &[], "shop-gateway.yaml has what is missing"),
        (vec![("shop-gateway.yaml", &*own), ("common-config.yaml", "x: 1")], &[], "start with --name shop-gateway"),
        (vec![("bootstrap.yml", &*own)], &["--name", "x"], "give it as --bootstrap"),
        (vec![("README.md", "")], &[], "is this the right place?"),
        (vec![("gateway-app.yaml", dev)], &[], "spring.cloud.gateway.routes: no document has it"),
        (vec![("gateway-app.yaml", "spring.profiles: a & b | c\n")], &[], "is not an expression of profiles"),
    ] {
        let problems = checked(&files, more).await.expect_err(expect);
        assert!(problems.contains(expect), "{files:?}: {problems}");
    }
}

#[tokio::test]
async fn flat_static_instances_and_rules_with_relaxed_names() {
    let common = "\
kerwin.tool.gray: { load: '1', version: { prodVersion: V1, grayVersion: V2 }, gateway: { enabled: on } }
spring.cloud.discovery.client.simple.instances.user-app[0].uri: http://127.0.0.1:1
spring.cloud.discovery.client.simple.instances.user-app[0].metadata.version: V1
";
    let rules = "\
gray:
  Rules[0].Name: beta
  rules[0].WHEN: { header.x: { at_least: 3, Exists: yes } }
  rules[0].lane: V2
  lanes.V2.Select: V2
";
    let files = [("common-config.yaml", common), ("gray-rules.yaml", rules), ("gateway-app.yaml", &*route("a"))];
    checked(&files, &[]).await.expect("in order");
}
