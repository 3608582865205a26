//! Heads and trailers in both wordings. Nothing in here waits or knows a socket.
//!
//! What is written as HTTP/1 is read by the engine's own parser and checks, so a field only has to stay within its line.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, Version, header, request, response,
    uri::{Authority, PathAndQuery},
};

use crate::{
    header::write_line,
    name::Name,
    proxy::http1::{Decoder, Head, RequestHead, ResponseHead, decimal, is_bodiless, status_line},
    scheme::Scheme,
};

/// Trailers that are passed on at most.
const MAX_TRAILERS: usize = 64;

/// How a body goes behind a head written as HTTP/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes to come.
    Length(u64),
    /// In chunks, then trailers.
    Chunked,
}

impl Framing {
    /// No body.
    pub(super) const EMPTY: Self = Self::Length(0);
}

/// What `Content-Length` says.
enum Announced {
    Nothing,
    Length(u64),
    /// Several, or no number.
    Nonsense,
}

fn announced(fields: &HeaderMap) -> Announced {
    let mut values = fields.get_all(header::CONTENT_LENGTH).iter();
    let (Some(value), more) = (values.next(), values.next()) else { return Announced::Nothing };
    // As the engine reads the line: without the space around it.
    match decimal(value.as_bytes().trim_ascii()) {
        Some(length) if more.is_none() => Announced::Length(length),
        _ => Announced::Nonsense,
    }
}

/// gRPC has trailers in any case, and a body with a length cannot have any in HTTP/1.
fn needs_trailers(fields: &HeaderMap) -> bool {
    fields.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Whether a field means something to a single HTTP/1 connection only, or is written in another way.
fn is_framing(name: &str) -> bool {
    matches!(Name::of(name), Name::Connection | Name::Hop | Name::Upgrade | Name::TransferEncoding)
}

/// Writes a client's request. The checks of the engine decide whether it is a good one.
///
/// `None` when a line cannot hold it.
pub(super) fn write_request(head: &request::Parts, has_body: bool, out: &mut Vec<u8>) -> Option<Framing> {
    let authority = head.uri.authority().map(Authority::as_str);
    let target = match head.uri.path_and_query() {
        _ if head.method == Method::CONNECT => authority.unwrap_or("/"),
        Some(target) => target.as_str(),
        None => "/",
    };
    if target.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return None;
    }
    // RFC 9113, 8.3.1: the host is in `:authority`. A second one in `:path` would count for more as HTTP/1.
    if !target.starts_with('/') && target != "*" && head.method != Method::CONNECT {
        return None;
    }
    for part in [head.method.as_str(), " ", target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    if let Some(authority) = authority {
        write_line(out, &header::HOST, &HeaderValue::from_str(authority).ok()?);
    }
    let fields = &head.headers;
    let chunked = has_body && needs_trailers(fields);
    for (name, value) in fields {
        let skip = match Name::of(name.as_str()) {
            // Another host than `:authority` stays, so that there are two of them to be refused.
            Name::Host => authority.is_some_and(|host| value.as_bytes().eq_ignore_ascii_case(host.as_bytes())),
            Name::ContentLength => chunked,
            Name::Te => !value.as_bytes().eq_ignore_ascii_case(b"trailers"),
            _ => is_framing(name.as_str()) || *name == header::COOKIE,
        };
        if !skip {
            write_line(out, name, value);
        }
    }
    // RFC 9113, 8.2.3: a cookie may come in pieces.
    for (index, crumb) in fields.get_all(header::COOKIE).iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"cookie: " } else { b"; " });
        out.extend_from_slice(crumb.as_bytes());
    }
    if fields.contains_key(header::COOKIE) {
        out.extend_from_slice(b"\r\n");
    }
    let framing = match announced(fields) {
        _ if chunked => Framing::Chunked,
        Announced::Length(length) => Framing::Length(length),
        // The engine refuses it.
        Announced::Nonsense => Framing::EMPTY,
        Announced::Nothing if has_body => Framing::Chunked,
        Announced::Nothing => Framing::EMPTY,
    };
    if framing == Framing::Chunked {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Some(framing)
}

