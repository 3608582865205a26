//! A peer of the comparison: pingora as a plain HTTP proxy. Forwards what the other peers forward.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use async_trait::async_trait;
use clap::Parser;
use pingora::{
    http::RequestHeader,
    proxy::{ProxyHttp, Session, http_proxy_service},
    server::{Server, configuration::ServerConf},
    upstreams::peer::HttpPeer,
};

/// Forwards everything to one backend.
#[derive(Debug, Parser)]
struct Args {
    /// Port to listen on, at 127.0.0.1
    #[arg(long)]
    port: u16,
    /// Where to forward to, IP:PORT
    #[arg(long)]
    backend: SocketAddr,
    /// Threads of the service
    #[arg(long, default_value_t = 2)]
    workers: usize,
}

#[derive(Debug)]
struct Proxy {
    backend: SocketAddr,
    host: String,
    port: String,
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _session: &mut Session, _context: &mut ()) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.backend, false, String::new())))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        _context: &mut (),
    ) -> pingora::Result<()> {
        if let Some(client) = session.client_addr().and_then(|address| address.as_inet()) {
            request.insert_header("x-forwarded-for", client.ip().to_string())?;
        }
        if let Some(host) = request.headers.get("host").cloned() {
            request.insert_header("x-forwarded-host", host)?;
        }
        request.insert_header("host", self.host.as_str())?;
        request.insert_header("x-forwarded-proto", "http")?;
        request.insert_header("x-forwarded-port", self.port.as_str())?;
        request.insert_header("gray", "PROD")
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    let conf = ServerConf {
        threads: args.workers.max(1),
        upstream_keepalive_pool_size: 512,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let proxy = Proxy { backend: args.backend, host: args.backend.to_string(), port: args.port.to_string() };
    let mut service = http_proxy_service(&server.configuration, proxy);
    if let Some(proxy) = service.app_logic_mut() {
        // HTTP/2 without TLS too, for clients that begin with it.
        proxy.server_options.get_or_insert_default().h2c = true;
    }
    service.add_tcp(&SocketAddr::from((Ipv4Addr::LOCALHOST, args.port)).to_string());
    server.add_service(service);
    server.run_forever()
}
