//! Two services of the chain on real sockets: what arrives at the second, and what is told of the way.

use std::sync::{Arc, Mutex};

use arc_swap::ArcSwapOption;
use axum::{Router, extract::State, routing::get};
use gray_core::{
    balance::Strategy,
    instance::Instance,
    lane::{Purpose, SigningKey, baggage::write_member},
    tag::GrayStatus,
};
use gray_document::check;
use gray_settings::GraySettings;
use http::{HeaderMap, StatusCode};
use tokio::net::TcpListener;
use tower_layer::Layer;

use super::*;
use crate::client::{GrayClient, ServiceView};

const LANE: &str = "8f3a11c0;v2;t;order-app=version:V2;user-app=version:V2|version:V1;*=version:V1";

fn settings(more: &str) -> GraySettings {
    let text = format!("kerwin.tool.gray: {{ load: true, version: {{ prodVersion: V1, grayVersion: V2 }}{more} }}");
    let read = |documents: &gray_document::Documents| GraySettings::read(&documents.root(), "kerwin.tool.gray");
    check(&[("a.yaml", &text)], read).unwrap_or_else(|problems| panic!("{problems}")).0
}

/// Serves a router as this service, with its hop in front unless it knows nothing of gray releases.
async fn serve(name: &str, version: &str, app: Router, settings: Option<GraySettings>) -> Instance {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let instance = Instance::new("127.0.0.1", listener.local_addr().expect("bound").port()).with_version(version);
    let app = match settings {
        Some(settings) => {
            let hop = Hop::new(name, instance.clone(), Arc::new(ArcSwapOption::from_pointee(settings)));
            Router::new().fallback_service(ReleaseLayer::of(Arc::new(hop)).layer(app))
        }
        None => app,
    };
    crate::spawn(async move { axum::serve(listener, app).await });
    instance
}

/// order-app@V2 in front of a user-app, and what the latter got.
struct Pair {
    order: Instance,
    seen: Arc<Mutex<Vec<HeaderMap>>>,
}

impl Pair {
    /// With these settings; a user-app of this version, that knows of gray releases or not.
    async fn new(more: &str, user_version: &str, user_knows: bool) -> Self {
        let seen = Arc::<Mutex<Vec<HeaderMap>>>::default();
        let record = Arc::clone(&seen);
        let user = Router::new()
            .route("/user", get(async move |headers: HeaderMap| record.lock().expect("lock").push(headers)));
        let user = serve("user-app", user_version, user, user_knows.then(|| settings(more))).await;
        let view = ServiceView::fixed("user-app", &[user], settings(more).policy, Strategy::RoundRobin);
        let client = GrayClient::builder(view).caller("order-app").own_version("V2").build().expect("builds");
        let calls = async |State(client): State<GrayClient>, headers: HeaderMap| {
            let calls = headers.get("calls").map_or(1, |_| 2);
            for _ in 0..calls {
                let request = client.get("/user").header("x-own", "ours");
                if request.send().await.is_err() {
                    return StatusCode::SERVICE_UNAVAILABLE;
                }
            }
            StatusCode::OK
        };
        let order = Router::new().route("/order", get(calls)).with_state(client);
        Self { order: serve("order-app", "V2", order, Some(settings(more))).await, seen }
    }

    /// Status, and the path that was told.
    async fn ask(&self, headers: &[(&str, &str)]) -> (u16, Option<String>) {
        let http = reqwest::Client::builder().no_proxy().timeout(std::time::Duration::from_secs(10)).build();
        let request = http.expect("builds").get(format!("http://{}/order", self.order.authority()));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = request.send().await.expect("answers");
        let path = answer.headers().get("gray-path").map(|path| path.to_str().expect("text").to_owned());
        (answer.status().as_u16(), path)
    }

    fn last(&self, name: &str) -> Vec<String> {
        let seen = self.seen.lock().expect("lock");
        let values = seen.last().expect("a request").get_all(name);
        values.iter().map(|value| value.to_str().expect("text").to_owned()).collect()
    }
}

