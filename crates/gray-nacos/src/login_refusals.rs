//! When a refusal leads to a login, and when it does not.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use axum::{Json, Router, http::StatusCode, response::IntoResponse, routing::post};
use serde_json::json;

use super::*;

/// A Nacos that gives every login another token, or refuses them all; and how often it was asked.
async fn door(lets_in: bool) -> (Arc<Login>, Arc<AtomicUsize>) {
    answering(move |_| if lets_in { StatusCode::OK } else { StatusCode::FORBIDDEN }).await
}

/// A Nacos that answers the first, second ... login like this; with 200 goes a token.
async fn answering(
    status: impl Fn(usize) -> StatusCode + Clone + Send + Sync + 'static,
) -> (Arc<Login>, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let login = async move || {
        let number = count.fetch_add(1, Relaxed) + 1;
        match status(number) {
            StatusCode::OK => {
                Json(json!({ "accessToken": format!("token-{number}"), "tokenTtl": 18_000 })).into_response()
            }
            other => other.into_response(),
        }
    };
    let app = Router::new().route("/nacos/v1/auth/login", post(login));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let server = listener.local_addr().expect("bound").to_string();
    #[expect(clippy::disallowed_methods, reason = "a server of the test")]
    tokio::spawn(async move { drop(axum::serve(listener, app).await) });
    let options =
        NacosOptions { username: Some("gray".into()), password: Some("s3cret".into()), ..NacosOptions::new(server) };
    (Login::new(options), asked)
}

/// Time goes by, but not while anything is on the network.
async fn later(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}

