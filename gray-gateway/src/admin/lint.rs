//! `/lint`: what cannot be meant, in the rules in effect and in those of a document.

use std::{collections::BTreeSet, sync::Arc};

use axum::{extract::State, response::IntoResponse};
use gray_common::rule::Fleet;
use serde_json::{Value, json};

use super::{
    Admin,
    answer::{Refusal, fresh, json_of},
    candidate::Candidate,
    replay::off_the_runtime,
};
use crate::{
    control::{GatewayConfig, lane_services},
    snapshot::Snapshot,
};

/// The findings of the rules in effect.
pub(super) async fn current(State(admin): State<Admin>) -> impl IntoResponse {
    let snapshot = admin.snapshot.load();
    fresh(json!({ "revision": snapshot.rules.revision(), "findings": json_of(&*snapshot.findings) }))
}

/// The findings of a document; nothing is applied.
pub(super) async fn candidate(State(admin): State<Admin>, text: String) -> Result<impl IntoResponse, Refusal> {
    off_the_runtime(move || {
        let candidate = Candidate::read(&admin, &text)?;
        let rules = &candidate.config.rules;
        let findings = candidate.config.lint(&fleet(&admin.snapshot.load(), &candidate.config));
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

/// The services of the configuration that the gateway has heard of. One that it does not follow, because only the
/// document names it, is not judged.
fn fleet(snapshot: &Snapshot, config: &GatewayConfig) -> Fleet {
    let routed = config.routes.services();
    let named: BTreeSet<_> = routed.iter().map(AsRef::as_ref).chain(lane_services(&config.rules)).collect();
    let heard = snapshot.services.iter().filter(|(name, service)| service.settled && named.contains(&***name));
    heard.map(|(name, service)| (name.clone(), Arc::clone(&service.set))).collect()
}
