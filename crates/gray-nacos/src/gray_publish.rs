//! Which documents Nacos gives to this program alone ("beta"). Its answer over gRPC does not say so in the SDK, so it is asked
//! over HTTP when a text changes: for `/status`, no text waits for it.

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use gray_registry::{DocumentText, config_source::GrayPublish};

use crate::{
    client::Dialer,
    config_source::place,
    dialect::{Beta, DocumentPlace, ReadBeta, Reading},
    http,
};

/// Limit for the question to one server.
const TIMEOUT: Duration = Duration::from_secs(1);

/// What the SDK says of itself in every request, by the same function: the address towards the default route.
static ADDRESS: LazyLock<Arc<str>> =
    LazyLock::new(|| local_ipaddress::get().unwrap_or_else(|| "127.0.0.1".to_owned()).into());

/// The documents that are given to this program alone.
#[derive(Debug, Default)]
pub(crate) struct Marks(Mutex<BTreeSet<Arc<str>>>);

impl Marks {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.lock().contains(name)
    }

    pub(crate) fn shown(&self) -> GrayPublish {
        let mut shown = GrayPublish::default();
        (shown.address, shown.documents) = (Some(Arc::clone(&ADDRESS)), self.lock().clone());
        shown
    }

    /// Finds out whether this text is for all; what is not known is taken to be.
    ///
    /// Cancel safe: what was known stays.
    pub(crate) async fn look(&self, dialer: &Dialer, name: &str, now: &DocumentText) {
        let is_gray = match now {
            DocumentText::Present(text) => beta(dialer, name).await.is_some_and(|beta| is_ours(&beta, text, &ADDRESS)),
            _ => false,
        };
        let is_changed = if is_gray { self.lock().insert(name.into()) } else { self.lock().remove(name) };
        match (is_changed, is_gray) {
            (true, true) => {
                tracing::info!(document = %name, address = %*ADDRESS, "gray publish: other programs may have another text")
            }
            (true, false) => {
                tracing::info!(document = %name, "the gray publish has ended: the text is the one for all")
            }
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<Arc<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nacos may not have given it to us yet, or no longer.
fn is_ours(beta: &Beta, text: &str, address: &str) -> bool {
    beta.text == text && beta.is_for(address)
}

async fn beta(dialer: &Dialer, name: &str) -> Option<Beta> {
    let options = dialer.options();
    let (name, group) = place(name, &options.group);
    let ask = ReadBeta(DocumentPlace::new(options.namespace_id(), &group, &name));
    for server in options.servers().unwrap_or_default() {
        let token = dialer.login().token();
        match http::ask(options, &server, &ask, token.as_deref(), TIMEOUT).await {
            Ok(Reading::Is(beta)) => return Some(beta),
            Ok(Reading::Absent) => return None,
            Ok(other) => {
                tracing::debug!(document = %name, ?other, "nacos does not say whether the text is for all");
                return None;
            }
            Err(error) => tracing::debug!(document = %name, %error, "no answer whether the text is for all"),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_text_for_our_address_is_gray() {
        for (addresses, text, expect) in [
            ("10.0.0.7", "a: 2", true),
            ("10.0.0.8, 10.0.0.7", "a: 2", true),
            ("10.0.0.70,110.0.0.7", "a: 2", false),
            ("10.0.0.7", "a: 1", false),
            ("", "a: 2", false),
        ] {
            assert_eq!(is_ours(&Beta::new("a: 2", addresses), text, "10.0.0.7"), expect, "{addresses} {text}");
        }
    }
}
