//! The one question that the SDK cannot answer: is an instance that is no longer listed gone, or switched off?
//!
//! Nacos leaves an instance that an operator disabled out of lists and pushes (seen on 2.3.2), as if it had never been
//! there. Asked for by address over HTTP, it still is. Without that answer we would hold on to a disabled instance as
//! to one that went missing, and announce our own again and again.

use std::time::Duration;

use gray_core::instance::Instance;
use tokio::time::{Instant, timeout_at};

use super::{
    NacosOptions,
    client::Dialer,
    dialect::{Detail, Dialect, Instances, Reading},
    http::{self, Server},
};

/// Limit for one request: less than for all, so that another server can be asked. The answer is a refinement; nobody should
/// wait for it.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Limit for all that are asked about at once.
const LIMIT: Duration = Duration::from_secs(2);

/// Whether the server knows this address, listed or not. `false` as well when it cannot tell (no HTTP, no permission,
/// another cluster than ours): what is only missing is held, and that is the safer mistake.
pub(super) async fn is_registered(dialer: &Dialer, service: &str, instance: &Instance) -> bool {
    !registered(dialer, dialer.options(), service, vec![instance.clone()]).await.is_empty()
}

/// Those of these instances that the server knows, as [`is_registered`] does, in the group of `options`.
pub(super) async fn registered(
    dialer: &Dialer,
    options: &NacosOptions,
    service: &str,
    mut instances: Vec<Instance>,
) -> Vec<Instance> {
    let deadline = Instant::now() + LIMIT;
    for server in options.servers().unwrap_or_default() {
        if instances.is_empty() || deadline <= Instant::now() {
            return Vec::new();
        }
        let mut known = Vec::new();
        let mut is_answering = false;
        while let Some(instance) = instances.pop() {
            match timeout_at(deadline, ask(dialer, options, &server, service, &instance)).await {
                Ok(Some(is_known)) => {
                    is_answering = true;
                    known.extend(is_known.then_some(instance));
                }
                // Any answer is the cluster's answer; only a server that gives none is passed over.
                Ok(None) if !is_answering => {
                    instances.push(instance);
                    break;
                }
                Ok(None) | Err(_) => return known,
            }
        }
        if is_answering {
            return known;
        }
    }
    Vec::new()
}

async fn ask(
    dialer: &Dialer,
    options: &NacosOptions,
    server: &Server,
    service: &str,
    instance: &Instance,
) -> Option<bool> {
    let (token, port, began) = (dialer.login().token(), instance.port.to_string(), Instant::now());
    let detail =
        Detail::of([options.namespace_id(), &options.group, instance.cluster()], service, (&instance.host, &port));
    let reading = match http::ask(options, server, &detail, token.as_deref(), TIMEOUT).await.ok()? {
        // A user that may only read is let see the list.
        Reading::Denied(said) => match http::dialect(options, server, TIMEOUT).await.ok()? {
            Dialect::V1 => Reading::Denied(said),
            Dialect::V3 => http::ask(options, server, &Instances(detail), token.as_deref(), TIMEOUT).await.ok()?,
        },
        reading => reading,
    };
    match reading {
        Reading::Is(is_known) => Some(is_known),
        Reading::Absent => Some(false),
        Reading::Denied(said) => {
            // No answer; with another token there may be one next time, and who cannot log in is told so elsewhere.
            if dialer.login().refused(began).await.is_ok() {
                dialer.cannot_tell(&said);
            }
            None
        }
        Reading::NoPath(said) | Reading::Fault(said) | Reading::Failed(said) => {
            tracing::debug!(%service, %said, "nacos does not say whether an instance is disabled or gone");
            None
        }
    }
}

#[cfg(test)]
mod tests;
