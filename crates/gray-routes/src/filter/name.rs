//! Which header fields filters may touch: none that is the gateway's own to say.

use http::HeaderName;

use crate::{lookup::is_same, text::quoted};

/// What belongs to the connection or frames the message, and what could pass for it.
const CONNECTION: [&str; 15] = [
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "proxy",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-http2-stream-id",
];

/// Reads the name of a field that a filter writes.
pub(crate) fn written(text: &str) -> Result<HeaderName, String> {
    let name = removed(text)?;
    if is_same(name.as_str(), "baggage") {
        return Err(format!(
            "header `{name}` carries what travels along the whole chain and cannot be set by a filter; `propagate` in the \
             gray settings names what travels along"
        ));
    }
    if is_forwarded(name.as_str()) {
        return Err(format!(
            "header `{name}` says where a request came from: the gateway writes it, and no filter can; leave the filter out"
        ));
    }
    Ok(name)
}

/// Reads the name of a field that a filter removes.
pub(super) fn removed(text: &str) -> Result<HeaderName, String> {
    let name = any(text)?;
    let letters = name.as_str().bytes().filter(|byte| !b"-_.".contains(byte));
    if letters.take(4).eq(*b"gray") {
        return Err(format!("header `{name}` carries the gateway's own decision and cannot be changed by a filter"));
    }
    if is_same(name.as_str(), "host") {
        return Err(
            "header `host` cannot be changed by this filter; PreserveHostHeader keeps the client's, SetRequestHostHeader \
             sets it"
                .to_owned(),
        );
    }
    if CONNECTION.iter().any(|known| is_same(name.as_str(), known)) {
        return Err(format!("header `{name}` belongs to the connection and cannot be changed by a filter"));
    }
    Ok(name)
}

/// Reads the name of a field.
pub(super) fn any(text: &str) -> Result<HeaderName, String> {
    text.parse().map_err(|_| format!("{} is not a header name", quoted(text)))
}

/// `Forwarded`, `X-Forwarded-*` and `X-Real-IP`, in every spelling that a server takes for them.
pub(super) fn is_forwarded(name: &str) -> bool {
    const FAMILY: &str = "x-forwarded-";
    is_same(name, "forwarded")
        || is_same(name, "x-real-ip")
        || name.get(..FAMILY.len()).is_some_and(|begin| is_same(begin, FAMILY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_gateways_own_is_refused_in_every_spelling() {
        for name in [
            "gray",
            "Gray-Lane",
            "gray_signature",
            "G.ray",
            "gray-path",
            "gray-hops",
            "-gray",
            "Host",
            "Connection",
            "Content-Length",
            "content_length",
            "Transfer-Encoding",
            "Transfer.Encoding",
            "TE",
            "Trailer",
            "Upgrade",
            "Keep-Alive",
            "Proxy",
            "Proxy-Connection",
            "Proxy-Authorization",
            "Proxy-Authenticate",
            "Expect",
            "Max-Forwards",
            "HTTP2-Settings",
        ] {
            assert!(removed(name).is_err(), "{name}");
            assert!(written(name).is_err(), "{name}");
        }
        for name in [
            "baggage",
            "Forwarded",
            "X-Forwarded-For",
            "x_forwarded_for",
            "X-Forwarded-Prefix",
            "X-Forwarded-Anything",
            "X-Real-IP",
            "X.Real.IP",
        ] {
            assert!(removed(name).is_ok(), "{name}: removing it misleads no instance");
            assert!(written(name).is_err(), "{name}");
        }
        for name in ["X-Gray", "Authorization", "Date", "x-forwarded", "Content-Type", "Location", "Via", "stingray"] {
            assert!(written(name).is_ok(), "{name}");
        }
        assert_eq!(written("X Y").expect_err("a space"), "`X Y` is not a header name");
    }
}
