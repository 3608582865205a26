//! `/lint`: likely mistakes, in the rules in effect and in those of a document.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use gray_core::ServiceKey;
use gray_live::clock::uptime_ms;
use gray_rules::{Finding, Fleet};
use serde_json::json;

use super::{
    Admin,
    answer::{Refusal, fresh, json_of},
    candidate::judge,
};
use crate::snapshot::Snapshot;

/// The findings of the rules in effect.
pub(super) async fn current(State(admin): State<Admin>) -> impl IntoResponse {
    let snapshot = admin.snapshot.load();
    fresh(json!({ "revision": snapshot.rules.revision(), "findings": json_of(findings(&snapshot)) }))
}

/// The findings of a document; nothing is applied.
pub(super) async fn candidate(State(admin): State<Admin>, text: String) -> Result<Response, Refusal> {
    judge(admin, text, |admin, config| {
        let named = config.services();
        let findings = config.lint(&fleet(&admin.snapshot.load(), |service| named.contains(service)));
        json!({ "revision": config.rules.revision(), "findings": json_of(&findings) })
    })
    .await
}

/// Likely mistakes in the rules in effect: about the rules as of the last load, about the instances as they are now.
pub(super) fn findings(snapshot: &Snapshot) -> Vec<Finding> {
    let of_rules = snapshot.findings.iter().filter(|finding| !finding.is_about_instances()).cloned();
    let of_instances = snapshot.rules.lint_instances(&fleet(snapshot, |_| true));
    let mut findings: Vec<_> = of_rules.chain(of_instances).collect();
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// The services that the gateway has heard of, of those that are wanted. One that it does not follow, because only a
/// document names it, is not judged.
fn fleet(snapshot: &Snapshot, is_wanted: impl Fn(&ServiceKey) -> bool) -> Fleet {
    let heard = snapshot.services.iter().filter(|(name, service)| service.is_listed && is_wanted(name));
    heard.map(|(name, service)| (name.clone(), Arc::clone(&service.set))).collect::<Fleet>().at(uptime_ms())
}