#[tokio::test]
async fn the_path_is_put_together_hop_by_hop() {
    let traced = [("gray", "GRAY"), ("gray-lane", LANE)];
    let told = async |pair: &Pair, headers: &[(&str, &str)]| pair.ask(headers).await.1;
    let pair = Pair::new("", "V1", true).await;
    let expect = |path: &str| Some(path.to_owned());
    assert_eq!(told(&pair, &traced).await, expect("order-app@V2:hit > user-app@V1:fallback"));
    let twice = [traced[0], traced[1], ("calls", "2")];
    assert_eq!(told(&pair, &twice).await, expect("order-app@V2:hit > (user-app@V1:fallback, user-app@V1:fallback)"));
    assert_eq!(told(&Pair::new("", "V2", true).await, &traced).await, expect("order-app@V2:hit > user-app@V2:hit"));
    // A service that says nothing: what its caller knows.
    assert_eq!(told(&Pair::new("", "V2", false).await, &traced).await, expect("order-app@V2:hit > user-app@V2"));
    // A lane that should not have led here.
    let wrong = LANE.replace("order-app=version:V2", "order-app=version:V1");
    let wrong = [("gray", "GRAY"), ("gray-lane", wrong.as_str())];
    assert_eq!(told(&pair, &wrong).await, expect("order-app@V2:wrong > user-app@V1:fallback"));
    // No instance may answer: as far as it got.
    let none = LANE.replace("user-app=version:V2|version:V1", "user-app=version:V9");
    assert_eq!(pair.ask(&[("gray-lane", &none)]).await, (503, expect("order-app@V2:hit")));
    for untraced in [&[("gray", "GRAY"), ("gray-lane", &LANE.replace(";t;", ";-;"))][..], &[("gray", "GRAY")], &[]] {
        assert_eq!(pair.ask(untraced).await.1, None, "{untraced:?}");
    }
}

#[tokio::test]
async fn listed_headers_travel_and_others_stay() {
    let pair = Pair::new(", propagate: [token, x-own]", "V1", true).await;
    let sent = [
        ("gray-lane", LANE),
        ("Token", "a"),
        ("token", "b"),
        ("x-own", "theirs"),
        ("cookie", "c=1"),
        ("gray-caller", "x"),
    ];
    assert_eq!(pair.ask(&sent).await.0, 200);
    assert_eq!(pair.last("token"), ["a", "b"]);
    assert_eq!(pair.last("x-own"), ["ours"], "the call's own header counts");
    assert_eq!(pair.last("gray-lane"), [LANE]);
    assert_eq!(pair.last("gray-caller"), ["order-app@V2"], "each hop names itself");
    assert!(pair.last("cookie").is_empty() && pair.last("gray").is_empty());
    // Nothing stays for the next request.
    assert_eq!(pair.ask(&[("gray-lane", LANE)]).await.0, 200);
    assert!(pair.last("token").is_empty());
    let other = Pair::new("", "V1", true).await;
    assert_eq!(other.ask(&sent).await.0, 200);
    assert!(other.last("token").is_empty(), "not listed");
}

#[tokio::test]
async fn the_trace_and_its_baggage_travel_without_being_listed() {
    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for listed in ["", ", propagate: [traceparent]"] {
        let pair = Pair::new(listed, "V1", true).await;
        let sent =
            [("traceparent", TRACE), ("tracestate", "a=1"), ("tracestate", "b=2"), ("baggage", "k=v"), ("x-b3", "1")];
        assert_eq!(pair.ask(&sent).await.0, 200);
        assert_eq!(pair.last("traceparent"), [TRACE], "as it came, and once");
        assert_eq!(
            (pair.last("tracestate"), pair.last("baggage")),
            (vec!["a=1".into(), "b=2".into()], vec!["k=v".into()])
        );
        assert!(pair.last("x-b3").is_empty(), "not listed");
    }
}

#[tokio::test]
async fn without_a_lane_the_tag_decides_as_before() {
    let pair = Pair::new(", fallback: fail", "V1", true).await;
    assert_eq!(pair.ask(&[("gray", "PROD")]).await, (200, None));
    assert_eq!(pair.last("gray"), ["PROD"]);
    assert!(pair.last("gray-lane").is_empty() && pair.last("gray-signature").is_empty());
    assert_eq!(pair.ask(&[("gray", "GRAY")]).await, (503, None), "no V2, and no fallback");
    assert_eq!(pair.ask(&[("gray", "ALL")]).await, (200, None));
    assert_eq!(pair.ask(&[]).await, (503, None), "an untagged caller stays on its own version, V2");
    // The same with a lane, which says otherwise.
    assert_eq!(pair.ask(&[("gray", "GRAY"), ("gray-lane", "r;v2;-;*=version:V2|version:V1")]).await, (200, None));
}