/// Writes an instance's response; `keep_alive` is whether the pipe can be used again.
///
/// `None` when it has no clear length.
pub(super) fn write_response(
    head: &response::Parts,
    is_head: bool,
    has_body: bool,
    keep_alive: bool,
    out: &mut Vec<u8>,
) -> Option<Framing> {
    status_line(out, head.status.as_u16(), head.status.canonical_reason().unwrap_or_default());
    let fields = &head.headers;
    let bodiless = is_head || is_bodiless(head.status.as_u16());
    let framing = match announced(fields) {
        Announced::Nonsense => return None,
        _ if bodiless => Framing::EMPTY,
        _ if has_body && needs_trailers(fields) => Framing::Chunked,
        Announced::Length(length) => Framing::Length(length),
        Announced::Nothing if has_body => Framing::Chunked,
        Announced::Nothing => {
            out.extend_from_slice(b"content-length: 0\r\n");
            Framing::EMPTY
        }
    };
    let chunked = framing == Framing::Chunked;
    for (name, value) in fields {
        let skip = is_framing(name.as_str()) || (chunked && *name == header::CONTENT_LENGTH);
        if !skip {
            write_line(out, name, value);
        }
    }
    if chunked {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    if !keep_alive {
        out.extend_from_slice(b"connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Some(framing)
}

/// The engine's request, for an instance.
pub(super) fn read_request(
    request: &RequestHead<'_, '_>,
    scheme: Scheme,
) -> Result<(Request<()>, Decoder), &'static str> {
    let head = &request.head;
    let host = head.fields.all("host").next().ok_or("there is no Host")?;
    let uri = Uri::builder()
        .scheme(scheme.as_str())
        .authority(Authority::try_from(host).map_err(|_| "Host cannot be an :authority")?)
        .path_and_query(PathAndQuery::try_from(request.target).map_err(|_| "the target cannot be a :path")?);
    let mut translated = Request::new(());
    *translated.method_mut() = request.method.clone();
    *translated.uri_mut() = uri.build().map_err(|_| "the target cannot be a :path")?;
    *translated.version_mut() = Version::HTTP_2;
    fields(head, translated.headers_mut(), |name| *name == header::HOST)?;
    let decoder = match head.fields.all("transfer-encoding").next() {
        Some(_) => Decoder::CHUNKED,
        None => Decoder::Length(head.content_length()?.unwrap_or(0)),
    };
    Ok((translated, decoder))
}

/// A response of the engine, for a client.
#[derive(Debug)]
pub(super) struct Translated {
    pub(super) response: Response<()>,
    pub(super) decoder: Decoder,
    /// Whether the pipe can be used again.
    pub(super) keep_alive: bool,
}

/// The engine's response, for a client.
pub(super) fn read_response(response: &ResponseHead<'_, '_>, is_head: bool) -> Result<Translated, &'static str> {
    let head = &response.head;
    let mut translated = Response::new(());
    *translated.status_mut() = http::StatusCode::from_u16(response.status).map_err(|_| "the status is invalid")?;
    *translated.version_mut() = Version::HTTP_2;
    fields(head, translated.headers_mut(), |name| *name == header::TE)?;
    let decoder = if is_head || is_bodiless(response.status) {
        Decoder::EMPTY
    } else if head.fields.all("transfer-encoding").next().is_some() {
        Decoder::CHUNKED
    } else {
        head.content_length()?.map_or(Decoder::UntilClose, Decoder::Length)
    };
    let keep_alive = !head.mentions("connection", "close") && decoder != Decoder::UntilClose;
    Ok(Translated { response: translated, decoder, keep_alive })
}

/// The engine's interim response, for a client; `None` when it cannot be one in HTTP/2.
pub(super) fn read_interim(response: &ResponseHead<'_, '_>) -> Option<Response<()>> {
    let mut translated = Response::new(());
    *translated.status_mut() = http::StatusCode::from_u16(response.status).ok()?;
    // RFC 9113, 8.6: nothing is switched to.
    if *translated.status_mut() == http::StatusCode::SWITCHING_PROTOCOLS {
        return None;
    }
    fields(&response.head, translated.headers_mut(), |name| *name == header::TE).ok()?;
    Some(translated)
}

fn fields(head: &Head<'_, '_>, map: &mut HeaderMap, skip: impl Fn(&HeaderName) -> bool) -> Result<(), &'static str> {
    for field in head.fields.iter().filter(|field| !is_framing(field.name)) {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| "a header name is invalid")?;
        let value =
            HeaderValue::from_bytes(field.value).map_err(|_| "a header value has a character that is not allowed")?;
        if !skip(&name) {
            map.append(name, value);
        }
    }
    Ok(())
}

/// Writes the last chunk, the trailers, and the end.
pub(super) fn write_end(trailers: Option<&HeaderMap>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten() {
        write_line(out, name, value);
    }
    out.extend_from_slice(b"\r\n");
}

/// Reads trailer lines; `None` when there are none. Whether they may be passed on, the engine has decided.
pub(super) fn read_trailers(lines: &[u8]) -> Option<HeaderMap> {
    if lines.is_empty() {
        return None;
    }
    let mut room = [httparse::EMPTY_HEADER; MAX_TRAILERS];
    let whole = [lines, b"\r\n"].concat();
    let Ok(httparse::Status::Complete((_, fields))) = httparse::parse_headers(&whole, &mut room) else { return None };
    let read = fields.iter().filter(|field| Name::passes_as_trailer(field.name)).filter_map(|field| {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_bytes(field.value).ok()?))
    });
    let mut trailers = HeaderMap::new();
    for (name, value) in read {
        trailers.append(name, value);
    }
    Some(trailers)
}

#[cfg(test)]
mod tests;
