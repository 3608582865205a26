//! Selecting and picking among instances, and building the snapshot to pick from.

use std::{hint::black_box, sync::Arc};

use gray_core::{
    Instance, InstanceSet,
    balance::{Draw, OutlierPolicy, Strategy, choose},
    lane::Choice,
};

use crate::harness::Cases;

/// As registries list them: a version in four is gray, and there is more metadata than that.
fn instances(count: usize) -> Vec<Instance> {
    let at = |i: usize| format!("10.{}.{}.{}", i / 62_500, i / 250 % 250, i % 250);
    let one = |i: usize| {
        let version = if i % 4 == 3 { "V2" } else { "V1" };
        let instance = Instance { weight: (1 + i % 3) as f64, ..Instance::new(at(i), 8080) };
        instance.with_version(version).with_metadata("zone", "a").with_metadata("preserved.register.source", "RUST")
    };
    (0..count).map(one).collect()
}

pub(crate) fn cases(cases: &mut Cases) {
    for strategy in Strategy::ALL {
        for count in [10, 1000, 10_000] {
            cases.add(format!("pick/{strategy}/{count}"), move || {
                let (set, choice) = (InstanceSet::new(&instances(count), None), Choice::version("V1"));
                let mut random = fastrand::Rng::with_seed(7);
                let mut turn = 0;
                move || {
                    turn += 1;
                    let draw = Draw { turn, random: random.u64(..), now_ms: 0, key: Some(random.u64(..)) };
                    let policy = OutlierPolicy::default();
                    black_box(choose(&set, black_box(&choice).iter(), strategy, draw, &policy, &[]));
                }
            });
        }
    }
    for count in [10, 1000, 10_000] {
        cases.add_slow(format!("set/first/{count}"), move || {
            let instances = instances(count);
            move || drop(black_box(InstanceSet::new(&instances, None)))
        });
        cases.add_slow(format!("set/next/{count}"), move || {
            let instances = instances(count);
            let previous = Arc::new(InstanceSet::new(&instances, None));
            move || drop(black_box(InstanceSet::new(&instances, Some(&previous))))
        });
    }
}
