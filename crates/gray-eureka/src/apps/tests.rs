use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::record::{announcement, instance_id};

/// As Spring Cloud Netflix 4.3 wrote it.
const REAL: &str = r#"{"applications":{"versions__delta":"3","apps__hashcode":"DOWN_1_OUT_OF_SERVICE_1_","application":[
{"name":"USER-APP","instance":[{"instanceId":"127.0.0.1:user-app:7201","hostName":"127.0.0.1","app":"USER-APP",
"ipAddr":"127.0.0.1","status":"OUT_OF_SERVICE","overriddenStatus":"OUT_OF_SERVICE","port":{"$":7201,"@enabled":"true"},
"securePort":{"$":443,"@enabled":"false"},"countryId":1,"dataCenterInfo":{"@class":
"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo","name":"MyOwn"},"leaseInfo":{"renewalIntervalInSecs":30,
"durationInSecs":90,"registrationTimestamp":1795980710870,"lastRenewalTimestamp":1795980801167,"evictionTimestamp":0,
"serviceUpTimestamp":1795980710871},"metadata":{"note":"中文, \"q\"","version":"V1"},"vipAddress":"user-app",
"isCoordinatingDiscoveryServer":"false","lastUpdatedTimestamp":"1795980711171","lastDirtyTimestamp":"1795980710650",
"actionType":"MODIFIED"},{"instanceId":"127.0.0.1:user-app:7202","hostName":"127.0.0.1","app":"USER-APP","ipAddr":
"127.0.0.1","status":"DOWN","overriddenStatus":"UNKNOWN","port":{"$":7202,"@enabled":"true"},"securePort":{"$":443,
"@enabled":"false"},"countryId":1,"metadata":{"@class":"java.util.Collections$EmptyMap"},"vipAddress":"user-app",
"actionType":"ADDED"}]},{"name":"ORDER-APP","instance":[{"instanceId":"127.0.0.1:order-app:7101","hostName":"127.0.0.1",
"app":"ORDER-APP","status":"UP","port":{"$":7101,"@enabled":"true"},"vipAddress":"order-app","actionType":"DELETED"}]}]}}"#;

fn of(apps: &Apps, service: &str) -> Vec<Instance> {
    apps.of([service]).remove(service).expect("asked for")
}

/// The instances of `A` in an answer with this one.
fn one(instance: &Value) -> Vec<Instance> {
    let answer = json!({"applications": {"application": [{"name": "A", "instance": [instance]}]}});
    of(&read_full(answer.to_string().as_bytes()).expect("read"), "a")
}

#[test]
fn a_real_answer() {
    let delta = read_delta(REAL.as_bytes()).expect("read");
    let mut apps = Apps::default();
    assert_eq!(apps.apply(&delta), Applied::Agrees);
    let v1 = Instance { enabled: false, ..Instance::new("127.0.0.1", 7201).with_version("V1") };
    let v1 = v1.with_metadata("note", "中文, \"q\"");
    let sick = Instance { healthy: false, ..Instance::new("127.0.0.1", 7202) };
    assert_eq!(of(&apps, "user-app"), [v1, sick]);
    assert_eq!(of(&apps, "order-app"), [], "it has gone");
    assert_eq!(apps.names().into_iter().collect::<Vec<_>>(), [Box::<str>::from("user-app")]);
    assert_eq!(apps.counts().text(), "DOWN_1_OUT_OF_SERVICE_1_");
    assert_eq!(apps.apply(&delta), Applied::Agrees, "the same again changes nothing");
    let all = read_full(REAL.as_bytes()).expect("read");
    assert_eq!(of(&all, "order-app"), [Instance::new("127.0.0.1", 7101)]);
}

