//! Sockets to the servers, with TLS or without.

use std::{fmt, io, path::Path, sync::Arc, time::Duration};

use gray_registry::CallError;
use gray_tls::{TlsError, Trust, server_name};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::NacosOptions;

/// How long one server may take to accept a connection, and to say its first word on it.
const REACH_TIMEOUT: Duration = Duration::from_secs(2);
/// A client's greeting (RFC 9113, 3.4): the preface, and settings of which there are none.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// What is spoken over TLS (ALPN): on the HTTP port, and on the gRPC port.
const HTTP1: &[u8] = b"http/1.1";
const HTTP2: &[u8] = b"h2";
/// Type of the frame that a server has to begin with.
const SETTINGS: u8 = 4;

/// A connection to a server.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// Whose certificates are believed when Nacos is spoken to over TLS.
#[derive(Clone)]
pub struct NacosTls(Arc<Trust>);

impl NacosTls {
    /// Believes Mozilla's roots, and the certificates of this file (`--nacos-ca`).
    ///
    /// # Errors
    /// When the file cannot be read, or has anything but certificates that may be trusted.
    pub fn new(ca: Option<&Path>) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(Trust::new("--nacos-ca", ca)?)))
    }
}

impl fmt::Debug for NacosTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NacosTls").finish_non_exhaustive()
    }
}

/// A connection to the HTTP port of a server.
pub(super) async fn http(options: &NacosOptions, host: &str, port: u16) -> io::Result<Box<dyn Socket>> {
    timeout(REACH_TIMEOUT, dial(options, HTTP1, host, port)).await.unwrap_or_else(|_| Err(silence()))
}

/// A connection to the gRPC port of one of the servers, any that is alive: it has just spoken HTTP/2 on another one.
///
/// Every server is asked in turn, beginning with any of them, so that many clients spread. The error names them all.
pub(super) async fn grpc(options: &NacosOptions) -> Result<Box<dyn Socket>, CallError> {
    let mut servers = options.servers().map_err(CallError::Failed)?;
    fastrand::shuffle(&mut servers);
    let mut failures = Vec::new();
    for (host, http_port) in servers {
        let port = options.grpc_port_of(http_port);
        let attempt = async {
            greet(dial(options, HTTP2, &host, port).await?, options.tls.is_some()).await?;
            dial(options, HTTP2, &host, port).await
        };
        match timeout(REACH_TIMEOUT, attempt).await.unwrap_or_else(|_| Err(silence())) {
            Ok(socket) => return Ok(socket),
            Err(error) => failures.push(format!("gRPC port {port} of {host}: {error}")),
        }
    }
    Err(CallError::Failed(failures.join("; ")))
}

async fn dial(options: &NacosOptions, spoken: &[u8], host: &str, port: u16) -> io::Result<Box<dyn Socket>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let socket = TcpStream::connect((bare, port)).await?;
    socket.set_nodelay(true)?;
    let Some(NacosTls(trust)) = &options.tls else { return Ok(Box::new(socket)) };
    let connector = TlsConnector::from(trust.config()?);
    let shaken = connector.with_alpn(vec![spoken.to_vec()]).connect(server_name(bare)?, socket).await;
    Ok(Box::new(shaken.map_err(|error| trust.explain(&error, bare))?))
}

/// Checks whether a server speaks HTTP/2 there. A kernel accepts connections for a process that hangs, and a proxy for a
/// server that is not there.
async fn greet(mut socket: impl Socket, over_tls: bool) -> io::Result<()> {
    socket.write_all(GREETING).await?;
    let mut frame = [0; 9];
    let read = socket.read(&mut frame).await?;
    let wrong = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidData, what));
    match &frame[..read] {
        [] if over_tls => wrong("it hangs up"),
        [] => wrong("it hangs up; if it wants TLS: --nacos-tls (GRAY_NACOS_TLS)"),
        [0x15, 3, ..] if !over_tls => wrong("it wants TLS: --nacos-tls (GRAY_NACOS_TLS)"),
        [b'H', b'T', b'T', b'P', ..] => wrong("it speaks HTTP/1, no gRPC; is that the HTTP port?"),
        // Length, type: more of the frame may still be on its way.
        [_, _, _, SETTINGS, ..] => Ok(()),
        [..] if read < 4 => Ok(()),
        [..] => wrong("it does not speak gRPC"),
    }
}

fn silence() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {REACH_TIMEOUT:?}"))
}
