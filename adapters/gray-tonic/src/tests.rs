use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use gray_context::{Extract as _, ReleaseContext};
use gray_core::{
    lane::{SigningKey, SigningKeys},
    tag::{GRAY_HEADER, GrayStatus, LANE_HEADER, SIGNATURE_HEADER},
};
use http::{HeaderName, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tonic::{Code, Status, metadata::MetadataMap, service::Interceptor};
use tower::{Layer, ServiceExt, service_fn};

use super::*;

const LANE: &str = "r;v2;-;*=version:V2";
const TTL: Duration = Duration::from_secs(60);

fn keys() -> SigningKeys {
    SigningKeys::new(SigningKey::new(b"a secret of the chain").expect("long enough"), [])
}

/// A stream that says once which lane it is polled on.
#[derive(Default)]
struct Lane(bool);

impl Body for Lane {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let is_first = !std::mem::replace(&mut self.0, true);
        Poll::Ready(is_first.then(|| Ok(Frame::data(here().into()))))
    }
}

fn here() -> String {
    ReleaseContext::current().lane().map_or("none", |lane| lane.lane()).to_owned()
}

/// The lanes that the handler and its stream see, or why the call is refused.
async fn served(layer: &GrayLayer, metadata: &[(&'static str, &str)]) -> Result<(String, String), Status> {
    let service = layer.layer(service_fn(async |_: Request<()>| {
        let mut response = Response::new(Lane::default());
        response.headers_mut().insert("here", HeaderValue::try_from(here()).expect("a value"));
        Ok::<_, Infallible>(response)
    }));
    let mut request = Request::new(());
    for (name, value) in metadata {
        request.headers_mut().append(*name, HeaderValue::try_from(*value).expect("a value"));
    }
    let response = service.oneshot(request).await.expect("infallible");
    if let Some(status) = Status::from_header_map(response.headers()) {
        return Err(status);
    }
    let handler = response.headers()["here"].to_str().expect("text").to_owned();
    let stream = response.into_body().collect().await.expect("infallible").to_bytes();
    Ok((handler, String::from_utf8(stream.to_vec()).expect("text")))
}

#[tokio::test]
async fn a_call_and_its_stream_are_served_on_their_lane() {
    let both = |lane: &str| Some((lane.to_owned(), lane.to_owned()));
    let member = format!("theirs=1,gray-lane=GRAY%3B-%3B{}", LANE.replace(';', "%3B"));
    for (metadata, expect) in [
        (&[("gray", "GRAY"), ("gray-lane", LANE)][..], both("v2")),
        (&[("baggage", &*member)], both("v2")),
        (&[("gray-lane", "nonsense")], both("none")),
        (&[], both("none")),
    ] {
        assert_eq!(served(&GrayLayer::new(), metadata).await.ok(), expect, "{metadata:?}");
    }
    assert_eq!(here(), "none", "nothing stays");
}

#[tokio::test]
async fn a_chain_that_signs_believes_what_is_signed() {
    let expiry = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() + 30;
    let lane = HeaderValue::from_static(LANE);
    let signature = keys().signer().sign(GrayStatus::Gray, Some(&lane), expiry);
    let signature = signature.to_str().expect("text");
    let (lenient, strict) = (GrayLayer::signed(keys(), TTL), GrayLayer::refusing(keys(), TTL));
    let good = [("gray", "GRAY"), ("gray-lane", LANE), ("gray-signature", signature)];
    for layer in [&lenient, &strict] {
        assert_eq!(served(layer, &good).await.expect("good").0, "v2");
        assert_eq!(served(layer, &[]).await.expect("says nothing").0, "none");
    }
    assert_eq!(served(&lenient, &good[..2]).await.expect("served").0, "none");
    let refused = served(&strict, &good[..2]).await.expect_err("unsigned");
    assert_eq!(refused.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn the_interceptor_sends_on_what_the_layer_has_read() {
    let names = ["x-tenant"].map(HeaderName::from_static);
    let service = GrayLayer::new().carrying(names).layer(service_fn(async |_: Request<()>| {
        let mut call = tonic::Request::new(());
        call.metadata_mut().insert("gray", "stale".parse().expect("a value"));
        let call = GrayInterceptor::new().caller("orders", Some("V2")).call(call).expect("goes on");
        let mut response = Response::new(String::new());
        *response.headers_mut() = call.metadata().clone().into_headers();
        Ok::<_, Infallible>(response)
    }));
    let mut request = Request::new(());
    for (name, value) in
        [("gray", "GRAY"), ("gray-lane", LANE), ("x-tenant", "t"), ("x-other", "o"), ("traceparent", "00-1-2-01")]
    {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let sent = service.clone().oneshot(request).await.expect("infallible").into_parts().0.headers;
    let metadata = MetadataMap::from_headers(sent);
    let one = |name: &HeaderName| {
        let all: Vec<_> = Metadata(&metadata).values(name).map(|value| value.as_bytes().to_vec()).collect();
        all.into_iter().map(|value| String::from_utf8(value).expect("text")).collect::<Vec<_>>()
    };
    assert_eq!((one(&GRAY_HEADER), one(&LANE_HEADER)), (vec!["GRAY".to_owned()], vec![LANE.to_owned()]));
    assert_eq!(one(&HeaderName::from_static("gray-caller")), ["orders@V2"]);
    assert_eq!(one(&HeaderName::from_static("x-tenant")), ["t"]);
    assert_eq!(one(&HeaderName::from_static("traceparent")), ["00-1-2-01"]);
    assert!(one(&HeaderName::from_static("baggage"))[0].starts_with("gray-lane=GRAY%3B"));
    assert!(one(&SIGNATURE_HEADER).is_empty() && one(&HeaderName::from_static("x-other")).is_empty());
    // Outside of a lane nothing of ours is sent.
    let sent = service.oneshot(Request::new(())).await.expect("infallible").into_parts().0.headers;
    assert!(!sent.contains_key("gray") && !sent.contains_key("gray-lane") && !sent.contains_key("baggage"));
}