#[tokio::test]
async fn a_forged_lane_ends_at_the_first_hop() {
    let signing = |invalid: &str| format!(", signing: {{ key: 'a secret of the chain', invalid: {invalid} }}");
    let refusing = Pair::new(&signing("refuse"), "V2", true).await;
    let forged = [("gray", "GRAY"), ("gray-lane", LANE), ("gray-signature", "9999999999.00")];
    assert_eq!(refusing.ask(&forged).await, (403, None));
    assert_eq!(refusing.seen.lock().expect("lock").len(), 0, "the handler has not run");
    assert_eq!(refusing.ask(&[]).await.0, 200, "a request that claims nothing needs no signature");
    let lenient = Pair::new(&signing("untagged"), "V2", true).await;
    assert_eq!(lenient.ask(&forged).await, (200, None));
    for name in ["gray", "gray-lane", "gray-signature"] {
        assert!(lenient.last(name).is_empty(), "{name} went on");
    }
}

/// What a service sends on that knows nothing of gray releases but passes baggage on.
fn as_baggage(signature: Option<&str>) -> String {
    let mut member = Vec::new();
    let written = write_member(&mut member, GrayStatus::Gray, signature.map(str::as_bytes), Some(LANE.as_bytes()));
    assert!(written);
    format!("theirs=1,{}", String::from_utf8(member).expect("text"))
}

#[tokio::test]
async fn a_lane_comes_back_from_baggage() {
    let baggage = as_baggage(None);
    let ours = baggage.strip_prefix("theirs=1,").expect("behind theirs");
    let pair = Pair::new("", "V1", true).await;
    let path = Some("order-app@V2:hit > user-app@V1:fallback".to_owned());
    assert_eq!(pair.ask(&[("baggage", &baggage)]).await, (200, path));
    assert_eq!(pair.last("gray-lane"), [LANE]);
    assert_eq!(pair.last("gray"), ["GRAY"]);
    assert_eq!(pair.last("baggage"), [format!("{ours},theirs=1")]);
    // The header beats it, and what goes on says one thing.
    let other = LANE.replace(";t;", ";-;");
    assert_eq!(pair.ask(&[("gray", "GRAY"), ("gray-lane", &other), ("baggage", &baggage)]).await, (200, None));
    assert_eq!(pair.last("gray-lane"), [other.as_str()]);
    assert!(!pair.last("baggage").concat().contains(ours), "{:?}", pair.last("baggage"));
    let off = Pair::new(", baggage: false", "V1", true).await;
    assert_eq!(off.ask(&[("baggage", &baggage)]).await, (200, None));
    assert!(off.last("gray-lane").is_empty() && off.last("gray").is_empty());
    assert_eq!(off.last("baggage"), ["theirs=1"]);
    assert_eq!(off.ask(&[("gray", "GRAY"), ("gray-lane", LANE)]).await.0, 200);
    assert!(off.last("baggage").is_empty());
}

#[tokio::test]
async fn a_forged_lane_in_baggage_ends_at_the_first_hop() {
    let key = SigningKey::new(b"a secret of the chain").expect("long enough");
    let lane = LANE.parse().expect("a value");
    let expiry = gray_registry::unix_seconds() + 60;
    let good = key.sign_for(Purpose::Call, GrayStatus::Gray, Some(&lane), expiry);
    let good = as_baggage(Some(good.to_str().expect("text")));
    let signing = |invalid: &str| format!(", signing: {{ key: 'a secret of the chain', invalid: {invalid} }}");
    let refusing = Pair::new(&signing("refuse"), "V2", true).await;
    let lenient = Pair::new(&signing("untagged"), "V2", true).await;
    for forged in [as_baggage(None), as_baggage(Some("9999999999.00")), good.replace("V1%3B", "V9%3B")] {
        assert_eq!(refusing.ask(&[("baggage", &forged)]).await, (403, None), "{forged}");
        assert_eq!(lenient.ask(&[("baggage", &forged)]).await, (200, None), "{forged}");
        assert_eq!(lenient.last("baggage"), ["theirs=1"], "it went on");
        assert!(lenient.last("gray-lane").is_empty() && lenient.last("gray").is_empty());
    }
    assert_eq!(refusing.seen.lock().expect("lock").len(), 0, "the handler has not run");
    // A service that knows the tag alone has lost the signature beside it.
    for headers in [&[("baggage", good.as_str())][..], &[("gray", "PROD"), ("baggage", good.as_str())]] {
        let path = Some("order-app@V2:hit > user-app@V2:hit".to_owned());
        assert_eq!(refusing.ask(headers).await, (200, path), "{headers:?}");
        assert_eq!(refusing.last("gray-lane"), [LANE]);
    }
}
