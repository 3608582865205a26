//! What every [`ConfigSource`] must do, as one suite that each implementation passes.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{sync::watch, time::timeout};

use super::{ConfigSource, DocumentText};
use crate::Health;

/// How long a state may take to come about.
const PATIENCE: Duration = Duration::from_secs(30);

/// Changes documents the way an operator does.
#[async_trait]
pub trait Operator: Send + Sync {
    /// Creates or replaces a document.
    async fn publish(&self, name: &str, text: &str);

    /// Removes a document.
    async fn remove(&self, name: &str);
}

/// Runs the whole suite, with documents whose names begin with `prefix` and end in `.yaml`.
///
/// # Panics
/// When the source breaks the contract; the message says where.
pub async fn run(source: Arc<dyn ConfigSource>, operator: &dyn Operator, prefix: &str) {
    let mut health = source.health();
    let up = timeout(PATIENCE, health.wait_for(|health| *health == Health::Up)).await.map(|up| up.is_ok());
    assert_eq!(up, Ok(true), "the source is not up: {:?}", health.borrow());

    let name = format!("{prefix}-early.yaml");
    operator.publish(&name, "a: 1\n").await;
    let mut early = source.watch(&name);
    becomes(&mut early, "a document that is there", Some("a: 1\n")).await;
    for text in ["a: 2\n", "a: 3\nb: 中文\n", "a: 2\n", "not: [yaml"] {
        operator.publish(&name, text).await;
        becomes(&mut early, "a change", Some(text)).await;
    }

    let name = format!("{prefix}-late.yaml");
    let mut late = source.watch(&name);
    becomes(&mut late, "a document that is not there", None).await;
    operator.publish(&name, "b: 1\n").await;
    becomes(&mut late, "it appears", Some("b: 1\n")).await;
    operator.publish(&name, "b: 2\n").await;
    becomes(&mut late, "and changes", Some("b: 2\n")).await;
    operator.remove(&name).await;
    becomes(&mut late, "and goes", None).await;
    operator.publish(&name, "b: 3\n").await;
    becomes(&mut late, "and comes back", Some("b: 3\n")).await;

    let again = source.watch(&name);
    assert_eq!(*again.borrow(), DocumentText::Present("b: 3\n".into()), "a second watcher sees it at once");
    becomes(&mut early, "the other document stays as it is", Some("not: [yaml")).await;
    operator.remove(&name).await;
    operator.remove(&format!("{prefix}-early.yaml")).await;
}

async fn becomes(state: &mut watch::Receiver<DocumentText>, what: &str, expect: Option<&str>) {
    let expect = expect.map_or(DocumentText::Absent, |text| DocumentText::Present(text.into()));
    let outcome = timeout(PATIENCE, state.wait_for(|state| *state == expect)).await.map(|found| found.is_ok());
    assert_eq!(outcome, Ok(true), "{what}: expected {expect:?}, found {:?}", state.borrow());
}
