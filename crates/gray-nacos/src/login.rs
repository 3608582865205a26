//! Logging in to Nacos: one token for all clients of a program, and a look at how well the server guards itself.
//!
//! The SDK has a plugin of its own, which puts the password into a query string and into its log, asks one server at random,
//! and keeps quiet about being refused. This one sends it in a body, asks every server, and says what is wrong.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use gray_registry::CallError;
use nacos_sdk::api::plugin::{AuthContext, AuthPlugin, LoginIdentityContext, RequestResource};
use ring::hmac;
use tokio::time::Instant;

use super::{
    NacosOptions,
    dialect::{self, Answer, LoginReading, Openness, Reading},
    http::{self, HttpError},
};

/// Limit for one request to one server.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Least time between a login that gave a token and the next one: calls that are refused at once share one login.
const PAUSE: Duration = Duration::from_secs(3);
/// Least time between a login that gave none and the next one, except after several refusals in a row.
const RETRY: Duration = Duration::from_secs(1);
/// With every further refusal in a row that time doubles, up to this: checking a password is dear, and many refusals can
/// lock a user out.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// A token that has been good for something since then is not why another call is refused: the user has no right to that.
/// Longer than [`PROBE_INTERVAL`](super::connection::PROBE_INTERVAL).
const GOOD_LATELY: Duration = Duration::from_secs(8);
/// Keys that stand in manuals and in old releases: a client that knows them can make itself a token.
const KNOWN_KEYS: [&str; 2] = [
    "SecretKey012345678901234567890123456789012345678901234567890123456789",
    "VGhpc0lzTXlDdXN0b21TZWNyZXRLZXkwMTIzNDU2Nzg=",
];

/// The token of one user.
pub(crate) struct Login {
    options: NacosOptions,
    token: Mutex<Option<Token>>,
    /// One asks, the others wait.
    asking: tokio::sync::Mutex<Option<Asked>>,
}

struct Token {
    text: String,
    since: Instant,
    refresh_at: Instant,
    /// When a call with it last succeeded.
    good_at: Option<Instant>,
}

/// What came of the last login.
struct Asked {
    at: Instant,
    outcome: Result<(), CallError>,
    /// Not again before.
    pause: Duration,
}

/// Why there is no token.
#[derive(Debug)]
enum NoToken {
    Refused(String),
    /// The user is refused, or the server failed; it does not say which.
    Doubtful(String),
    Failed(String),
}

impl Login {
    pub(super) fn new(options: NacosOptions) -> Arc<Self> {
        Arc::new(Self { options, token: Mutex::default(), asking: tokio::sync::Mutex::default() })
    }

    /// The token, if a user was given and let in.
    pub(super) fn token(&self) -> Option<String> {
        self.lock().as_ref().map(|token| token.text.clone())
    }

    /// Makes sure that there is a token, if there is to be one. One that is due for a refresh serves on while no server gives
    /// another: it is good for as long again.
    pub(super) async fn ensure(&self) -> Result<(), CallError> {
        let is_good = |token: &Token| Instant::now() < token.refresh_at;
        match self.ask_unless(is_good).await {
            Err(CallError::Failed(_) | CallError::Timeout(_)) if self.lock().is_some() => Ok(()),
            outcome => outcome,
        }
    }

    /// Told how every call went: after a refusal there is another token, if that may help. An error says why there is none,
    /// and is a refusal: the server answered the call.
    pub(super) async fn judge<T>(&self, began: Instant, outcome: &Result<T, CallError>) -> Result<(), CallError> {
        match outcome {
            Ok(_) => {
                if let Some(token) = self.lock().as_mut().filter(|token| token.since <= began) {
                    token.good_at = Some(Instant::now());
                }
                Ok(())
            }
            Err(CallError::Refused(why)) => self.refused(began).await.map_err(|failure| match failure {
                CallError::Refused(_) => failure,
                other => CallError::Refused(format!("{why}; {other}")),
            }),
            Err(_) => Ok(()),
        }
    }

    /// A call that began then was refused.
    pub(super) async fn refused(&self, began: Instant) -> Result<(), CallError> {
        let is_new = |token: &Token| token.since > began;
        let is_good = |token: &Token| token.good_at.is_some_and(|at| at.elapsed() < GOOD_LATELY);
        self.ask_unless(|token| is_new(token) || is_good(token)).await
    }