#[test]
fn instances_in_every_shape() {
    let plain = |port: u16| vec![Instance::new("10.0.0.1", port)];
    let host = |more: Value| {
        let mut instance = json!({"instanceId": "i", "hostName": "10.0.0.1", "status": "UP"});
        instance.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
        one(&instance)
    };
    let on = |port: u16| json!({"$": port, "@enabled": "true"});
    let off = |port: u16| json!({"$": port, "@enabled": "false"});
    assert_eq!(host(json!({"port": on(80)})), plain(80));
    assert_eq!(host(json!({"port": {"$": "80", "@enabled": true}})), plain(80), "another encoder");
    assert_eq!(host(json!({"port": 80})), plain(80));
    assert_eq!(host(json!({"port": {"$": 80}})), plain(80));
    assert_eq!(host(json!({"port": off(80), "securePort": off(443)})), plain(80), "as Spring has it");
    let secure = [plain(443).remove(0).with_metadata("secure", "true")];
    assert_eq!(host(json!({"port": off(80), "securePort": on(443)})), secure);
    assert_eq!(host(json!({"port": on(80), "securePort": on(443)})), secure);
    let said = host(json!({"port": on(80), "securePort": on(443), "metadata": {"secure": "false"}}));
    assert_eq!(said, [plain(443).remove(0).with_metadata("secure", "false")], "it knows better");
    for (status, healthy, enabled) in [
        ("UP", true, true),
        ("DOWN", false, true),
        ("STARTING", false, true),
        ("UNKNOWN", false, true),
        ("SLEEPING", false, true),
        ("", false, true),
        ("OUT_OF_SERVICE", true, false),
        ("out_of_service", true, false),
    ] {
        let expect = Instance { healthy, enabled, ..Instance::new("10.0.0.1", 80) };
        assert_eq!(host(json!({"port": 80, "status": status})), [expect], "{status:?}");
    }
    // Weights, and metadata that is none.
    for (weight, expect, left) in [("2.5", 2.5, 0), ("0", 0.0, 0), ("NaN", 1.0, 1), ("-1", 1.0, 1), ("heavy", 1.0, 1)] {
        let found = host(json!({"port": 80, "metadata": {"weight": weight}}));
        assert_eq!((found[0].weight, found[0].metadata.len()), (expect, left), "{weight}");
    }
    let odd = host(json!({"port": 80, "metadata": {"a": 1, "b": true, "c": null, "d": {"e": 1}, "@class": "x"}}));
    let expect = [("a", "1"), ("b", "true"), ("c", ""), ("d", "")];
    assert_eq!(odd[0].metadata.iter().collect::<Vec<_>>(), expect);
    for metadata in [json!(null), json!([]), json!("x"), json!(7), json!(7.5), json!(false)] {
        assert_eq!(host(json!({"port": 80, "metadata": metadata})), plain(80));
    }
    // Addresses.
    assert_eq!(one(&json!({"hostName": "", "ipAddr": "10.0.0.1", "port": 80, "status": "UP"})), plain(80));
    assert_eq!(one(&json!({"hostName": "[fd00::1]", "port": 80, "status": "UP"})), [Instance::new("fd00::1", 80)]);
    for port in [json!(0), json!(-1), json!(65_536), json!("x"), json!(null), json!({}), json!([1]), json!(80.5)] {
        assert_eq!(host(json!({"port": port})), [], "{port}");
    }
    for name in ["", " ", "a b", "a/b", "a@b", "a\r\nb", "a?b"] {
        assert_eq!(one(&json!({"hostName": name, "port": 80, "status": "UP"})), [], "{name:?}");
    }
}

#[test]
fn services_are_found_as_spring_finds_them() {
    let at = |app: &str, vip: &str, port: u16| json!({"name": app, "instance": {"instanceId": port, "hostName": "h", "port": port, "status": "UP", "vipAddress": vip}});
    let apps = [at("USER-APP", "user-app", 1), at("User-App", "User-App,other", 2), at("BARE", "", 3), at("X", "y", 4)];
    let answer = json!({"applications": {"application": apps}});
    let apps = read_full(answer.to_string().as_bytes()).expect("read");
    let ports = |service: &str| of(&apps, service).iter().map(|one| one.port).collect::<Vec<_>>();
    assert_eq!(ports("user-app"), [1, 2]);
    assert_eq!((ports("other"), ports("bare"), ports("x"), ports("y")), (vec![2], vec![3], vec![], vec![4]));
    let names: Vec<_> = apps.names().into_iter().collect();
    assert_eq!(names, ["bare", "user-app", "x"].map(Box::<str>::from));
}

#[test]
fn an_address_counts_once_and_an_operator_is_never_overruled() {
    let answer = |first: &str, second: &str| {
        let at = |id: u8, status: &str| json!({"instanceId": id, "hostName": "h", "port": 1, "status": status});
        let app = json!({"name": "A", "instance": [at(1, first), at(2, second)]});
        let answer = json!({"applications": {"application": [app]}});
        let apps = read_full(answer.to_string().as_bytes()).expect("read");
        let found = of(&apps, "a");
        assert_eq!((found.len(), apps.counts().0.values().sum::<u64>()), (1, 2));
        (found[0].healthy, found[0].enabled)
    };
    assert_eq!(answer("UP", "DOWN"), (true, true));
    assert_eq!(answer("DOWN", "UP"), (true, true));
    assert_eq!(answer("UP", "OUT_OF_SERVICE"), (true, false));
    assert_eq!(answer("OUT_OF_SERVICE", "UP"), (true, false));
}

