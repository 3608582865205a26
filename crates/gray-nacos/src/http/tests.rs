use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering::Relaxed},
};

use axum::{
    Router,
    extract::{Request, State},
    http::Method as ServerMethod,
    response::IntoResponse,
};
use tokio::net::TcpListener;

use super::*;
use crate::{
    NacosTls,
    dialect::{DocumentPlace, ReadDocument},
};

const LIMIT: Duration = Duration::from_secs(5);
const GONE: &str = r#"{"status":410,"error":"Gone","message":"{}","path":"/nacos/v1/cs/configs"}"#;
const NO_PATH: &str = r#"{"status":404,"error":"Not Found","message":"No endpoint","path":"/nacos/x"}"#;

#[test]
fn the_port_that_was_given_is_asked() {
    let tls = NacosTls::new(None).expect("roots");
    for wanted in [80, 443, 8848] {
        for tls in [None, Some(tls.clone())] {
            let options = NacosOptions { tls, ..NacosOptions::new(format!("nacos:{wanted}")) };
            let server = options.servers().expect("a server").swap_remove(0);
            let request = requests().expect("a client").get(url(&options, &server, "v1/ns/instance"));
            let request = http::Request::try_from(request.build().expect("a request")).expect("the same");
            assert_eq!(port(request.uri()), wanted, "{:?}", request.uri());
        }
    }
}

#[test]
fn the_context_path_stands_before_the_version() {
    for (context, expect) in
        [("/nacos", "http://n:1/nacos/v3/x"), ("", "http://n:1/v3/x"), ("/a/b", "http://n:1/a/b/v3/x")]
    {
        let options = NacosOptions { context: context.into(), ..NacosOptions::new("n:1") };
        assert_eq!(url(&options, &("n".to_owned(), 1), "v3/x"), expect);
    }
}

/// A server whose version can change: 23 for 2.3, 31, 32; and how often it was probed.
#[derive(Clone)]
struct Versions {
    version: Arc<AtomicU16>,
    probes: Arc<AtomicU16>,
}

async fn answer(State(state): State<Versions>, request: Request) -> impl IntoResponse {
    let version = state.version.load(Relaxed);
    let path = request.uri().path().trim_start_matches("/nacos/").to_owned();
    let headers = request.headers();
    assert_eq!(request.method(), ServerMethod::GET);
    let token = [headers.get("authorization"), headers.get("accesstoken")];
    let token = token.map(|value| value.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned());
    match (path.as_str(), version) {
        ("v3/admin/core/state/readiness", _) => {
            state.probes.fetch_add(1, Relaxed);
            match version {
                0 => (StatusCode::BAD_GATEWAY, String::new()),
                23 => (StatusCode::NOT_FOUND, NO_PATH.to_owned()),
                _ => (StatusCode::OK, r#"{"code":0,"message":"success","data":"ok"}"#.to_owned()),
            }
        }
        ("v1/cs/configs", 23) => (StatusCode::OK, token.join(" ")),
        ("v1/cs/configs", 31) => (StatusCode::GONE, GONE.to_owned()),
        ("v3/admin/cs/config", 31 | 32) => (StatusCode::OK, r#"{"code":0,"data":{"content":"of v3"}}"#.to_owned()),
        _ => (StatusCode::NOT_FOUND, NO_PATH.to_owned()),
    }
}

async fn server(version: u16) -> (Versions, NacosOptions, Server) {
    let state = Versions { version: Arc::new(version.into()), probes: Arc::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let options = NacosOptions::new(listener.local_addr().expect("bound").to_string());
    let app = Router::new().fallback(answer).with_state(state.clone());
    #[expect(clippy::disallowed_methods, reason = "a server of the test")]
    tokio::spawn(async move { drop(axum::serve(listener, app).await) });
    let server = options.servers().expect("a server").swap_remove(0);
    (state, options, server)
}

async fn document(options: &NacosOptions, server: &Server) -> Reading<String> {
    let place = DocumentPlace::new("n", "g", "a.yaml");
    ask(options, server, &ReadDocument(place), Some("T"), LIMIT).await.expect("an answer")
}

fn is(text: &str) -> Reading<String> {
    Reading::Is(text.to_owned())
}

#[tokio::test]
async fn a_server_is_probed_once_and_again_after_a_lost_connection() {
    let (state, options, server) = server(23).await;
    for _ in 0..3 {
        assert_eq!(document(&options, &server).await, is("Bearer T T"), "the token goes where both versions look");
    }
    assert_eq!(document(&options.clone(), &server).await, is("Bearer T T"), "known to clones as well");
    assert_eq!(state.probes.load(Relaxed), 1);

    options.dialects.forget();
    assert_eq!(document(&options, &server).await, is("Bearer T T"));
    assert_eq!(state.probes.load(Relaxed), 2);
}

/// The server was upgraded, or downgraded, and no lost connection told us so.
#[tokio::test]
async fn an_unknown_path_leads_to_another_probe() {
    for other in [31, 32] {
        let (state, options, server) = server(23).await;
        document(&options, &server).await;
        state.version.store(other, Relaxed);
        assert_eq!(document(&options, &server).await, is("of v3"), "{other}");
        state.version.store(23, Relaxed);
        assert_eq!(document(&options, &server).await, is("Bearer T T"), "{other}");
        assert_eq!(state.probes.load(Relaxed), 3);
    }
}

#[tokio::test]
async fn what_is_not_certain_is_not_remembered() {
    let (state, options, server) = server(0).await;
    assert!(matches!(document(&options, &server).await, Reading::NoPath(_)));
    state.version.store(31, Relaxed);
    assert_eq!(document(&options, &server).await, is("of v3"));
}
