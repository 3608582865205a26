//! A peer of the comparison: the reverse proxy that people write first, with axum and hyper-util's pooled client on a
//! multi-threaded runtime. Forwards what the other peers forward.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode, Uri, Version,
        header::{CONNECTION, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
        uri::{Authority, Scheme},
    },
    response::{IntoResponse as _, Response},
    serve::ListenerExt as _,
};
use clap::Parser;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

/// Forwards everything to one backend.
#[derive(Debug, Parser)]
struct Args {
    /// Port to listen on, at 127.0.0.1
    #[arg(long)]
    port: u16,
    /// Where to forward to, HOST:PORT
    #[arg(long)]
    backend: Authority,
    /// Threads of the runtime
    #[arg(long, default_value_t = 2)]
    workers: usize,
}

#[derive(Clone, Debug)]
struct Proxy {
    client: Client<HttpConnector, Body>,
    backend: Authority,
    port: HeaderValue,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(args.workers.max(1)).enable_all().build()?;
    runtime.block_on(serve(args))
}

async fn serve(args: Args) -> Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let proxy = Proxy { client, backend: args.backend, port: HeaderValue::from(args.port) };
    let app = Router::new().fallback(forward).with_state(proxy).into_make_service_with_connect_info::<SocketAddr>();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    let listener =
        tokio::net::TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    // Without it answers wait for the acknowledgement of the ones before; a failure only makes them slower.
    let listener = listener.tap_io(|socket| drop(socket.set_nodelay(true)));
    Ok(axum::serve(listener, app).await?)
}

async fn forward(
    State(proxy): State<Proxy>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
) -> Response {
    let mut uri = std::mem::take(request.uri_mut()).into_parts();
    // HTTP/2 has the host in the target.
    let host = uri.authority.as_ref().and_then(|authority| HeaderValue::try_from(authority.as_str()).ok());
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(proxy.backend.clone());
    let Ok(uri) = Uri::from_parts(uri) else { return StatusCode::BAD_REQUEST.into_response() };
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    remove_hop_by_hop(headers);
    if let Ok(ip) = HeaderValue::try_from(peer.ip().to_string()) {
        headers.insert("x-forwarded-for", ip);
    }
    // The client sets the backend's own.
    if let Some(host) = headers.remove(HOST).or(host) {
        headers.insert("x-forwarded-host", host);
    }
    headers.insert("x-forwarded-proto", HeaderValue::from_static("http"));
    headers.insert("x-forwarded-port", proxy.port);
    headers.insert("gray", HeaderValue::from_static("PROD"));
    match proxy.client.request(request).await {
        Ok(mut response) => {
            remove_hop_by_hop(response.headers_mut());
            response.into_response()
        }
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    for name in [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}
