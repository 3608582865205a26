mod care;
pub(crate) mod secure;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, routing::get};
use gray_context::{ReleaseContext, spawn};
use gray_core::{
    balance::{Fallback, Strategy, VersionPolicy},
    instance::Instance,
    tag::{GRAY_HEADER, GrayStatus},
};
use gray_live::SettingsState;
use gray_registry::MemoryRegistry;
use gray_settings::{Caller, GraySettings};
use http::HeaderMap;
use proptest::prelude::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::watch,
    time::timeout,
};

use super::*;

const LIMIT: Duration = Duration::from_secs(5);

/// A service that answers with its version and the tag it was sent.
async fn stub(version: &'static str) -> Instance {
    let app = Router::new()
        .route(
            "/who",
            get(async move |headers: HeaderMap| {
                let tag = headers.get(GRAY_HEADER).map_or("-", |value| value.to_str().expect("ASCII"));
                format!("{version} {tag}")
            }),
        )
        .route("/slow", get(async || std::future::pending::<()>().await))
        .route("/big", get(async || vec![b'x'; 3000]))
        .route("/away", get(async || axum::response::Redirect::temporary("http://192.0.2.1/")))
        .route(
            "/echo",
            axum::routing::post(async |headers: HeaderMap, body: String| {
                format!("{} {body}", headers["content-type"].to_str().expect("ASCII"))
            }),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    spawn(async move { axum::serve(listener, app).await });
    Instance::new("127.0.0.1", port).with_version(version)
}

/// A port without a listener.
async fn closed(version: &str) -> Instance {
    let address: SocketAddr = TcpListener::bind("127.0.0.1:0").await.expect("binds").local_addr().expect("bound");
    Instance::new("127.0.0.1", address.port()).with_version(version)
}

fn policy(load: bool, fallback: Fallback) -> VersionPolicy {
    VersionPolicy::new(load, "V1", "V2", fallback)
}

fn client(instances: &[Instance], policy: VersionPolicy) -> GrayClient {
    let view = ServiceView::fixed("user-app", instances, policy, Strategy::RoundRobin);
    GrayClient::builder(view).own_version("V1").timeout(LIMIT).max_body(1000).build().expect("builds")
}

async fn who(client: &GrayClient, tag: Option<GrayStatus>) -> String {
    let call = async { client.get("/who").send().await.expect("answers").bytes().await.expect("reads") };
    String::from_utf8(ReleaseContext::tagged(tag).scope(call).await).expect("UTF-8")
}

#[tokio::test]
async fn the_tag_chooses_the_version_and_travels_on() {
    let client = client(&[stub("V1").await, stub("V2").await], policy(true, Fallback::Prod));
    for _ in 0..3 {
        assert_eq!(who(&client, Some(GrayStatus::Gray)).await, "V2 GRAY");
        assert_eq!(who(&client, Some(GrayStatus::Prod)).await, "V1 PROD");
        assert_eq!(who(&client, None).await, "V1 -", "its own version");
    }
    let all = [who(&client, Some(GrayStatus::All)).await, who(&client, Some(GrayStatus::All)).await];
    assert!(all.contains(&"V1 ALL".to_owned()) && all.contains(&"V2 ALL".to_owned()), "{all:?}");
}

#[tokio::test]
async fn switched_off_everybody_answers() {
    let client = client(&[stub("V1").await, stub("V2").await], policy(false, Fallback::Prod));
    let seen = [who(&client, Some(GrayStatus::Gray)).await, who(&client, Some(GrayStatus::Gray)).await];
    assert!(seen.contains(&"V1 GRAY".to_owned()) && seen.contains(&"V2 GRAY".to_owned()), "{seen:?}");
}

#[tokio::test]
async fn a_service_without_versions_serves_every_lane_unless_one_names_it() {
    let client = client(&[stub("").await], policy(true, Fallback::Prod));
    for tag in [None, Some(GrayStatus::Prod), Some(GrayStatus::Gray)] {
        let told = tag.map_or("-", GrayStatus::as_str);
        assert_eq!(who(&client, tag).await, format!(" {told}"));
    }
    let on = |lane: &'static str| {
        let headers = HeaderMap::from_iter([
            (GRAY_HEADER, GrayStatus::Gray.header_value()),
            (gray_core::tag::LANE_HEADER, http::HeaderValue::from_static(lane)),
        ]);
        ReleaseContext::extract(&gray_context::HttpHeaders(&headers)).scope(client.get("/who").send())
    };
    assert!(on("r;two;-;order-app=version:V2;*=version:V1").await.is_ok());
    let error = on("r;two;-;user-app=version:V2;*=version:V1").await.expect_err("a lane names it");
    assert!(error.to_string().contains("version:V2"), "{error}");
}