#[test]
fn lists_of_one_and_of_none() {
    let instance = json!({"instanceId": "i", "hostName": "h", "port": 1, "status": "UP"});
    let app = json!({"name": "A", "instance": instance});
    for (application, expect) in [
        (json!([{"name": "A", "instance": [instance]}]), 1),
        (json!(app), 1),
        (json!([app]), 1),
        (json!([]), 0),
        (json!(null), 0),
        (json!(""), 0),
        (json!({"name": "A"}), 0),
        (json!({"name": "A", "instance": null}), 0),
    ] {
        let answer = json!({"applications": {"apps__hashcode": "", "application": application}});
        let apps = read_full(answer.to_string().as_bytes()).expect("read");
        assert_eq!(of(&apps, "a").len(), expect, "{answer}");
    }
}

#[test]
fn an_answer_of_another_kind_is_refused() {
    let many: String = vec!["{}"; MAX_INSTANCES + 1].join(",");
    let many = format!(r#"{{"applications":{{"application":[{{"name":"A","instance":[{many}]}}]}}}}"#);
    let deep = "[".repeat(100_000);
    for text in [
        "",
        "{}",
        "[]",
        "null",
        "<applications/>",
        "<html>Bad Gateway</html>",
        r#"{"applications": null}"#,
        r#"{"applications": {"application": "x"}}"#,
        r#"{"applications": {"application": [7]}}"#,
        r#"{"applications": {"application": [{"instance": [7]}]}}"#,
        r#"{"error": "x", "status": 500}"#,
        &REAL[..REAL.len() - 5],
        &deep,
        &many,
    ] {
        assert!(read_full(text.as_bytes()).is_err(), "{}", &text[..text.len().min(80)]);
    }
}

#[test]
fn changes_do_not_add_up_to_more_than_is_taken_in() {
    let listed = |ids: std::ops::Range<usize>| {
        let instances: Vec<_> = ids.map(|id| format!(r#"{{"instanceId":{id}}}"#)).collect();
        format!(r#"{{"applications":{{"application":[{{"name":"A","instance":[{}]}}]}}}}"#, instances.join(","))
    };
    let mut apps = read_full(listed(0..MAX_INSTANCES).as_bytes()).expect("as many as fit");
    assert_eq!(apps.unusable(), MAX_INSTANCES);
    let delta = |ids| read_delta(listed(ids).as_bytes()).expect("read");
    assert_eq!(apps.apply(&delta(7..9)), Applied::Differs, "known already");
    assert_eq!(apps.apply(&delta(MAX_INSTANCES..MAX_INSTANCES + 1)), Applied::TooMany);
}

#[test]
fn counts_are_read_in_any_order() {
    let counts = |text: &str| Counts::read(text).map(|counts| counts.text());
    for (text, expect) in [
        ("", ""),
        ("UP_3_", "UP_3_"),
        ("UP_3_DOWN_1_", "DOWN_1_UP_3_"),
        ("DOWN_1_OUT_OF_SERVICE_2_STARTING_4_UNKNOWN_5_UP_3_", "DOWN_1_OUT_OF_SERVICE_2_STARTING_4_UNKNOWN_5_UP_3_"),
        ("UP_0_", ""),
    ] {
        assert_eq!(counts(text).as_deref(), Some(expect), "{text}");
    }
    for text in ["UP", "UP_", "UP_3", "UP_-1_", "UP_x_", "UP_1_UP_1_", "SLEEPING_1_", "x", "UP_99999999999999999999_"] {
        assert_eq!(counts(text), None, "{text}");
    }
}

const STATUSES: [&str; 5] = ["UP", "DOWN", "STARTING", "OUT_OF_SERVICE", "UNKNOWN"];

/// A server: by application and number of an instance, its status and version; and its answers.
type Model = BTreeMap<(u8, u8), (usize, u8)>;
/// What becomes of one; `None`: it goes.
type Change = ((u8, u8), Option<(usize, u8)>);

fn instance_of((app, id): (u8, u8), (status, version): (usize, u8), action: &str) -> (String, Value) {
    let instance = json!({"instanceId": format!("i{id}"), "hostName": "10.0.0.1", "port": 1000 + u16::from(id),
        "status": STATUSES[status], "vipAddress": format!("app{app}"), "metadata": {"version": format!("V{version}")},
        "actionType": action});
    (format!("APP{app}"), instance)
}

fn answer(hash: &str, instances: Vec<(String, Value)>) -> String {
    let apps: Vec<_> = instances.into_iter().map(|(app, one)| json!({"name": app, "instance": one})).collect();
    json!({"applications": {"apps__hashcode": hash, "application": apps}}).to_string()
}

/// As the server counts.
fn hash(model: &Model) -> String {
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    model.values().for_each(|(status, _)| *names.entry(STATUSES[*status]).or_default() += 1);
    names.iter().map(|(name, count)| format!("{name}_{count}_")).collect()
}

fn full(model: &Model) -> Apps {
    let all = model.iter().map(|(key, value)| instance_of(*key, *value, "ADDED")).collect();
    read_full(answer(&hash(model), all).as_bytes()).expect("read")
}

/// The newest change of each, in the order of these.
fn delta(changes: &[Change], model: &Model) -> Delta {
    let last = |at: usize| !changes[at + 1..].iter().any(|(key, _)| *key == changes[at].0);
    let told = changes.iter().enumerate().filter(|(at, _)| last(*at)).map(|(_, (key, change))| match change {
        Some(value) => instance_of(*key, *value, "MODIFIED"),
        None => instance_of(*key, (0, 0), "DELETED"),
    });
    read_delta(answer(&hash(model), told.collect()).as_bytes()).expect("read")
}

fn any_changes() -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec(((0u8..3, 0u8..6), prop::option::weighted(0.7, (0usize..5, 0u8..3))), 0..12)
}

fn after(model: &Model, changes: &[Change]) -> Model {
    let mut model = model.clone();
    for (key, change) in changes {
        match change {
            Some(value) => model.insert(*key, *value),
            None => model.remove(key),
        };
    }
    model
}

proptest! {
    #[test]
    fn changes_lead_to_what_there_is(before in any_changes(), changes in any_changes(), seen in 0usize..12) {
        let old = after(&Model::new(), &before);
        let new = after(&old, &changes);
        let delta = delta(&changes, &new);
        let mut apps = full(&old);
        prop_assert_eq!(apps.apply(&delta), Applied::Agrees);
        prop_assert_eq!(&apps, &full(&new));
        prop_assert_eq!(apps.counts().text(), hash(&new));
        // The same changes again, as they are told for minutes; and from any moment between.
        prop_assert_eq!(apps.apply(&delta), Applied::Agrees);
        prop_assert_eq!(&apps, &full(&new));
        let middle = full(&after(&old, &changes[..seen.min(changes.len())]));
        prop_assert_eq!(middle.reconciled(&delta), full(&new), "older than the changes");
        prop_assert_eq!(full(&new).reconciled(&delta), full(&new), "as new");
    }

    #[test]
    fn a_change_that_was_missed_shows(before in any_changes(), changes in any_changes(), missed in (0u8..3, 10u8..20)) {
        let old = after(&Model::new(), &before);
        let mut new = after(&old, &changes);
        new.insert(missed, (0, 0));
        let mut apps = full(&old);
        prop_assert_eq!(apps.apply(&delta(&changes, &new)), Applied::Differs);
        prop_assert_eq!(full(&new).reconciled(&delta(&changes, &new)), full(&new));
    }

    #[test]
    fn what_is_announced_is_what_is_found(
        port in 1u16..,
        weight in prop_oneof![Just(1.0), 0.0..10_000.0f64],
        healthy: bool,
        enabled: bool,
        secure: bool,
        metadata in prop::collection::btree_map("[a-z@.]{1,12}", ".{0,12}", 0..4),
        (zone, own) in (prop::option::of("[a-z]{1,3}"), prop::option::of("[a-z]{0,3}")),
    ) {
        prop_assume!(!metadata.contains_key("weight") && !metadata.contains_key("@class"));
        let mut metadata: gray_core::Metadata = metadata.into_iter().collect();
        if secure {
            metadata.insert("secure", "true");
        }
        if let Some(own) = own {
            metadata.insert("zone", own);
        }
        // What is switched off is not said to be unhealthy as well.
        let healthy = healthy || !enabled;
        let instance = Instance { weight, healthy, enabled, metadata, ..Instance::new("10.0.0.1", port) };
        let sent = announcement("User-App", (&instance, zone.as_deref()), (30, 90), 7);
        prop_assert_eq!(&sent["instance"]["app"], "USER-APP");
        prop_assert_eq!(&sent["instance"]["instanceId"], &instance_id("user-app", &instance));
        let text = answer("", vec![("USER-APP".to_owned(), sent["instance"].clone())]);
        let mut found = instance.clone();
        if let Some(zone) = instance.label("zone").map(str::to_owned).or(zone) {
            // What is a zone there is a cluster here.
            found.metadata.insert("zone", zone.clone());
            found.metadata.insert("nacos.cluster", zone.clone());
            prop_assert_eq!(found.cluster(), zone);
        }
        prop_assert_eq!(of(&read_full(text.as_bytes()).expect("read"), "user-app"), [found]);
    }

    #[test]
    fn nothing_panics(text in "(.|\n){0,80}", cut in 0..REAL.len(), byte: u8) {
        drop(read_full(text.as_bytes()));
        let mut bytes = REAL.as_bytes().to_vec();
        bytes[cut] = byte;
        drop((read_full(&bytes), read_delta(&bytes), read_delta(&bytes[..cut]), Counts::read(&text)));
    }
}
