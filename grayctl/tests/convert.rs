//! `grayctl convert` as a process, on the application that docs/migration.md converts.

#[path = "../../tests/shared/process.rs"]
mod process;

use std::{fs, path::Path};

use process::{Outcome, run};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_grayctl");
const SHOP: &str = "../docs/migration/shop-gateway";
const NACOS: &str = "../docs/migration/nacos";

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

#[test]
fn an_application_is_told_as_it_is() {
    let Outcome { code, out, err } = run(PROGRAM, &["convert", SHOP, NACOS], &[]);
    assert_eq!(code, 1, "{out}{err}");
    for words in [
        "shop-gateway, profile prod: 2 routes, 3 things to do",
        "bootstrap.yml",
        "filters     RequestRateLimiter 1, StripPrefix 2",
        "nacos/shop-gateway-prod.yaml:13",
        "      runs on every request: a token check becomes JsonWebToken",
        "com.example.shop.RequestIdFilter",
        "RequestIdFilter.java:12",
        "com.example.shop.LimitConfig.callerKeyResolver",
        "gray-gateway --check-config --config-dir DIR --name shop-gateway --profile prod --bootstrap ",
        "gray-gateway --nacos 127.0.0.1:8848 --namespace shop --name shop-gateway --profile prod",
        "--port 8080",
    ] {
        assert!(out.contains(words), "{words}\n{out}{err}");
    }
    for words in ["WebFilter:", "Other"] {
        assert!(!out.contains(words), "{words}\n{out}{err}");
    }
}

#[test]
fn the_documents_for_the_new_gateway_are_written_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("converted");
    let directory = out.to_str().expect("UTF-8");
    let line = ["convert", SHOP, NACOS, "--out", directory];
    assert_eq!(run(PROGRAM, &line, &[]).code, 1);
    assert_eq!(names(&out), ["gray-rules.yaml", "local", "shop-common.yaml", "shop-gateway-prod.yaml"]);
    assert_eq!(names(&out.join("local")), ["application.yml", "bootstrap.yml"]);
    let read = |name: &str| fs::read_to_string(out.join(name)).expect("written");
    let original = fs::read_to_string(format!("{NACOS}/shop-gateway-prod.yaml")).expect("there");
    assert_eq!(read("shop-gateway-prod.yaml"), original);
    let rules = read("gray-rules.yaml");
    for words in ["release: 4", "Auth: refuse", "callerKeyResolver: header.X-Caller", "AuthGatewayFilterFactory"] {
        assert!(rules.contains(words), "{words}\n{rules}");
    }
    // The gateway takes them as they are.
    let local = ["bootstrap.yml", "application.yml"].map(|name| format!("{directory}/local/{name}")).join(",");
    let check = ["config", "check", "--config-dir", directory, "--name", "shop-gateway", "--profile", "prod"];
    let Outcome { code, out: said, err } = run(PROGRAM, &[&check[..], &["--bootstrap", &local]].concat(), &[]);
    assert_eq!(code, 0, "{said}{err}");
    // Again is no change; edited, it stays.
    assert_eq!(run(PROGRAM, &line, &[]).code, 1);
    let edited = rules.replace("Auth: refuse", "Auth: { drop: \"public\" }");
    fs::write(out.join("gray-rules.yaml"), &edited).expect("written");
    let Outcome { code, err, .. } = run(PROGRAM, &line, &[]);
    assert!(code == 1 && err.contains("gray-rules.yaml; --force replaces them"), "{err}");
    assert_eq!(read("gray-rules.yaml"), edited);
    // What was chosen is no longer to be chosen.
    let Outcome { out: said, .. } = run(PROGRAM, &["convert", directory, "--json"], &[]);
    let report: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(report["choices"], Value::Array(Vec::new()), "{said}");
    assert_eq!(report["name"], "shop-gateway");
    assert_eq!(run(PROGRAM, &[&line[..], &["--force"]].concat(), &[]).code, 1);
    assert_eq!(read("gray-rules.yaml"), rules);
}

#[test]
fn everything_taken_is_exit_code_0() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("application.yml");
    let text = "spring:
  application.name: shop
  cloud.gateway.routes: [ { id: a, uri: 'lb://a', predicates: [ Path=/a ], metadata.response-timeout: 5000 } ]";
    fs::write(&file, text).expect("written");
    let out = folder.path().join("new");
    let [file, directory] = [&file, &out].map(|path| path.to_str().expect("UTF-8"));
    let Outcome { code, out: said, err } = run(PROGRAM, &["convert", file, "--out", directory], &[]);
    assert_eq!(code, 0, "{said}{err}");
    assert!(said.contains("shop: 1 route, everything is taken"), "{said}");
    assert_eq!(names(&out), ["shop.yml"]);
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().to_str().expect("UTF-8");
    for args in [
        &["convert"][..],
        &["convert", "/nonexistent"],
        &["convert", empty],
        &["convert", "Cargo.lock"],
        &["convert", SHOP, "--force"],
        &["convert", SHOP, "--name", "../x"],
        &["convert", SHOP, "--profile", "a b"],
    ] {
        let Outcome { code, out, err } = run(PROGRAM, args, &[]);
        assert!(code == 2 && out.is_empty() && !err.is_empty(), "{args:?}: {code}\n{out}{err}");
    }
}
