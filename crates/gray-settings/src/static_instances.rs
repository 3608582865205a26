//! Instances that stand in the settings, as Spring's `SimpleDiscoveryClient` has them.

use std::collections::{BTreeMap, HashSet};

use gray_core::{entry, instance::Instance};
use gray_document::Section;

/// Where they stand.
pub(super) const KEY: &str = "spring.cloud.discovery.client.simple.instances";
/// What an instance takes, its counters included.
const INSTANCE: usize = 1024;

/// Reads the instances of every service. Problems are noted in the documents; a key that means nothing is one.
pub(super) fn read(root: &Section<'_>) -> BTreeMap<String, Vec<Instance>> {
    let mut services = BTreeMap::new();
    for (service, list) in root.section(KEY).keys() {
        let (mut instances, mut addresses): (Vec<Instance>, HashSet<(String, u16)>) = Default::default();
        for item in list.items() {
            if !item.spend("instances", INSTANCE) {
                return services;
            }
            let Some(instance) = instance(&item.section()) else { continue };
            if !addresses.insert((instance.host.to_string(), instance.port)) {
                item.warn(format!("{} is listed twice; the first one counts", instance.authority()));
                continue;
            }
            instances.push(instance);
        }
        // No instances say nothing of a service: the registry does.
        if !instances.is_empty() {
            services.insert(service, instances);
        }
    }
    services
}

fn instance(section: &Section<'_>) -> Option<Instance> {
    if !section.exists() {
        return None;
    }
    // Spring has names for the instance and its service here; we need neither.
    section.string("instanceId");
    section.string("serviceId");
    let instance = entry::read(section);
    section.reject_unknown();
    instance
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gray_document::check;

    use super::*;
    use crate::GraySettings;

    fn read_text(text: &str) -> Result<(GraySettings, String), String> {
        let read = |documents: &_| {
            let root = gray_document::Documents::root(documents);
            let settings = GraySettings::read(&root, "kerwin.tool.gray");
            GraySettings::warn_unread(&root);
            settings
        };
        let text = format!("{text}\nkerwin.tool.gray.load: false");
        let (settings, warnings) = check(&[("a.yaml", &text)], read).map_err(|problems| problems.to_string())?;
        Ok((settings, warnings.to_string()))
    }

    #[test]
    fn every_spelling() {
        let text = "\
spring:
  cloud:
    discovery.client.simple.instances:
      user-app:
        - uri: http://10.0.0.7:7201
          metadata: {version: V1, zone.name: a}
        - {host: '::1', port: 7202, weight: 2.5, secure: false, instance-id: x, serviceId: user-app}
        - {uri: 'http://users.internal', healthy: false}
        - {uri: 'https://users.internal'}
        - {host: h, port: 1, secure: true}
      nobody: []
      neither:
";
        let (settings, warnings) = read_text(text).expect("good");
        assert_eq!(warnings, "");
        let one = Instance::new("10.0.0.7", 7201).with_version("V1").with_metadata("zone.name", "a");
        let two = Instance { weight: 2.5, ..Instance::new("::1", 7202) };
        let four = Instance::new("users.internal", 443).with_metadata("secure", "true");
        let five = Instance::new("h", 1).with_metadata("secure", "true");
        let three = Instance { healthy: false, ..Instance::new("users.internal", 80) };
        assert_eq!(
            settings.static_instances,
            BTreeMap::from([("user-app".to_owned(), vec![one, two, three, four, five])])
        );
    }

    #[test]
    fn what_is_wrong_is_named_by_line_and_key() {
        let at = |item: &str| format!("{KEY}:\n  user-app:\n    - {item}");
        for (item, expect) in [
            ("{uri: 'ftp://h:1'}", "a.yaml:3: spring.cloud.discovery.client.simple.instances.user-app[0].uri: `ftp"),
            ("{uri: 'h:1'}", "expected http://HOST:PORT or https://HOST:PORT"),
            ("{uri: 'http://h:99999'}", "user-app[0].uri: `http://h:99999` has the port `99999`"),
            ("{uri: 'http://h:1', port: 1}", "user-app[0].port: the uri says this already"),
            ("{uri: 'http://h:1', metdata: {a: b}}", "metdata: unknown key; did you mean `metadata`?"),
            ("{uri: 'http://h:1', weight: -1}", "user-app[0].weight: weight -1"),
            ("{uri: 'http://h:1', secure: true}", "user-app[0].secure: the uri says otherwise"),
            ("{host: h, port: 1, secure: maybe}", "user-app[0].secure: "),
            ("{port: 1, secure: true}", "user-app[0].host: missing"),
            ("{uri: 'https://h', metadata: {secure: 'false'}}", "user-app[0].metadata: `secure` in it contradicts"),
            ("{uri: 'http://h:1', metadata: {secure: 'true'}}", "user-app[0].metadata: `secure` in it contradicts"),
            ("{port: 1}", "user-app[0].host: missing"),
            ("{host: h}", "user-app[0].port: missing"),
            ("{host: h, port: 70000}", "user-app[0].port: 70000"),
            ("{host: 'a/b', port: 1}", "user-app[0].host: `a/b` is not a host"),
            ("http://h:1", "a.yaml:3: spring.cloud.discovery.client.simple.instances.user-app[0]: expected a map"),
        ] {
            let problems = read_text(&at(item)).expect_err(item);
            assert!(problems.contains(expect) && problems.contains("a.yaml:3"), "{item}: {problems}");
            assert_eq!(problems.lines().count(), 1, "{item}: {problems}");
        }
        let problems = read_text(&format!("{KEY}:\n  user-app: {{uri: 'http://h:1'}}")).expect_err("no list");
        assert!(problems.contains("a.yaml:2") && problems.contains("expected a list"), "{problems}");
        let (settings, warnings) =
            read_text(&at("{uri: 'http://h:1'}\n    - {host: h, port: 1, weight: 2}")).expect("ok");
        assert_eq!(settings.static_instances["user-app"], [Instance::new("h", 1)]);
        assert!(warnings.contains("a.yaml:4") && warnings.contains("twice"), "{warnings}");
    }

    #[test]
    fn candidates_are_merged() {
        let (fixed, listed) = (Instance::new("h", 1), Instance::new("h", 2));
        let static_instances = BTreeMap::from([("user-app".to_owned(), vec![fixed.clone()])]);
        let settings = GraySettings { static_instances, ..GraySettings::default() };
        let candidates = |service, listed: Option<&[Instance]>| {
            let listed = listed.map(Arc::from);
            settings.candidates(service, listed.as_ref()).map(|all| all.to_vec())
        };
        assert_eq!(candidates("other", None), None);
        assert_eq!(candidates("other", Some(&[])), Some(vec![]));
        assert_eq!(candidates("user-app", None), Some(vec![fixed.clone()]));
        let both = Some(vec![listed.clone(), fixed.clone()]);
        assert_eq!(candidates("user-app", Some(std::slice::from_ref(&listed))), both);
        let sick = Instance { healthy: false, ..fixed };
        let known = candidates("user-app", Some(std::slice::from_ref(&sick)));
        assert_eq!(known, Some(vec![sick]), "the registry knows better");
    }
}
