//! Snapshots: who is in, who is selected, what outlives them.

use std::sync::Arc;

use super::*;

#[test]
fn only_healthy_enabled_weighted_instances_are_candidates() {
    let base = || Instance::new("10.0.0.1", 80).with_version("V1");
    let cases = [
        (base(), true),
        (Instance { healthy: false, ..base() }, false),
        (Instance { enabled: false, ..base() }, false),
        (Instance { weight: 0.0, ..base() }, false),
        (Instance { weight: -1.0, ..base() }, false),
        (Instance { weight: f64::NAN, ..base() }, false),
    ];
    for (instance, expect) in cases {
        let set = InstanceSet::new(std::slice::from_ref(&instance), None);
        assert_eq!(set.all().len() == 1, expect, "{instance:?}");
        assert_eq!(set.version("V1").is_some(), expect, "{instance:?}");
        assert_eq!(set.known().len(), 1);
    }
}

#[test]
fn load_follows_the_address_across_snapshots() {
    let one = InstanceSet::new(&[Instance::new("10.0.0.1", 80).with_version("V1")], None);
    let two = InstanceSet::new(&[Instance::new("10.0.0.1", 80).with_version("V2")], Some(&one));
    assert!(Arc::ptr_eq(one.all().endpoints()[0].load(), two.all().endpoints()[0].load()));
    assert_eq!(two.all().endpoints()[0].version(), Some("V2"));
}

#[test]
fn selectors_select() {
    let instances = [
        Instance::new("10.0.0.1", 80).with_version("V1"),
        Instance::new("10.0.0.2", 80).with_version("V2").with_metadata("gray-tag", "true"),
        Instance::new("10.0.0.3", 80).with_version("V2").with_metadata("gray-tag", ""),
        Instance { space: Some("gray-ns".into()), ..Instance::new("10.0.0.4", 80).with_version("V1") },
    ];
    let set = InstanceSet::new(&instances, None);
    let cases = [
        ("*", vec![0, 1, 2]),
        ("version:V1", vec![0]),
        ("version:V2", vec![1, 2]),
        ("version:V3", vec![]),
        ("!version", vec![]),
        ("gray-tag:true", vec![1]),
        ("!gray-tag", vec![0, 2]),
        ("!zone", vec![0, 1, 2]),
        ("zone:a", vec![]),
        ("gray-ns/*", vec![3]),
        ("gray-ns/version:V1", vec![3]),
        ("gray-ns/!version", vec![]),
        ("other/*", vec![]),
    ];
    for (text, expect) in cases {
        let selector = Selector::parse(text).expect("a selector");
        let seen: Vec<_> =
            set.select(selector).into_iter().flat_map(Subset::endpoints).map(|e| e.instance().clone()).collect();
        let expect: Vec<_> = expect.into_iter().map(|place: usize| instances[place].clone()).collect();
        assert_eq!(seen, expect, "{text}");
        assert!(expect.iter().all(|instance| instance.is_selected_by(selector)), "{text}");
    }
}

#[test]
fn the_excluded_get_nothing_and_the_new_start_slowly() {
    let (old, new) = (Instance::new("10.0.0.1", 80), Instance::new("10.0.0.2", 80));
    let admission = |now_ms| Admission { slow_start_ms: 1000, now_ms, excluded: None, ..Admission::default() };
    let first = InstanceSet::admit(std::slice::from_ref(&old), None, admission(500));
    assert!(!first.all().is_warming(), "the first are not new");
    let second = InstanceSet::admit(&[old.clone(), new.clone()], Some(&first), admission(5000));
    let warmth = |now_ms| second.all().endpoints()[1].warmth(now_ms);
    assert_eq!((warmth(5000), warmth(5500), warmth(6000)), (0.1, 0.5, 1.0));
    let third = InstanceSet::admit(&[old.clone(), new.clone()], Some(&second), admission(6001));
    assert!(!third.all().is_warming());
    let excluded: &dyn Fn(&Instance) -> bool = &|instance| instance.host == "10.0.0.1";
    let set = InstanceSet::admit(&[old, new], None, Admission { excluded: Some(excluded), ..Admission::default() });
    assert_eq!(set.all().endpoints()[0].authority(), "10.0.0.2:80");
}

#[test]
fn authorities() {
    for (host, expect) in [("10.0.0.1", "10.0.0.1:80"), ("::1", "[::1]:80"), ("user-app", "user-app:80")] {
        assert_eq!(Instance::new(host, 80).authority(), expect);
    }
}
