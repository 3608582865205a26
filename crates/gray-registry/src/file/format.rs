//! How instances are written into a file: JSON read strictly, YAML like our other documents.

use gray_core::{entry, instance::Instance};
use gray_document::Documents;
use serde::{Deserialize, Serialize};

/// What one file says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ServiceFile {
    pub(super) service: String,
    pub(super) instances: Vec<Instance>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    service: String,
    instances: Vec<RawInstance>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInstance {
    host: String,
    port: u16,
    #[serde(default = "one")]
    weight: f64,
    #[serde(default = "yes")]
    healthy: bool,
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default)]
    metadata: std::collections::BTreeMap<String, String>,
}

fn one() -> f64 {
    1.0
}

fn yes() -> bool {
    true
}

/// Reads a file. The error says what is wrong, and in which line.
pub(super) fn parse(name: &str, text: &str) -> Result<ServiceFile, String> {
    let file = if name.ends_with(".json") { parse_json(text)? } else { parse_yaml(name, text)? };
    if file.service.trim().is_empty() {
        return Err("`service` is empty".into());
    }
    for instance in &file.instances {
        entry::check(instance)?;
    }
    Ok(file)
}

fn parse_json(text: &str) -> Result<ServiceFile, String> {
    // serde_json names line and column itself.
    let raw: Raw = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let instances = raw.instances.into_iter().map(|raw| {
        let RawInstance { host, port, weight, healthy, enabled, metadata } = raw;
        let metadata = metadata.into_iter().collect();
        Instance { host, port, weight, healthy, enabled, metadata, space: None }
    });
    Ok(ServiceFile { service: raw.service, instances: instances.collect() })
}

fn parse_yaml(name: &str, text: &str) -> Result<ServiceFile, String> {
    let problems = |problems: gray_document::Problems| problems.to_string();
    let documents = Documents::parse(&[(name, text)], &|key| std::env::var(key).ok()).map_err(problems)?;
    let root = documents.root();
    let service = root.string("service");
    if service.is_none() {
        root.error("service", "missing: whose instances are these?");
    }
    let instances: Vec<_> = root.items("instances").iter().filter_map(|item| entry::read(&item.section())).collect();
    if !root.has("instances") {
        root.error("instances", "missing; for an empty list, write `instances: []`");
    }
    root.reject_unknown();
    let found = documents.take_problems();
    if found.has_errors() {
        return Err(problems(found));
    }
    Ok(ServiceFile { service: service.unwrap_or_default(), instances })
}

/// The file that one registered instance is written to; different addresses never share one.
pub(super) fn file_name(service: &str, instance: &Instance) -> String {
    format!("{}@{}@{}.json", escape(service), escape(&instance.host), instance.port)
}

/// `%XX` for every byte that has a meaning to a file system or to us.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (position, byte) in text.bytes().enumerate() {
        match byte {
            b'.' if position > 0 => escaped.push('.'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// The text of that file.
pub(super) fn render(service: &str, instance: &Instance) -> Result<String, String> {
    entry::check(instance)?;
    let Instance { host, port, weight, healthy, enabled, metadata, space: _ } = instance.clone();
    let metadata = metadata.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let instances = vec![RawInstance { host, port, weight, healthy, enabled, metadata }];
    let raw = Raw { service: service.to_owned(), instances };
    serde_json::to_string_pretty(&raw).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn yaml_with_defaults_and_dotted_metadata() {
        let text = "service: user-app\ninstances:\n  - {host: 127.0.0.1, port: 7201}\n  - host: '::1'\n    port: 7202\n    \
                    weight: 2.5\n    healthy: false\n    enabled: no\n    metadata:\n      version: V2\n      \
                    preserved.register.source: GRAY_CHAIN\n      zone: ''\n";
        let file = parse("users.yaml", text).expect("good");
        assert_eq!(file.service, "user-app");
        assert_eq!(file.instances[0], Instance::new("127.0.0.1", 7201));
        let two = Instance { weight: 2.5, healthy: false, enabled: false, ..Instance::new("::1", 7202) };
        let two =
            two.with_version("V2").with_metadata("preserved.register.source", "GRAY_CHAIN").with_metadata("zone", "");
        assert_eq!(file.instances[1], two);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let cases: &[(&str, &str, &[&str])] = &[
            ("a.yaml", "service: u\ninstances:\n  - {host: h, prot: 1}", &["a.yaml:3", "prot"]),
            ("a.yaml", "service: u\ninstances:\n  - {host: h, port: 70000}", &["a.yaml:3", "70000"]),
            ("a.yaml", "service: u\ninstances:\n  - {port: 1}", &["a.yaml:3", "host"]),
            ("a.yaml", "instances: [{host: h, port: 1}]", &["service"]),
            ("a.yaml", "service: u\ninstances: {host: h}", &["a.yaml:2", "list"]),
            ("a.yaml", "service: u\n  instances: [", &["a.yaml:2"]),
            ("a.yaml", "service: u\ninstances: [{host: h, port: 1, weight: -1}]", &["weight"]),
            ("a.yaml", "service: u\ninstances: [{host: 'a/b', port: 1}]", &["a/b", "host"]),
            ("a.json", "{\"service\": \"u\",\n \"instances\": [{\"host\": \"h\"}]}", &["port", "line 2"]),
            (
                "a.json",
                "{\"service\": \"u\",\n \"instances\": [{\"host\": \"h\", \"port\": \"1\"}]}",
                &["line 2", "u16"],
            ),
            ("a.json", "{\"service\": \"\", \"instances\": []}", &["service"]),
            ("a.json", "", &["EOF"]),
        ];
        for (name, text, parts) in cases {
            let error = parse(name, text).expect_err(text);
            for part in *parts {
                assert!(error.contains(part), "{text}: `{part}` is not in `{error}`");
            }
        }
    }

    #[test]
    fn file_names_are_plain() {
        let name = |service, host| file_name(service, &Instance::new(host, 7202));
        assert_eq!(name("user-app", "127.0.0.1"), "user-app@127.0.0.1@7202.json");
        assert_eq!(name("../etc/passwd", "::1"), "%2E.%2Fetc%2Fpasswd@%3A%3A1@7202.json");
        assert_eq!(name(".hidden", "h"), "%2Ehidden@h@7202.json");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            service in "[^ ]{1,20}",
            port in 1u16..,
            weight in 0.0..1e6f64,
            healthy: bool,
            enabled: bool,
            metadata in prop::collection::btree_map(".{0,12}", ".{0,12}", 0..4),
        ) {
            prop_assume!(!service.trim().is_empty());
            let metadata = metadata.into_iter().collect();
            let instance = Instance { weight, healthy, enabled, metadata, ..Instance::new("10.0.0.1", port) };
            let file = parse("x.json", &render(&service, &instance).expect("rendered")).expect("parsed");
            prop_assert_eq!(file, ServiceFile { service, instances: vec![instance] });
        }

        #[test]
        fn no_text_panics(text in "(.|\n){0,80}") {
            for name in ["x.yaml", "x.json"] {
                // Good or bad, it comes back.
                drop(parse(name, &text));
            }
        }

        #[test]
        fn different_addresses_never_share_a_file(a in ".{1,8}", b in ".{1,8}", c in ".{1,8}", d in ".{1,8}") {
            prop_assume!((&a, &b) != (&c, &d));
            prop_assert_ne!(file_name(&a, &Instance::new(b, 1)), file_name(&c, &Instance::new(d, 1)));
        }
    }
}