#[tokio::test]
async fn without_a_gray_instance_the_fallback_decides() {
    let instances = [stub("V1").await];
    for fallback in [Fallback::Prod, Fallback::Any] {
        assert_eq!(who(&client(&instances, policy(true, fallback)), Some(GrayStatus::Gray)).await, "V1 GRAY");
    }
    let failing = client(&instances, policy(true, Fallback::Fail));
    let call = ReleaseContext::tagged(Some(GrayStatus::Gray)).scope(failing.get("/who").send());
    let error = call.await.expect_err("nobody may answer");
    assert!(
        matches!(&error, ClientError::NoInstance { wanted: Some(wanted), .. } if wanted == "version:V2"),
        "{error}"
    );
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_refused_connect_is_tried_elsewhere_in_the_same_version() {
    let (dead, alive, other) = (closed("V1").await, stub("V1").await, stub("V2").await);
    let client = client(&[dead, alive, other], policy(true, Fallback::Any));
    for _ in 0..6 {
        assert_eq!(who(&client, Some(GrayStatus::Prod)).await, "V1 PROD");
    }
    let answer = client.request(http::Method::POST, "/echo").json("x").send().await.expect("any method");
    assert_eq!(answer.bytes().await.expect("reads"), b"application/json \"x\"");
}

#[tokio::test]
async fn when_all_refuse_the_error_names_them() {
    let instances = [closed("V1").await, closed("V1").await];
    let error = client(&instances, policy(true, Fallback::Prod)).get("/who").send().await.expect_err("refused");
    let text = error.to_string();
    assert!(
        matches!(&error, ClientError::Connect { source, .. } if source.to_string().contains("Connection refused") && source.kind() == std::io::ErrorKind::ConnectionRefused),
        "{error:?}"
    );
    assert!(error.is_retryable(), "{text}");
    assert!(instances.iter().all(|instance| text.contains(&instance.authority())), "{text}");
}

#[tokio::test]
async fn slow_answers_and_broken_ones_are_told_apart() {
    let client = client(&[stub("V1").await], policy(true, Fallback::Prod));
    let limit = Duration::from_millis(100);
    let error = client.get("/slow").timeout(limit).send().await.expect_err("never answers");
    assert!(matches!(error, ClientError::Timeout { limit: seen, .. } if seen == limit), "{error}");
    assert!(!error.is_retryable());

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // Takes the request and hangs up.
            let _read = stream.read(&mut [0; 1024]).await;
        }
    });
    let broken = self::client(&[Instance::new("127.0.0.1", port).with_version("V1")], policy(true, Fallback::Prod));
    let error = broken.get("/who").send().await.expect_err("hangs up");
    assert!(matches!(error, ClientError::Transport { .. }) && !error.is_retryable(), "{error}");

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _read = stream.read(&mut [0; 1024]).await;
            let _sent = stream.write_all(b"220 mail.example\r\n\r\n").await;
        }
    });
    let mail = self::client(&[Instance::new("127.0.0.1", port).with_version("V1")], policy(true, Fallback::Prod));
    let error = mail.get("/who").send().await.expect_err("no HTTP");
    assert!(matches!(error, ClientError::NotHttp { .. }) && !error.is_retryable(), "{error}");
}

