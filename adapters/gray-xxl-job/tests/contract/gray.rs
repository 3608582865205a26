//! Executors register where their version belongs, and runs have the lane of their group.

use std::{sync::Arc, time::Duration};

use gray_context::CallSigning;
use gray_core::{
    balance::{Fallback, VersionPolicy},
    lane::{SigningKey, SigningKeys},
};
use gray_xxl_job::{JobRules, Side};
use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};

use crate::{
    Stage,
    admin::{Admin, DEADLINE, ask, trigger},
    builder, quick,
};

fn rules(prod: &str, gray: &str) -> Option<JobRules> {
    let key = SigningKey::new(b"0123456789abcdef").expect("long enough");
    let mut rules = JobRules::new(VersionPolicy::new(true, prod, gray, Fallback::Prod));
    rules.signing = Some(CallSigning::new(SigningKeys::new(key, []), Duration::from_secs(60)));
    Some(rules)
}

#[tokio::test]
async fn a_promoted_version_moves_without_a_lost_or_doubled_run() {
    let (admin, gate, stage) = (Admin::start().await, Arc::new(Semaphore::new(0)), Arc::new(Stage::default()));
    let (sender, followed) = watch::channel(None);
    let executor = builder(&admin, &gate, &stage).version("V2").rules(followed).start().await.expect("starts");
    // The documents are not known: it registers nowhere, and nothing runs.
    let own = format!("http://{}/", executor.local_addr());
    assert_eq!(ask(&own, "run", &trigger(1, 1, "echo", "", "", 0)).await["code"], 500);
    assert_eq!(ask(&own, "beat", &"".into()).await["code"], 500);
    assert_eq!(admin.tell(|known| known.registrations.len()), 0);

    sender.send_replace(rules("V1", "V2"));
    let gray_at = admin.executor("jobs-app-gray").await;
    assert_eq!((gray_at.clone(), executor.side()), (format!("{own}gray/"), Some(Side::Gray)));
    assert_eq!(ask(&gray_at, "run", &trigger(1, 2, "echo", "run", "", 0)).await["code"], 200);
    assert_eq!(admin.ended(2).await, (200, "run 0/1 Some(Gray)".into()));
    let refused = ask(&own, "run", &trigger(2, 3, "echo", "", "", 0)).await;
    assert_eq!(refused["code"], 500, "a run for the baseline is not for a gray executor: {refused}");

    // Promoted while one of its runs goes on and one waits.
    for log in [4, 5] {
        assert_eq!(ask(&gray_at, "run", &trigger(1, log, "hold", "", "", 0)).await["code"], 200);
    }
    sender.send_replace(rules("V2", "V3"));
    assert_eq!(admin.executor("jobs-app").await, own);
    admin.until("it has left the old group", |known| (known.executors.len() == 1).then_some(())).await;
    let mut registrations = admin.tell(|known| known.registrations.clone());
    registrations.dedup();
    assert_eq!(registrations, ["+jobs-app-gray", "+jobs-app", "-jobs-app-gray"]);
    // A scheduler that has not heard of it yet.
    assert_eq!(ask(&gray_at, "run", &trigger(3, 6, "echo", "late", "", 0)).await["code"], 200);
    assert_eq!(admin.ended(6).await, (200, "late 0/1 Some(Gray)".into()));
    assert_eq!(ask(&own, "run", &trigger(2, 7, "echo", "new", "", 0)).await["code"], 200);
    assert_eq!(admin.ended(7).await, (200, "new 0/1 Some(Prod)".into()));
    gate.add_permits(2);
    assert_eq!((admin.ended(4).await.0, admin.ended(5).await.0), (200, 200));
    assert_eq!(*stage.done.lock().expect("whole"), [4, 5]);

    // A version without a place registers nowhere.
    sender.send_replace(rules("V3", "V4"));
    admin.until("it has left", |known| known.executors.is_empty().then_some(())).await;
    assert_eq!(executor.side(), None);
    executor.stop(quick()).await;
    for log in [2, 4, 5, 6, 7] {
        assert_eq!(admin.reports(log), 1, "run {log}");
    }
}

#[tokio::test]
async fn the_last_rules_stay_when_their_sender_is_gone() {
    let (admin, gate, stage) = (Admin::start().await, Arc::new(Semaphore::new(0)), Arc::new(Stage::default()));
    let (sender, followed) = watch::channel(rules("V1", "V2"));
    drop(sender);
    let executor = builder(&admin, &gate, &stage).version("V1").rules(followed).start().await.expect("starts");
    let at = timeout(DEADLINE, admin.executor("jobs-app")).await.expect("registered");
    assert_eq!(ask(&at, "run", &trigger(1, 1, "echo", "x", "", 0)).await["code"], 200);
    assert_eq!(admin.ended(1).await, (200, "x 0/1 Some(Prod)".into()));
    executor.stop(quick()).await;
}
