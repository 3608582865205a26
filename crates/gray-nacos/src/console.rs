//! The one question that the SDK cannot answer: is an instance that is no longer listed gone, or switched off?
//!
//! Nacos leaves an instance that an operator disabled out of lists and pushes (seen on 2.3.2), as if it had never been
//! there. Asked for by address over HTTP, it still is. Without that answer we would hold on to a disabled instance as
//! to one that went missing, and announce our own again and again.

use std::time::Duration;

use ::http::StatusCode;
use gray_core::instance::Instance;
use tokio::time::{Instant, timeout_at};

use super::{client::Dialer, http};

/// Limit for one request: less than for all, so that another server can be asked. The answer is a refinement; nobody should
/// wait for it.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Limit for all that are asked about at once.
const LIMIT: Duration = Duration::from_secs(2);

/// Whether the server knows this address, listed or not. `false` as well when it cannot tell (no HTTP, no permission,
/// another cluster than ours): what is only missing is held, and that is the safer mistake.
pub(super) async fn is_registered(dialer: &Dialer, service: &str, instance: &Instance) -> bool {
    !registered(dialer, service, vec![instance.clone()]).await.is_empty()
}

/// Those of these instances that the server knows, as [`is_registered`] does.
pub(super) async fn registered(dialer: &Dialer, service: &str, mut instances: Vec<Instance>) -> Vec<Instance> {
    let options = dialer.options();
    let Ok(requests) = http::requests() else { return Vec::new() };
    let deadline = Instant::now() + LIMIT;
    for server in options.servers().unwrap_or_default() {
        if instances.is_empty() || deadline <= Instant::now() {
            return Vec::new();
        }
        let request = requests.get(http::url(options, &server, "ns/instance"));
        let mut known = Vec::new();
        let mut is_answering = false;
        while let Some(instance) = instances.pop() {
            let Some(request) = request.try_clone() else { return known };
            let question = ask(request, dialer, service, &instance);
            match timeout_at(deadline, question).await {
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

async fn ask(request: reqwest::RequestBuilder, dialer: &Dialer, service: &str, instance: &Instance) -> Option<bool> {
    let (options, token, began) = (dialer.options(), dialer.login().token(), Instant::now());
    let port = instance.port.to_string();
    let query = [
        ("serviceName", service),
        ("groupName", &options.group),
        ("namespaceId", options.namespace_id()),
        ("cluster", &options.cluster),
        ("clusterName", &options.cluster),
        ("ip", &instance.host),
        ("port", &port),
    ];
    let mut request = request.query(&query);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let (status, _) = http::send(options, request, TIMEOUT).await.ok()?;
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        // No answer; with another token there may be one next time, and who cannot log in is told so elsewhere.
        let _outcome = dialer.login().refused(began).await;
        return None;
    }
    Some(status.is_success())
}

#[cfg(test)]
mod tests {
    use axum::{Router, routing::get};
    use tokio::net::TcpListener;

    use super::{super::NacosOptions, *};

    #[tokio::test]
    async fn a_silent_server_leaves_time_for_the_next() {
        let bind = async || TcpListener::bind("127.0.0.1:0").await.expect("bound");
        // The kernel accepts for it, and that is all.
        let (silent, talking) = (bind().await, bind().await);
        let address = |listener: &TcpListener| listener.local_addr().expect("bound").to_string();
        let options = NacosOptions::new(format!("{},{}", address(&silent), address(&talking)));
        let app = Router::new().route("/nacos/v1/ns/instance", get(async || StatusCode::OK));
        #[expect(clippy::disallowed_methods, reason = "a server of the test")]
        tokio::spawn(async move { drop(axum::serve(talking, app).await) });
        assert!(is_registered(&Dialer::new(options), "user-app", &Instance::new("10.0.0.1", 80)).await);
    }
}
