//! Which answer a request gets.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};

use crate::body::Body;

const VERSION: HeaderName = HeaderName::from_static("x-version");
/// About what a small answer of a real service is.
const SMALL: &[u8] = br#"{"code":200,"msg":"ok","data":{"orderNo":"N0001","goodsName":"goods-G0001","userNo":"U0001","userName":"user number one","port":"7101","metaVersion":"V1","amount":"129.90"},"success":true,"fail":false}"#;

/// The answer to a request.
pub(crate) async fn to(request: Request<Incoming>) -> Response<Body> {
    match request.uri().path() {
        "/small" => ok("application/json", Body::once(Bytes::from_static(SMALL))),
        "/sink" => sink(request).await,
        "/echo" if request.method() == Method::GET => headers(&request),
        "/echo" => echo(request),
        path => match path.strip_prefix("/bytes/").and_then(|count| count.parse().ok()) {
            Some(count) => ok("application/octet-stream", Body::pattern(count)),
            None => status(StatusCode::NOT_FOUND),
        },
    }
}

/// Reads a body and says how long it was.
async fn sink(request: Request<Incoming>) -> Response<Body> {
    let mut body = request.into_body();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => length += frame.data_ref().map_or(0, Bytes::len),
            Err(_) => return status(StatusCode::BAD_REQUEST),
        }
    }
    ok("application/json", Body::once(format!("{{\"length\":{length}}}").into()))
}

/// The body as it comes in, with its length and type.
fn echo(request: Request<Incoming>) -> Response<Body> {
    let content_type = request.headers().get(CONTENT_TYPE).cloned();
    let body = request.into_body();
    let mut response = ok("application/octet-stream", Body::incoming(body));
    if let Some(content_type) = content_type {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    response
}

/// What arrived here of the request's head, a header per line.
fn headers(request: &Request<Incoming>) -> Response<Body> {
    let line =
        |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
    let text: String = request.headers().iter().map(line).collect();
    ok("text/plain", Body::once(text.into()))
}

fn ok(content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(VERSION, HeaderValue::from_static("V1"));
    response
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = ok("text/plain", Body::once(Bytes::new()));
    *response.status_mut() = status;
    response
}
