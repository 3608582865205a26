//! What is refused before routes, rules or backends see it: a request that can be read in two ways.

use http::{HeaderMap, Method, Version, header, request::Parts, uri::Scheme};

/// Checks request line, `Host` and framing. Hyper has parsed them, and has refused what is no HTTP at all.
pub(super) fn head(head: &Parts) -> Result<(), &'static str> {
    if head.method == Method::CONNECT {
        return Err("CONNECT is not served");
    }
    host(head)?;
    target(head)?;
    framing(&head.headers)
}

fn host(head: &Parts) -> Result<(), &'static str> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if head.version >= Version::HTTP_11 => Err("Host is missing"),
        (Some(_), Some(_)) => Err("there is more than one Host"),
        _ => Ok(()),
    }
}

/// Origin form (`/path`); absolute form when it names the same host as `Host`; `*` with OPTIONS.
fn target(head: &Parts) -> Result<(), &'static str> {
    let uri = &head.uri;
    let Some(authority) = uri.authority() else {
        let asterisk = head.method == Method::OPTIONS && uri.path() == "*";
        return if uri.path().starts_with('/') || asterisk { Ok(()) } else { Err("the request target is no path") };
    };
    let web = uri.scheme().is_some_and(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS);
    let host = head.headers.get(header::HOST).map(|host| host.as_bytes());
    if web && host.is_some_and(|host| host.eq_ignore_ascii_case(authority.as_str().as_bytes())) {
        Ok(())
    } else {
        Err("the request target names another host than Host")
    }
}

fn framing(headers: &HeaderMap) -> Result<(), &'static str> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    if headers.contains_key(header::CONTENT_LENGTH) {
        return Err("there are both Content-Length and Transfer-Encoding");
    }
    if codings.next().is_none() && coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        Ok(())
    } else {
        Err("the only Transfer-Encoding served is chunked")
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn check(method: &str, target: &str, version: Version, headers: &[(&str, &str)]) -> Result<(), &'static str> {
        let mut request = Request::builder().method(method).uri(target).version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        head(&request.body(()).expect("request").into_parts().0)
    }

    #[test]
    fn one_meaning_or_none() {
        let host = ("host", "a:80");
        let v11 = Version::HTTP_11;
        for (method, target, version, headers) in [
            ("GET", "/", v11, vec![host]),
            ("OPTIONS", "*", v11, vec![host]),
            ("GET", "http://A:80/x", v11, vec![host]),
            ("GET", "/", Version::HTTP_10, vec![]),
            ("GET", "/", v11, vec![host, ("transfer-encoding", "Chunked")]),
        ] {
            assert_eq!(check(method, target, version, &headers), Ok(()), "{method} {target} {headers:?}");
        }
        for (method, target, version, headers) in [
            ("CONNECT", "a:80", v11, vec![host]),
            ("GET", "*", v11, vec![host]),
            ("GET", "a:80", v11, vec![host]),
            ("GET", "/", v11, vec![]),
            ("GET", "/", v11, vec![host, host]),
            ("GET", "http://b:80/x", v11, vec![host]),
            ("GET", "ftp://a:80/x", v11, vec![host]),
            ("GET", "http://a:80/x", Version::HTTP_10, vec![]),
            ("POST", "/", v11, vec![host, ("transfer-encoding", "chunked"), ("content-length", "3")]),
            ("POST", "/", v11, vec![host, ("transfer-encoding", "gzip, chunked")]),
            ("POST", "/", v11, vec![host, ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")]),
        ] {
            assert!(check(method, target, version, &headers).is_err(), "{method} {target} {headers:?}");
        }
    }
}
