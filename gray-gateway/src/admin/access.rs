//! Who may ask the admin side for more than probes and metrics.

use std::{fmt, net::SocketAddr, str::FromStr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use ring::{
    hmac::{self, HMAC_SHA256},
    rand::SystemRandom,
};

use super::answer::Refusal;

/// A token, compared in a time that tells nothing about it. Not shown by `Debug`.
#[derive(Clone)]
pub struct AdminToken(Arc<Secret>);

/// The token itself is not kept.
struct Secret {
    /// Of this process alone.
    key: hmac::Key,
    tag: hmac::Tag,
}

impl AdminToken {
    /// Shortest token, in bytes.
    pub const MIN_BYTES: usize = 16;

    fn is(&self, text: &[u8]) -> bool {
        hmac::verify(&self.0.key, text, self.0.tag.as_ref()).is_ok()
    }
}

impl FromStr for AdminToken {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |byte: u8| byte.is_ascii_graphic();
        if text.len() < Self::MIN_BYTES || !text.bytes().all(fits) {
            let least = Self::MIN_BYTES;
            return Err(format!(
                "a token has at least {least} visible ASCII characters, such as `openssl rand -hex 16` gives"
            ));
        }
        let key = hmac::Key::generate(HMAC_SHA256, &SystemRandom::new());
        let key = key.map_err(|_| "the system has no random numbers".to_owned())?;
        let tag = hmac::sign(&key, text.as_bytes());
        Ok(Self(Arc::new(Secret { key, tag })))
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(hidden)")
    }
}

/// Who may ask.
#[derive(Clone, Debug)]
pub enum Access {
    /// Whoever has the token.
    Token(AdminToken),
    /// Everybody: only this machine gets here.
    Local,
    /// Everybody gets here, so nobody may ask what rules would do.
    Exposed,
}

impl Access {
    /// By the token, if there is one, and else by the address that is listened on.
    pub fn new(token: Option<AdminToken>, address: SocketAddr) -> Self {
        match token {
            Some(token) => Self::Token(token),
            None if address.ip().to_canonical().is_loopback() => Self::Local,
            None => Self::Exposed,
        }
    }

    fn refuses(&self, path: &str, headers: &HeaderMap) -> Option<Refusal> {
        match self {
            _ if matches!(path, "/livez" | "/readyz" | "/metrics") => None,
            Self::Local => None,
            Self::Token(token) if bearer(headers).is_some_and(|text| token.is(text)) => None,
            Self::Token(_) => {
                let message =
                    "wants the header `Authorization: Bearer` with the gateway's --admin-token (GRAY_ADMIN_TOKEN)";
                Some(Refusal::new(StatusCode::UNAUTHORIZED, message))
            }
            // As it always was: nothing in it is about requests.
            Self::Exposed if path == "/status" => None,
            Self::Exposed => {
                let message = "the admin side listens on more than loopback and has no token: start the gateway with \
                               --admin-token (GRAY_ADMIN_TOKEN), or with --admin-bind 127.0.0.1";
                Some(Refusal::new(StatusCode::FORBIDDEN, message))
            }
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Lets a request through, or answers it.
pub(super) async fn guard(State(access): State<Access>, request: Request, next: Next) -> Response {
    match access.refuses(request.uri().path(), request.headers()) {
        None => next.run(request).await,
        Some(refusal) => refusal.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn status(access: &Access, path: &str, authorization: &str) -> u16 {
        let mut headers = HeaderMap::new();
        if !authorization.is_empty() {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(authorization).expect("valid"));
        }
        access.refuses(path, &headers).map_or(200, |refusal| refusal.status().as_u16())
    }

    #[test]
    fn probes_are_open_and_the_rest_is_not() {
        let address = |text: &str| text.parse::<SocketAddr>().expect("address");
        let token: AdminToken = TOKEN.parse().expect("long enough");
        let with_token = Access::new(Some(token.clone()), address("127.0.0.1:1"));
        let local = Access::new(None, address("[::1]:1"));
        let exposed = Access::new(None, address("0.0.0.0:1"));
        for path in ["/livez", "/readyz", "/metrics"] {
            for access in [&with_token, &local, &exposed] {
                assert_eq!(status(access, path, ""), 200, "{path}");
            }
        }
        for path in ["/explain", "/lint", "/replay", "/nowhere"] {
            assert_eq!(
                [&with_token, &local, &exposed].map(|access| status(access, path, "")),
                [401, 200, 403],
                "{path}"
            );
        }
        assert_eq!([&with_token, &exposed].map(|access| status(access, "/status", "")), [401, 200]);
        let good = format!("Bearer {TOKEN}");
        let cases = [
            (good.as_str(), 200),
            ("bearer 0123456789abcdef", 200),
            ("Bearer 0123456789abcdeF", 401),
            ("Bearer 0123456789abcdef0", 401),
            ("Bearer ", 401),
            ("Bearer", 401),
            ("Basic 0123456789abcdef", 401),
            (TOKEN, 401),
        ];
        for (authorization, expect) in cases {
            assert_eq!(status(&with_token, "/explain", authorization), expect, "{authorization}");
        }
        assert!(!format!("{token:?} {with_token:?}").contains(TOKEN));
    }

    #[test]
    fn tokens_that_can_be_guessed_are_refused() {
        for text in ["", "short", "0123456789abcde", "0123456789 abcdef", "0123456789abcdefé"] {
            assert!(text.parse::<AdminToken>().is_err(), "{text}");
        }
    }
}
