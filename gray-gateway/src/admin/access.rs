//! Who may ask the admin side for more than probes and metrics.

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc};

use axum::http::{HeaderMap, header};
use ring::{
    hmac::{self, HMAC_SHA256},
    rand::SystemRandom,
};

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
    /// Clients that send the token.
    Token(AdminToken),
    /// Every client that can connect.
    Open,
}

/// What was sent instead of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// No token.
    Missing,
    /// Another one.
    Wrong,
}

impl Access {
    /// By the token, if there is one. Without one the address must be reachable from this machine only, unless any
    /// client is to be let in.
    ///
    /// # Errors
    /// When the address is not loopback and neither was given, or both were; the text names the flags.
    pub fn new(token: Option<AdminToken>, is_open: bool, address: IpAddr) -> Result<Self, String> {
        match token {
            Some(_) if is_open => {
                Err("--admin-open lets everyone in, and --admin-token (GRAY_ADMIN_TOKEN) does not: give one of them"
                    .into())
            }
            Some(token) => Ok(Self::Token(token)),
            None if is_open || address.to_canonical().is_loopback() => Ok(Self::Open),
            None => Err(format!(
                "the admin side would answer everyone who can reach {address}: give it a token (--admin-token, \
                 GRAY_ADMIN_TOKEN; /livez, /readyz and /metrics need none), bind it to loopback (--admin-bind \
                 127.0.0.1), or let everyone in on purpose (--admin-open, GRAY_ADMIN_OPEN)"
            )),
        }
    }

    pub(super) fn denies(&self, headers: &HeaderMap) -> Option<Denied> {
        let Self::Token(token) = self else { return None };
        match headers.get(header::AUTHORIZATION) {
            None => Some(Denied::Missing),
            Some(_) if bearer(headers).is_some_and(|text| token.is(text)) => None,
            Some(_) => Some(Denied::Wrong),
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    #[test]
    fn only_the_token_opens() {
        let token: AdminToken = TOKEN.parse().expect("long enough");
        let access = Access::new(Some(token.clone()), false, IpAddr::from([0, 0, 0, 0])).expect("has a token");
        let denied = |authorization: Option<&str>| {
            let value = authorization.map(|text| HeaderValue::from_str(text).expect("valid"));
            access.denies(&value.into_iter().map(|value| (header::AUTHORIZATION, value)).collect())
        };
        assert_eq!(denied(None), Some(Denied::Missing));
        let good = format!("Bearer {TOKEN}");
        for text in [good.as_str(), "bearer 0123456789abcdef"] {
            assert_eq!(denied(Some(text)), None, "{text}");
        }
        for text in [
            "Bearer 0123456789abcdeF",
            "Bearer 0123456789abcdef0",
            "Bearer ",
            "Bearer",
            "Basic 0123456789abcdef",
            TOKEN,
            "",
        ] {
            assert_eq!(denied(Some(text)), Some(Denied::Wrong), "{text}");
        }
        assert!(!format!("{token:?} {access:?}").contains(TOKEN));
        assert!(Access::new(Some(token), true, IpAddr::from([127, 0, 0, 1])).is_err(), "one or the other");
    }

    #[test]
    fn everybody_is_let_in_on_loopback_or_on_purpose_only() {
        let open = |address: &str, is_open| Access::new(None, is_open, address.parse().expect("an address"));
        for address in ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"] {
            assert!(matches!(open(address, false), Ok(Access::Open)), "{address}");
        }
        for address in ["0.0.0.0", "::", "10.0.0.1", "::ffff:10.0.0.1", "fe80::1"] {
            let error = open(address, false).expect_err(address);
            for flag in ["--admin-token", "--admin-bind", "--admin-open"] {
                assert!(error.contains(flag), "{error}");
            }
            assert!(matches!(open(address, true), Ok(Access::Open)), "{address}");
        }
    }

    #[test]
    fn tokens_that_can_be_guessed_are_refused() {
        for text in ["", "short", "0123456789abcde", "0123456789 abcdef", "0123456789abcdefé"] {
            assert!(text.parse::<AdminToken>().is_err(), "{text}");
        }
    }
}
