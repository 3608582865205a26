//! gray-chain for [reqwest]: [`GrayMiddleware`] writes the lane of the running request onto the calls that are made for it.
//!
//! ```
//! use gray_reqwest::GrayMiddleware;
//! use reqwest_middleware::ClientBuilder;
//!
//! // Services of the chain alone: others need not know who is on which lane.
//! let ours = GrayMiddleware::new().only(|url| url.host_str().is_some_and(|host| host.ends_with("-app")));
//! let client = ClientBuilder::new(reqwest::Client::new()).with(ours).build();
//! ```
//!
//! It picks no instances: that is for the egress beside the service, or what else balances. reqwest follows redirects below its
//! middleware, to wherever they lead, with the headers of the first request: a client of services that redirect elsewhere has a
//! policy of its own ([`reqwest::redirect`]). Never depends on a registry, rules or settings.

use std::fmt;

use async_trait::async_trait;
use gray_context::{HttpHeadersMut, Inject as _, ReleaseContext};
use gray_core::tag::CALLER_HEADER;
use http::{Extensions, HeaderValue};
use reqwest::{Request, Response, Url};
use reqwest_middleware::{Middleware, Next, Result};

pub use gray_context::spawn;

/// Writes the release context of the running task onto every request, and takes off what was there under its names.
#[derive(Default)]
pub struct GrayMiddleware {
    caller: Option<HeaderValue>,
    only: Option<Filter>,
}

/// Which requests go to services of the chain.
type Filter = Box<dyn Fn(&Url) -> bool + Send + Sync>;

impl GrayMiddleware {
    /// For a client that calls services of the chain and nothing else.
    pub const fn new() -> Self {
        Self { caller: None, only: None }
    }

    /// For a client that calls others as well: those get nothing of ours.
    #[must_use]
    pub fn only(self, is_ours: impl Fn(&Url) -> bool + Send + Sync + 'static) -> Self {
        Self { only: Some(Box::new(is_ours)), ..self }
    }

    /// Names the calling service and its version as well (`gray-caller: order-app@V1`), by which the called one counts its requests.
    #[must_use]
    pub fn caller(self, service: &str, version: Option<&str>) -> Self {
        let version = version.map(|version| format!("@{version}")).unwrap_or_default();
        // A name that no header can carry says nothing.
        Self { caller: HeaderValue::try_from(format!("{service}{version}")).ok(), ..self }
    }

    fn write(&self, request: &mut Request) {
        let is_ours = self.only.as_ref().is_none_or(|only| only(request.url()));
        let context = if is_ours { ReleaseContext::current() } else { ReleaseContext::default() };
        let mut headers = HttpHeadersMut(request.headers_mut());
        context.inject(&mut headers);
        match &self.caller {
            Some(caller) if is_ours => headers.set(&CALLER_HEADER, caller),
            _ => headers.remove(&CALLER_HEADER),
        }
    }
}

#[async_trait]
impl Middleware for GrayMiddleware {
    async fn handle(&self, mut request: Request, extensions: &mut Extensions, next: Next<'_>) -> Result<Response> {
        self.write(&mut request);
        next.run(request, extensions).await
    }
}

impl fmt::Debug for GrayMiddleware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrayMiddleware").field("caller", &self.caller).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, http::HeaderMap, routing::get};
    use gray_context::HttpHeaders;
    use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
    use tokio::net::TcpListener;

    use super::*;

    const LANE: &str = "r;v2;-;user-app=version:V2;*=version:V1";

    /// Answers with the headers that it got, one a line.
    async fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("bound");
        let echo = async |headers: HeaderMap| {
            let lines = headers.iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().expect("text")));
            lines.collect::<String>()
        };
        let app = Router::new().route("/", get(echo));
        gray_context::spawn(async move { axum::serve(listener, app).await });
        format!("http://{address}/")
    }

    fn client(middleware: GrayMiddleware) -> ClientWithMiddleware {
        let plain = reqwest::Client::builder().no_proxy().build().expect("builds");
        ClientBuilder::new(plain).with(middleware).build()
    }

    async fn sent(client: &ClientWithMiddleware, url: &str, name: &str) -> Vec<String> {
        let request =
            client.get(url).header("gray", "stale").header("gray-caller", "stale").header("baggage", "theirs=1");
        let text = request.send().await.expect("answers").text().await.expect("text");
        let prefix = format!("{name}: ");
        text.lines().filter_map(|line| line.strip_prefix(&prefix).map(str::to_owned)).collect()
    }

    #[tokio::test]
    async fn the_lane_of_the_task_goes_on_to_services_of_the_chain() {
        let url = echo().await;
        let mut headers = HeaderMap::new();
        for (name, value) in [("gray", "GRAY"), ("gray-lane", LANE)] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let context = ReleaseContext::extract(&HttpHeaders(&headers));
        let everywhere = client(GrayMiddleware::new().caller("order-app", Some("V1")));
        context
            .clone()
            .scope(async {
                assert_eq!(sent(&everywhere, &url, "gray-lane").await, [LANE]);
                assert_eq!(sent(&everywhere, &url, "gray").await, ["GRAY"]);
                assert_eq!(sent(&everywhere, &url, "gray-caller").await, ["order-app@V1"]);
                let baggage = sent(&everywhere, &url, "baggage").await.concat();
                assert!(baggage.starts_with("gray-lane=GRAY%3B") && baggage.ends_with(",theirs=1"), "{baggage}");
                let elsewhere = client(GrayMiddleware::new().only(|url| url.host_str() == Some("user-app")));
                for name in ["gray", "gray-lane", "gray-caller"] {
                    assert!(sent(&elsewhere, &url, name).await.is_empty(), "{name}");
                }
                assert_eq!(sent(&elsewhere, &url, "baggage").await, ["theirs=1"]);
            })
            .await;
        assert!(sent(&everywhere, &url, "gray-lane").await.is_empty(), "outside of a request");
        assert!(sent(&everywhere, &url, "gray").await.is_empty());
    }
}