fn refusal() -> Result<(), CallError> {
    Err(CallError::Refused("missing field `serviceNames`".into()))
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_whoever_complains() {
    let (login, asked) = door(true).await;
    login.ensure().await.expect("let in");
    assert_eq!(login.token().as_deref(), Some("token-1"));
    later(PAUSE).await;

    let began = Instant::now();
    for _ in 0..5 {
        login.judge(began, &refusal()).await.expect("let in");
    }
    assert_eq!((login.token().as_deref(), asked.load(Relaxed)), (Some("token-2"), 1 + 1));

    // The new one is refused as well: not again at once, but soon.
    login.judge(Instant::now(), &refusal()).await.expect("asked just now");
    assert_eq!(asked.load(Relaxed), 2);
    later(PAUSE).await;
    login.judge(Instant::now(), &refusal()).await.expect("let in");
    assert_eq!((login.token().as_deref(), asked.load(Relaxed)), (Some("token-3"), 3));

    // A failure of another kind says nothing about the token.
    later(PAUSE).await;
    let failed: Result<(), _> = Err(CallError::Failed("no available server".into()));
    login.judge(Instant::now(), &failed).await.expect("nothing to do");
    login.judge(Instant::now(), &Err::<(), _>(CallError::Timeout(PAUSE))).await.expect("nothing to do");
    assert_eq!(asked.load(Relaxed), 3);
}

#[tokio::test]
async fn a_token_that_is_good_for_other_calls_is_kept() {
    let (login, asked) = door(true).await;
    login.ensure().await.expect("let in");
    later(PAUSE * 2).await;
    // A user without the right to register: that is refused, and the probe is not.
    for _ in 0..10 {
        login.judge(Instant::now(), &Ok(())).await.expect("well");
        later(GOOD_LATELY / 2).await;
        login.judge(Instant::now(), &refusal()).await.expect("nothing to do");
    }
    assert_eq!(asked.load(Relaxed), 1);
    // Nothing is good any more: the server has another secret.
    later(GOOD_LATELY).await;
    login.judge(Instant::now(), &refusal()).await.expect("let in");
    assert_eq!(asked.load(Relaxed), 2);
}

#[tokio::test]
async fn a_wrong_password_is_tried_less_and_less_often() {
    let (login, asked) = door(false).await;
    let mut refused = 0;
    for _ in 0..1200 {
        // Ten clients that want in, for two minutes.
        let outcome = login.ensure().await;
        refused += usize::from(matches!(outcome, Err(CallError::Refused(_))));
        later(Duration::from_millis(100)).await;
    }
    assert_eq!(refused, 1200, "each is told why");
    let asked = asked.load(Relaxed);
    // After 0, 1, 3, 7, 15 s, and every 15 s from then on; real time passes as well.
    assert!((8..=16).contains(&asked), "{asked}");
}

/// A connection that only seemed silent would be cut, and our ephemeral instance with it.
#[tokio::test]
async fn a_refused_call_stays_refused_while_no_server_gives_a_token() {
    let (login, asked) = answering(|_| StatusCode::BAD_GATEWAY).await;
    let failure = login.judge(Instant::now(), &refusal()).await.expect_err("no token");
    let CallError::Refused(why) = failure else { panic!("{failure:?}") };
    assert!(why.contains("serviceNames") && why.contains("no token from Nacos") && why.contains("502"), "{why}");
    assert_eq!(asked.load(Relaxed), 1);
}

#[tokio::test]
async fn a_token_serves_on_while_no_server_gives_another() {
    let down = |number| if number == 2 { StatusCode::BAD_GATEWAY } else { StatusCode::OK };
    let (login, asked) = answering(down).await;
    login.ensure().await.expect("let in");
    // Due for a refresh.
    later(Duration::from_secs(3601)).await;
    login.ensure().await.expect("the token is good");
    assert_eq!((login.token().as_deref(), asked.load(Relaxed)), (Some("token-1"), 2));
    later(RETRY).await;
    login.ensure().await.expect("let in");
    assert_eq!((login.token().as_deref(), asked.load(Relaxed)), (Some("token-3"), 3));

    // Without a token there is nothing to go on with; nor when the user is refused.
    let (login, _) = answering(|_| StatusCode::BAD_GATEWAY).await;
    assert!(matches!(login.ensure().await, Err(CallError::Failed(_))));
    let (login, _) = answering(|number| if number == 1 { StatusCode::OK } else { StatusCode::FORBIDDEN }).await;
    login.ensure().await.expect("let in");
    later(Duration::from_secs(3601)).await;
    assert!(matches!(login.ensure().await, Err(CallError::Refused(_))));
}

#[tokio::test]
async fn without_a_user_there_is_nothing_to_do() {
    let (login, asked) = door(true).await;
    let login = Login::new(NacosOptions { username: None, password: None, ..login.options.clone() });
    login.judge(Instant::now(), &refusal()).await.expect("nothing to do");
    assert_eq!(asked.load(Relaxed), 0);
}

/// A Nacos 3 whose login answers so at the path of v3, and of v1 where the first has none.
async fn v3(status: u16, body: &'static str, old: u16) -> Arc<Login> {
    let answer = move |status: u16, body: &'static str| {
        post(async move || (StatusCode::from_u16(status).expect("a status"), body).into_response())
    };
    let ready = axum::routing::get(async || r#"{"code":0,"message":"success","data":"ok"}"#);
    let app = Router::new()
        .route("/nacos/v3/admin/core/state/readiness", ready)
        .route("/nacos/v3/auth/user/login", answer(status, body))
        .route("/nacos/v1/auth/login", answer(old, r#"{"accessToken":"of v1","tokenTtl":18000}"#));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let server = listener.local_addr().expect("bound").to_string();
    #[expect(clippy::disallowed_methods, reason = "a server of the test")]
    tokio::spawn(async move { drop(axum::serve(listener, app).await) });
    let (username, password) = (Some("gray".into()), Some("s3cret".into()));
    Login::new(NacosOptions { username, password, ..NacosOptions::new(server) })
}

#[tokio::test]
async fn a_wrong_password_at_3_x_is_said_to_be_one_whatever_its_status() {
    const FAULT: &str = r#"{"status":500,"error":"Internal Server Error","message":"No message available","path":"p"}"#;
    const DENIED: &str = r#"{"status":403,"error":"Forbidden","message":"Access Denied","path":"p"}"#;
    const NO_PATH: &str = r#"{"status":404,"error":"Not Found","message":"No endpoint","path":"p"}"#;
    const TOKEN: &str = r#"{"accessToken":"of v3","tokenTtl":18000,"globalAdmin":false,"username":"gray"}"#;
    for (status, body, old, expect) in [
        (200, TOKEN, 500, Ok("of v3")),
        (500, FAULT, 200, Err((true, "answered 500"))),
        (403, DENIED, 200, Err((true, "answered 403"))),
        (404, NO_PATH, 200, Ok("of v1")),
        (404, NO_PATH, 410, Err((false, "--nacos-context"))),
        (502, "", 200, Err((false, "502"))),
    ] {
        let login = v3(status, body, old).await;
        match (login.ensure().await, expect) {
            (Ok(()), Ok(token)) => assert_eq!(login.token().as_deref(), Some(token)),
            (Err(failure), Err((is_refused, words))) => {
                assert_eq!(matches!(failure, CallError::Refused(_)), is_refused, "{status}: {failure}");
                let text = failure.to_string();
                assert!(text.contains(words) && !text.contains("s3cret"), "{status}: {text}");
                assert_eq!(text.contains("GRAY_NACOS_PASSWORD"), is_refused, "{status}: {text}");
            }
            (outcome, expect) => panic!("{status} {body}: {outcome:?}, not {expect:?}"),
        }
    }
}