#[tokio::test]
async fn an_answer_without_an_end_is_cut_at_the_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _read = stream.read(&mut [0; 1024]).await;
            let _sent = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while stream.write_all(&[b'x'; 1 << 16]).await.is_ok() {}
        }
    });
    let client = client(&[Instance::new("127.0.0.1", port).with_version("V1")], policy(true, Fallback::Prod));
    let limit = Duration::from_millis(200);
    let mut answer = client.get("/who").timeout(limit).send().await.expect("head");
    let reading = async {
        loop {
            match answer.chunk().await {
                // Slower than it is sent, so that there is always more to read.
                Ok(Some(_)) => tokio::time::sleep(Duration::from_millis(1)).await,
                Ok(None) => panic!("it ends"),
                Err(error) => break error,
            }
        }
    };
    let error = timeout(LIMIT, reading).await.expect("cut");
    assert!(matches!(error, ClientError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn an_address_that_no_url_can_name_is_left_out() {
    let named = Instance::new("users\u{e9}", 80).with_version("V1");
    let client = client(&[named, stub("V1").await], policy(true, Fallback::Prod));
    for _ in 0..4 {
        assert_eq!(who(&client, None).await, "V1 -");
    }
}

#[tokio::test]
async fn answers_are_bounded_and_redirects_not_followed() {
    let client = client(&[stub("V1").await], policy(true, Fallback::Prod));
    let error = client.get("/big").send().await.expect("head").bytes().await.expect_err("3000 > 1000");
    assert!(matches!(error, ClientError::TooLarge { limit: 1000, .. }), "{error}");
    assert_eq!(client.get("/away").send().await.expect("head").status(), 307);
    let error = client.get("/who").send().await.expect("head").json::<u32>().await.expect_err("not a number");
    assert!(matches!(error, ClientError::Decode { .. }), "{error}");
}

#[tokio::test]
async fn a_call_is_in_flight_until_its_answer_is_gone() {
    let client = client(&[stub("V1").await], policy(true, Fallback::Prod));
    let answer = client.get("/who").send().await.expect("answers");
    let load = Arc::clone(answer.endpoint().load());
    assert_eq!(load.in_flight(), 1);
    assert!(load.ewma_us() > 0);
    drop(answer);
    assert_eq!(load.in_flight(), 0);

    // A call that is given up counts down as well.
    let mut call = Box::pin(client.get("/slow").send());
    assert!(timeout(Duration::from_millis(50), &mut call).await.is_err());
    assert_eq!(load.in_flight(), 1);
    drop(call);
    assert_eq!(load.in_flight(), 0);
}

#[tokio::test]
async fn a_path_cannot_leave_the_instance() {
    let client = client(&[stub("V1").await], policy(true, Fallback::Prod));
    for path in
        ["", "who", "@192.0.2.1/", ":80/", "/a b", "/a\r\nHost: x", "/x/../who", "/x/%2e%2E", "/.?q", "/a\\b", "/a#b"]
    {
        let error = client.get(path).send().await.expect_err(path);
        assert!(matches!(error, ClientError::Request { .. }) && !error.is_retryable(), "{path:?}: {error}");
    }
    for broken in [client.get("/who").header("a b", "x"), client.get("/who").header("a", "x\r\ny")] {
        let error = broken.send().await.expect_err("not a header");
        assert!(matches!(error, ClientError::Request { .. }), "{error}");
    }
}

fn live_settings(policy: VersionPolicy) -> SettingsState<GraySettings> {
    let mut settings = GraySettings::default();
    settings.policy = policy;
    SettingsState::of(settings, 1)
}

#[tokio::test]
async fn a_view_follows_registry_and_settings() {
    let registry = MemoryRegistry::new();
    registry.forget("user-app");
    let (settings, receiver) = watch::channel(SettingsState::default());
    let view = ServiceView::follow(registry.clone(), Caller::default(), "user-app", receiver);
    let client = GrayClient::new(view.clone(), Some("V1")).expect("builds");
    let error = client.get("/who").send().await.expect_err("not known yet");
    assert!(matches!(error, ClientError::NotReady { .. }) && error.is_retryable(), "{error}");

    registry.set("user-app", vec![stub("V1").await, stub("V2").await]);
    timeout(LIMIT, view.known().wait_for(|known| *known)).await.expect("in time").expect("alive");
    eventually(|| view.load().instances.all().len() == 2).await;

    settings.send_replace(live_settings(policy(true, Fallback::Prod)));
    eventually(|| view.load().policy.load).await;
    assert_eq!(who(&client, Some(GrayStatus::Gray)).await, "V2 GRAY");

    // A registry that goes silent takes nothing away; one that says "none" does.
    registry.forget("user-app");
    settings.send_replace(live_settings(policy(true, Fallback::Fail)));
    eventually(|| view.load().policy.fallback == Fallback::Fail).await;
    assert_eq!(who(&client, Some(GrayStatus::Gray)).await, "V2 GRAY");
    registry.set("user-app", vec![]);
    eventually(|| view.load().instances.all().is_empty()).await;
}

#[tokio::test]
async fn static_instances_join_those_of_the_registry() {
    let registry = MemoryRegistry::new();
    registry.forget("user-app");
    let (settings, receiver) = watch::channel(SettingsState::default());
    let view = ServiceView::follow(registry.clone(), Caller::default(), "user-app", receiver);
    let publish = |fixed: &[u16]| {
        let fixed = fixed.iter().map(|port| Instance::new("h", *port)).collect();
        let static_instances = [("user-app".to_owned(), fixed)].into();
        let mut changed = GraySettings::default();
        changed.static_instances = static_instances;
        settings.send_replace(SettingsState::of(changed, 1));
    };
    let ports = || view.load().instances.known().iter().map(|instance| instance.port).collect::<Vec<_>>();

    publish(&[1]);
    eventually(|| ports() == [1]).await;
    assert!(view.load().known, "without a word of the registry");
    registry.set("user-app", vec![Instance::new("h", 2)]);
    eventually(|| ports() == [2, 1]).await;
    registry.forget("user-app");
    publish(&[3]);
    eventually(|| ports() == [2, 3]).await;
    registry.set("user-app", vec![]);
    settings.send_replace(live_settings(VersionPolicy::default()));
    eventually(|| ports().is_empty()).await;
    assert!(view.load().known, "empty is not unknown");
}

async fn eventually(condition: impl Fn() -> bool) {
    timeout(LIMIT, async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("in time");
}

proptest! {
    /// Whatever is put into a path, a call goes to the picked address and to that path, or nowhere: a URL parser has nothing to
    /// resolve and nothing to encode in it.
    #[test]
    fn no_path_names_another_place(path in "(/|[/@:.#?%2eE0a \\\\\\[\\]\"{}é\u{7f}-]){0,12}") {
        if let Ok(sent) = super::send::sendable(&path) {
            let url = reqwest::Url::parse(&format!("http://127.0.0.1:7201{sent}")).expect("forms a URL");
            prop_assert_eq!((url.host_str(), url.port()), (Some("127.0.0.1"), Some(7201)));
            prop_assert_eq!(Some(sent.as_str()), url.as_str().strip_prefix("http://127.0.0.1:7201"));
            let meant = percent_encoding::percent_decode_str(&path).collect::<Vec<_>>();
            prop_assert_eq!(percent_encoding::percent_decode_str(sent.as_str()).collect::<Vec<_>>(), meant);
        }
    }
}