    async fn ask_unless(&self, is_good: impl Fn(&Token) -> bool) -> Result<(), CallError> {
        let (Some(username), Some(password)) = (&self.options.username, &self.options.password) else { return Ok(()) };
        let is_good = || self.lock().as_ref().is_some_and(&is_good);
        if is_good() {
            return Ok(());
        }
        let mut asked = self.asking.lock().await;
        if is_good() {
            return Ok(());
        }
        if let Some(asked) = asked.as_ref().filter(|asked| asked.at.elapsed() < asked.pause) {
            return asked.outcome.clone();
        }
        let has_token = self.lock().is_some();
        let answer = ask(&self.options, username, password).await.map_err(|failure| match failure {
            // One that was let in before will be again.
            NoToken::Doubtful(why) if has_token => CallError::Failed(why),
            NoToken::Refused(why) | NoToken::Doubtful(why) => CallError::Refused(why),
            NoToken::Failed(why) => CallError::Failed(why),
        });
        let at = Instant::now();
        let pause = match (&answer, &*asked) {
            (Ok(_), _) => PAUSE,
            (Err(CallError::Refused(_)), Some(Asked { outcome: Err(CallError::Refused(_)), pause, .. })) => {
                LONGEST_PAUSE.min(*pause * 2)
            }
            (Err(_), _) => RETRY,
        };
        let outcome = answer.map(|answer| {
            // Nacos says 5 hours; a server that says nothing is asked often.
            let good_for = Duration::from_secs((answer.good_for / 2).clamp(5, 3600));
            let token = Token { text: answer.text, since: at, refresh_at: at + good_for, good_at: None };
            if self.lock().replace(token).is_some() {
                tracing::debug!(nacos = %self.options.server, "a new token");
            }
        });
        *asked = Some(Asked { at, outcome: outcome.clone(), pause });
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, Option<Token>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Warns of what anybody who reaches the server could use. Once per program; never fails.
    pub(super) async fn inspect(&self) {
        for warning in self.findings().await {
            tracing::warn!(nacos = %self.options.server, "{warning}");
        }
    }

    async fn findings(&self) -> Vec<&'static str> {
        let mut found = Vec::new();
        if is_open(&self.options).await {
            found.push(
                "Nacos has authentication switched off: every client that reaches it can change instances and settings, and \
                 with them where requests go; switch authentication on (nacos.core.auth.enabled)",
            );
        }
        if self.token().is_some_and(|token| has_known_key(&token)) {
            found.push(
                "Nacos signs its tokens with a key from its manual: anyone can make a token; set a key of your own \
                 (nacos.core.auth.plugin.nacos.token.secret.key, from 3.3 on nacos.plugin.auth.nacos.token.secret.key)",
            );
        }
        if self.options.username.is_some() && self.options.username == self.options.password {
            found.push("the password for Nacos is the name of the user; set another");
        }
        found
    }
}

#[async_trait]
impl AuthPlugin for Login {
    async fn login(&self, _: Arc<Vec<String>>, _: Arc<AuthContext>) {
        if let Err(failure) = self.ensure().await {
            tracing::debug!(%failure, "no new token for Nacos");
        }
    }

