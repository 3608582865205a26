//! Sending a request to one instance: over a pooled connection, or a new one.

use std::{future::poll_fn, io, net::SocketAddr, pin::pin, rc::Rc, sync::LazyLock, task::Poll, time::Duration};

use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, client::conn::http1::Builder};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::{
    body::UploadBody,
    connection::{GaveUp, State},
    pool::{Bucket, Lease, Sender},
};
use crate::tls::UpstreamTls;

/// Whom to dial: the registry's or the configuration's word, never the request's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dial<'d> {
    pub(super) address: Option<SocketAddr>,
    pub(super) host: &'d str,
    pub(super) port: u16,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) connect: Duration,
    pub(super) response_ticks: u64,
}

/// Why there is no response.
#[derive(Debug)]
pub(super) enum SendError {
    /// Nothing was sent; the request is back in its slot.
    Unsent(io::Error),
    /// Something may have been sent.
    Broken(hyper::Error),
    /// It took too long.
    GaveUp(GaveUp),
}

/// Sends the request in `slot` and waits for the head of the response.
pub(super) async fn send(
    state: &State,
    bucket: &Rc<Bucket>,
    dial: Dial<'_>,
    patience: Patience,
    slot: &mut Option<Request<UploadBody>>,
) -> Result<(Response<Incoming>, Lease), SendError> {
    loop {
        let pooled = bucket.checkout();
        let is_new = pooled.is_none();
        let mut sender = match pooled {
            Some(sender) => sender,
            None => connect(dial, bucket.tls(), patience.connect).await.map_err(SendError::Unsent)?,
        };
        let Some(request) = slot.take() else {
            return Err(SendError::Unsent(io::Error::other("there is no request to send")));
        };
        state.sending(patience.response_ticks, !request.body().is_end_stream());
        let mut sent = pin!(sender.try_send_request(request));
        let outcome = poll_fn(|cx| match sent.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(Ok(outcome)),
            Poll::Pending => state.gave_up().map_or(Poll::Pending, |gave_up| Poll::Ready(Err(gave_up))),
        })
        .await;
        state.busy();
        match outcome {
            Ok(Ok(response)) => return Ok((response, Lease::new(sender, Rc::clone(bucket)))),
            Err(gave_up) => return Err(SendError::GaveUp(gave_up)),
            Ok(Err(mut error)) => match error.take_message() {
                None => return Err(SendError::Broken(error.into_error())),
                // The connection was closed before a byte of the request was written.
                Some(request) => {
                    *slot = Some(request);
                    if is_new {
                        return Err(SendError::Unsent(io::Error::other(error.into_error())));
                    }
                }
            },
        }
    }
}

async fn connect(dial: Dial<'_>, tls: Option<&UpstreamTls>, limit: Duration) -> io::Result<Sender> {
    let connecting = async {
        let socket = match dial.address {
            Some(address) => TcpStream::connect(address).await?,
            None => TcpStream::connect((dial.host, dial.port)).await?,
        };
        socket.set_nodelay(true)?;
        match tls {
            None => speak(socket).await,
            // In a box, so that plain requests do not carry the room for a handshake.
            Some(tls) => Box::pin(async { speak(tls.connect(dial.host, socket).await?).await }).await,
        }
    };
    match tokio::time::timeout(limit, connecting).await {
        Ok(connected) => connected,
        Err(_) => {
            let what = if tls.is_some() { "TLS connection" } else { "connection" };
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("no {what} within {limit:?}")))
        }
    }
}

/// HTTP on a stream that is ready for it.
async fn speak<T>(stream: T) -> io::Result<Sender>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    static HTTP: LazyLock<Builder> = LazyLock::new(|| {
        let mut http = Builder::new();
        http.preserve_header_case(true);
        http
    });
    let (sender, connection) = HTTP.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::task::spawn_local(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "upstream connection ended");
        }
    });
    Ok(sender)
}
