//! Sends what is asked under a document, to one gateway after the other.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{
    backend::Backend,
    document::{Case, Document},
    observe::{Addresses, Outcome, REFUSED, only, outcome},
    ours::{self, Ours},
    release::Release,
    spring::Spring,
    wire,
};

/// The longest that one request may take.
const LIMIT: Duration = Duration::from_secs(10);

/// A case with what is seen of it.
pub type Seen<'a> = Vec<(Case<'a>, Outcome)>;

async fn ask(case: Case<'_>, gateway: SocketAddr, backend: &Backend) -> Outcome {
    backend.told(&case.request.answers);
    let reply = wire::ask(gateway, &case.request.bytes(), LIMIT).await.unwrap_or_default();
    outcome(case.request, &reply, &backend.seen(), Addresses { backend: backend.address(), gateway })
}

/// What a gateway takes of a document.
struct Taken {
    /// Why each route is refused, by its number.
    refused: BTreeMap<usize, String>,
    /// Why what is left is refused.
    whole: Option<String>,
    /// What is left.
    text: String,
}

impl Taken {
    /// Asks `refusal` of the document; where it is refused, of each route alone, and of what is left.
    async fn of(
        document: &Document,
        release: Release,
        backend: SocketAddr,
        refusal: impl AsyncFn(&str) -> Result<Option<String>>,
    ) -> Result<Self> {
        let mut refused = BTreeMap::new();
        let mut text = document.text(release, &BTreeSet::new(), backend);
        let mut whole = refusal(&text).await?;
        if whole.is_some() && !document.routes.is_empty() {
            for at in document.routes_of(release) {
                if let Some(why) = refusal(&document.alone(release, at, backend)).await? {
                    refused.insert(at, why);
                }
            }
            text = document.text(release, &refused.keys().copied().collect(), backend);
            whole = refusal(&text).await?;
        }
        Ok(Self { refused, whole, text })
    }

    /// Why the document or the route of a case is refused.
    fn refusal(&self, case: Case<'_>) -> Option<&String> {
        case.route.and_then(|at| self.refused.get(&at)).or(self.whole.as_ref())
    }

    /// Sends everything that can be sent.
    async fn asked<'a>(
        &self,
        document: &'a Document,
        release: Release,
        gateway: Option<SocketAddr>,
        backend: &Backend,
    ) -> Seen<'a> {
        let mut seen = Vec::new();
        for case in document.cases(release) {
            let outcome = match (self.refusal(case), gateway) {
                (None, Some(gateway)) => ask(case, gateway, backend).await,
                (refusal, _) => only(format!("{REFUSED}: {}", refusal.map_or("", String::as_str))),
            };
            seen.push((case, outcome));
        }
        seen
    }
}

/// What Spring does.
///
/// # Errors
/// The JVM has ended.
pub async fn spring<'a>(
    spring: &Spring,
    release: Release,
    document: &'a Document,
    backend: &Backend,
) -> Result<Seen<'a>> {
    let refusal = async |text: &str| spring.load(text).await;
    let taken =
        Taken::of(document, release, backend.address(), refusal).await.with_context(|| document.name.clone())?;
    Ok(taken.asked(document, release, Some(spring.address()), backend).await)
}

/// What ours does.
///
/// # Errors
/// Our gateway does not start.
pub async fn ours<'a>(release: Release, document: &'a Document, backend: &Backend) -> Result<Seen<'a>> {
    let refusal = async |text: &str| Ok(ours::refusal(text));
    let taken = Taken::of(document, release, backend.address(), refusal).await?;
    let gateway = match &taken.whole {
        None => Some(Ours::start(&taken.text).await.with_context(|| document.name.clone())?),
        Some(_) => None,
    };
    Ok(taken.asked(document, release, gateway.as_ref().map(Ours::address), backend).await)
}
