//! Secrets in texts that are shown: the user of an address, and what a query calls a secret.

use std::borrow::Cow;

use super::problem::shown;

/// Shown instead of a secret.
pub(super) const MASK: &str = "***";

/// Whether a value under this name is probably a secret: a key of a document, a parameter of a query.
pub fn is_secret_name(name: &str) -> bool {
    const PARTS: [&str; 10] =
        ["token", "secret", "password", "passwd", "apikey", "accesskey", "credential", "jwt", "signature", "private"];
    const WHOLE: [&str; 12] =
        ["key", "keys", "sig", "sign", "signing", "pwd", "auth", "authorization", "session", "sid", "code", "bearer"];
    let letters = |byte: &u8| !matches!(byte, b'-' | b'_' | b'.');
    let plain: Vec<u8> = name.bytes().filter(letters).map(|byte| byte.to_ascii_lowercase()).collect();
    let has = |part: &&str| plain.windows(part.len()).any(|window| window == part.as_bytes());
    PARTS.iter().any(has) || WHOLE.iter().any(|whole| *plain == *whole.as_bytes())
}

/// The text with `***` for the user and password of an address, and for the values of secrets in a query.
pub fn masked(text: &str) -> Cow<'_, str> {
    if !text.contains("://") && !text.contains('=') {
        return Cow::Borrowed(text);
    }
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, user, after)) = next_user(rest) {
        out.push_str(before);
        out.push_str(if user.is_empty() { "" } else { MASK });
        rest = after;
    }
    out.push_str(rest);
    let out = without_secrets(&out);
    if out == text { Cow::Borrowed(text) } else { Cow::Owned(out) }
}

/// Up to the next `://`, what stands before the `@` behind it, and the rest.
fn next_user(text: &str) -> Option<(&str, &str, &str)> {
    let begin = text.find("://")? + 3;
    let (before, rest) = text.split_at(begin);
    let ends = |c: char| matches!(c, '/' | '?' | '#' | '`' | '"' | '\'') || c.is_whitespace();
    let authority = rest.find(ends).unwrap_or(rest.len());
    let user = rest.get(..authority).and_then(|authority| authority.rfind('@')).unwrap_or(0);
    let (user, after) = rest.split_at(user);
    Some((before, user, after))
}

fn without_secrets(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(begin) = rest.find(['?', '&', ';']) {
        let (before, pair) = rest.split_at(begin + 1);
        out.push_str(before);
        let ends = |c: char| matches!(c, '&' | ';' | '#' | '`' | '"' | '\'' | ',') || c.is_whitespace();
        let (pair, after) = pair.split_at(pair.find(ends).unwrap_or(pair.len()));
        match pair.split_once('=') {
            Some((name, value)) if !value.is_empty() && is_secret_name(name) => {
                out.extend([name, "=", MASK]);
            }
            _ => out.push_str(pair),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// A value as it may stand in a message: not at all under a key that sounds like a secret.
pub(super) fn shown_under(key: &str, text: &str) -> String {
    let name = key.rsplit('.').next().unwrap_or(key);
    if is_secret_name(name) { MASK.to_owned() } else { shown(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_secrets_are_masked() {
        for (text, expect) in [
            ("http://user:pass@host:80/x", "http://***@host:80/x"),
            ("`http://user:p@ss@host`: no", "`http://***@host`: no"),
            ("lb:https://a@b, http://c:d@e/", "lb:https://***@b, http://***@e/"),
            ("http://host/?access_token=abc&x=1&api-key=k#f", "http://host/?access_token=***&x=1&api-key=***#f"),
            ("/x?sig=1;password=2", "/x?sig=***;password=***"),
        ] {
            assert_eq!(masked(text), expect);
        }
        for text in
            ["", "lb://order-app", "http://host/a@b", "Path=/x?y=1&page=2", "a = b", "?token=", "JsonWebToken=x"]
        {
            assert!(matches!(masked(text), Cow::Borrowed(_)), "{text}");
        }
    }

    #[test]
    fn names_of_secrets() {
        for name in
            ["token", "X-Auth-Token", "clientSecret", "key", "api_key", "PASSWORD", "signature", "jwt", "SID", "code"]
                .into_iter()
                .chain(["keys", "signing", "privateKey"])
        {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["", "keyword", "page", "monkey", "signal", "author", "id", "zipcode", "sidecar", "sessions"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }
}
