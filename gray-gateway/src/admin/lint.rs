//! `/lint`: likely mistakes, in the rules in effect and in those of a document.

use std::{collections::BTreeSet, sync::Arc};

use axum::{extract::State, response::IntoResponse};
use gray_common::rule::Fleet;
use serde_json::{Value, json};

use super::{
    Admin,
    answer::{Refusal, fresh, json_of},
    candidate::Candidate,
    replay::off_the_runtime,
    status::findings,
};
use crate::{
    control::{GatewayConfig, lane_services},
    snapshot::Snapshot,
};

/// The findings of the rules in effect.
pub(super) async fn current(State(admin): State<Admin>) -> impl IntoResponse {
    let snapshot = admin.snapshot.load();
    fresh(json!({ "revision": snapshot.rules.revision(), "findings": json_of(findings(&snapshot)) }))
}

/// The findings of a document; nothing is applied.
pub(super) async fn candidate(State(admin): State<Admin>, text: String) -> Result<impl IntoResponse, Refusal> {
    off_the_runtime(&admin.judging.clone(), move || {
        let candidate = Candidate::read(&admin, &text)?;
        let rules = &candidate.config.rules;
        let named = services(&candidate.config);
        let findings = candidate.config.lint(&fleet(&admin.snapshot.load(), |service| named.contains(service)));
        let body = candidate.hide(json!({ "revision": rules.revision(), "findings": json_of(&findings) }));
        Ok(fresh(with(body, "warnings", candidate.warnings)))
    })
    .await
}

/// The same object with one member more.
pub(super) fn with(mut body: Value, key: &str, value: Value) -> Value {
    body[key] = value;
    body
}

/// The services of a configuration.
fn services(config: &GatewayConfig) -> BTreeSet<Box<str>> {
    config.routes.services().into_iter().chain(lane_services(&config.rules).map(Box::from)).collect()
}

/// The services that the gateway has heard of, of those that are wanted. One that it does not follow, because only a
/// document names it, is not judged.
pub(super) fn fleet(snapshot: &Snapshot, is_wanted: impl Fn(&str) -> bool) -> Fleet {
    let heard = snapshot.services.iter().filter(|(name, service)| service.is_listed && is_wanted(name));
    heard.map(|(name, service)| (name.clone(), Arc::clone(&service.set))).collect()
}