    fn get_login_identity(&self, _: RequestResource) -> LoginIdentityContext {
        let identity = LoginIdentityContext::default();
        match self.token() {
            Some(token) => identity.add_context("accessToken", token),
            None => identity,
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The first server that answers decides.
async fn ask(options: &NacosOptions, username: &str, password: &str) -> Result<dialect::Token, NoToken> {
    let mut failures = Vec::new();
    'servers: for server in options.servers().map_err(NoToken::Failed)? {
        let dialect = match http::dialect(options, &server, TIMEOUT).await {
            Ok(dialect) => dialect,
            Err(failure) => {
                failures.push(format!("{}: {failure}", http::url(options, &server, "")));
                continue;
            }
        };
        for path in dialect.login_paths() {
            let (url, question) = (http::url(options, &server, path), dialect::login(path, username, password));
            let (status, body) = match http::put(options, &server, &question, None, TIMEOUT).await {
                Ok(answer) => answer,
                Err(HttpError::Unreachable(reason)) => {
                    failures.push(format!("{url}: {reason}"));
                    continue 'servers;
                }
                // Nacos 2.3 answers a wrong password with a status of 0, which is not HTTP.
                Err(HttpError::Nonsense) => return Err(NoToken::Refused(refused("with something that is not HTTP"))),
            };
            match dialect::read_login(dialect, Answer::new(status, &body)) {
                LoginReading::In(token) => return Ok(token),
                LoginReading::Refused(how) => return Err(NoToken::Refused(refused(&how))),
                LoginReading::Doubtful(how) => {
                    let how = format!("{how}, which is how Nacos 3 answers a wrong password and its own faults");
                    return Err(NoToken::Doubtful(refused(&how)));
                }
                LoginReading::NoPath(how) => failures
                    .push(format!("{url}: no login found ({how}); is the context path right (--nacos-context)?")),
                LoginReading::Failed(how) => {
                    failures.push(format!("{url}: {how}"));
                    continue 'servers;
                }
            }
        }
    }
    Err(NoToken::Failed(format!("no token from Nacos: {}", failures.join("; "))))
}

fn refused(answer: &str) -> String {
    format!(
        "Nacos does not let in the user that was given (--nacos-username, --nacos-password, GRAY_NACOS_USERNAME, \
         GRAY_NACOS_PASSWORD): the login is answered {answer}"
    )
}

/// Whether the server lets anybody look around.
async fn is_open(options: &NacosOptions) -> bool {
    let openness = Openness::of(options.namespace_id());
    for server in options.servers().unwrap_or_default() {
        if let Ok(reading) = http::ask(options, &server, &openness, None, TIMEOUT).await {
            return reading == Reading::Is(true);
        }
    }
    false
}

/// Whether a token (JWT) was signed with a well-known key. Nothing is sent for that.
fn has_known_key(token: &str) -> bool {
    let Some((signed, signature)) = token.rsplit_once('.') else { return false };
    let (Some(head), Ok(signature)) = (signed.split('.').next(), URL_SAFE_NO_PAD.decode(signature)) else {
        return false;
    };
    let head = URL_SAFE_NO_PAD.decode(head).unwrap_or_default();
    let algorithm =
        match serde_json::from_slice::<serde_json::Value>(&head).ok().as_ref().and_then(|head| head["alg"].as_str()) {
            Some("HS256") => hmac::HMAC_SHA256,
            Some("HS384") => hmac::HMAC_SHA384,
            Some("HS512") => hmac::HMAC_SHA512,
            _ => return false,
        };
    let keys = KNOWN_KEYS.iter().flat_map(|key| [lenient(key), Some(key.as_bytes().to_vec())]).flatten();
    keys.into_iter().any(|key| hmac::verify(&hmac::Key::new(algorithm, &key), signed.as_bytes(), &signature).is_ok())
}

/// Base64 as Java reads it: the end may be incomplete.
fn lenient(key: &str) -> Option<Vec<u8>> {
    let whole = key.trim_end_matches('=');
    let whole = &whole[..whole.len() - usize::from(whole.len() % 4 == 1)];
    let padded = format!("{whole}{}", "=".repeat((4 - whole.len() % 4) % 4));
    STANDARD.decode(padded).ok()
}

#[cfg(test)]
#[path = "login_refusals.rs"]
mod refusals;

#[cfg(test)]
mod tests {
    use axum::{
        Json, Router,
        http::StatusCode,
        response::IntoResponse,
        routing::{get, post},
    };
    use serde_json::json;

    use super::*;

    /// A Nacos of which only the door is there. Two servers, the first of which is down.
    async fn door(open: bool) -> NacosOptions {
        let login = async |given: String| {
            if given == "username=gray&password=s3cret" {
                Json(json!({ "accessToken": "a.b.c", "tokenTtl": 18_000, "globalAdmin": true })).into_response()
            } else {
                (StatusCode::FORBIDDEN, "unknown user!").into_response()
            }
        };
        let list = async move || if open { StatusCode::OK } else { StatusCode::FORBIDDEN };
        let app =
            Router::new().route("/nacos/v1/auth/login", post(login)).route("/nacos/v1/ns/service/list", get(list));
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let server = format!("{nobody},{}", listener.local_addr().expect("bound"));
        #[expect(clippy::disallowed_methods, reason = "a server of the test")]
        tokio::spawn(async move { drop(axum::serve(listener, app).await) });
        let (username, password) = (Some("gray".into()), Some("s3cret".into()));
        NacosOptions { username, password, ..NacosOptions::new(server) }
    }

    #[tokio::test]
    async fn the_first_server_that_answers_gives_the_token() {
        let login = Login::new(door(false).await);
        assert_eq!(login.token(), None);
        login.ensure().await.expect("let in");
        assert_eq!(login.token().as_deref(), Some("a.b.c"));
        assert!(login.findings().await.is_empty());
        assert!(!format!("{login:?}").contains("s3cret"));
    }

    #[tokio::test]
    async fn a_refused_user_is_said_to_be_without_the_password() {
        let options = NacosOptions { password: Some("wr0ng".into()), ..door(true).await };
        let login = Login::new(options);
        let failure = login.ensure().await.expect_err("refused");
        let text = failure.to_string();
        assert!(text.contains("403") && text.contains("GRAY_NACOS_PASSWORD") && !text.contains("wr0ng"), "{text}");
        assert!(matches!(failure, CallError::Refused(_)));
        let found = login.findings().await;
        assert!(found.len() == 1 && found[0].contains("authentication switched off"), "{found:?}");
        let nobody = NacosOptions {
            username: Some("a".into()),
            password: Some("wr0ng".into()),
            ..NacosOptions::new("127.0.0.1:1")
        };
        let text = Login::new(nobody).ensure().await.expect_err("no server").to_string();
        assert!(text.contains("no token") && !text.contains("wr0ng"), "{text}");
    }

    #[test]
    fn keys_out_of_manuals_are_known() {
        let token = |algorithm, name: &str, key: &[u8]| {
            let head = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{name}"}}"#));
            let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(r#"{"sub":"nacos"}"#));
            let tag = hmac::sign(&hmac::Key::new(algorithm, key), signed.as_bytes());
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
        };
        for key in KNOWN_KEYS {
            let key = lenient(key).expect("base64");
            assert!(has_known_key(&token(hmac::HMAC_SHA256, "HS256", &key)));
            assert!(has_known_key(&token(hmac::HMAC_SHA384, "HS384", &key)));
            assert!(!has_known_key(&token(hmac::HMAC_SHA256, "HS512", &key)));
        }
        assert!(!has_known_key(&token(hmac::HMAC_SHA256, "HS256", b"a key of one's own")));
        for nonsense in ["", "a.b.c", "..", "AUTH_DISABLED", "e30.e30.AA"] {
            assert!(!has_known_key(nonsense), "{nonsense}");
        }
    }
}
