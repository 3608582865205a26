//! One connection: its requests, one after the other, and its end.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{
    BoxError,
    body::{Body, Bytes},
    extract::{ConnectInfo, Request},
    response::Response,
};
use hyper::{
    body::{Body as HttpBody, Frame, Incoming, SizeHint},
    server::conn::http1,
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use pin_project_lite::pin_project;
use tokio::{
    sync::watch,
    time::{Instant, Sleep, sleep},
};
use tower_service::Service;

use super::{
    activity::{self, Activity},
    socket::Socket,
};

/// Serves until the client leaves, a limit has passed, or the server stops.
pub(super) async fn serve<S>(
    http: http1::Builder,
    socket: Socket,
    peer: SocketAddr,
    service: S,
    mut is_stopping: watch::Receiver<bool>,
) where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let activity = Arc::clone(socket.activity());
    let service = TowerToHyperService::new(Requests { service, peer, activity: Arc::clone(&activity) });
    let mut connection = pin!(http.serve_connection(TokioIo::new(socket), service).with_upgrades());
    let mut timer = pin!(sleep(activity.limits().idle_timeout));
    let mut stopping = pin!(is_stopping.wait_for(|is| *is));
    let mut is_leaving = false;
    loop {
        tokio::select! {
            biased;
            ended = &mut connection => {
                activity.upgraded();
                if let Err(error) = ended {
                    tracing::trace!(%peer, %error, "connection broken off");
                }
                return;
            }
            () = poll_fn(|cx| activity.poll_overdue(timer.as_mut(), cx)) => {
                tracing::debug!(%peer, "time is up: connection closed");
                return;
            }
            _ = &mut stopping, if !is_leaving => {}
            () = activity.is_asked_to_close(), if !is_leaving => {}
        }
        // Closes it at once if it is idle.
        connection.as_mut().graceful_shutdown();
        is_leaving = true;
    }
}

/// The service, for the requests of one connection.
#[derive(Clone)]
struct Requests<S> {
    service: S,
    peer: SocketAddr,
    activity: Arc<Activity>,
}

impl<S> Service<http::Request<Incoming>> for Requests<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = http::Response<Outgoing>;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Incoming>) -> Self::Future {
        let answer = self.activity.begin();
        let mut request = request.map(|body| Body::new(Upload::new(body, answer.another())));
        request.extensions_mut().insert(ConnectInfo(self.peer));
        Answering { answer: self.service.call(request), open: Some(answer) }
    }
}

pin_project! {
    /// An answer that has not begun.
    struct Answering<F> {
        #[pin]
        answer: F,
        open: Option<activity::Body>,
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Answering<F> {
    type Output = Result<http::Response<Outgoing>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(answer) = ready!(this.answer.poll(cx));
        let open = this.open.take();
        Poll::Ready(Ok(answer.map(|body| Outgoing { body, _open: open })))
    }
}

/// An answer's body, known to be under way until it is dropped.
struct Outgoing {
    body: Body,
    _open: Option<activity::Body>,
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request's body, for which a handler waits only so long.
struct Upload {
    body: Incoming,
    open: Option<activity::Body>,
    /// Made when a handler has to wait for the first time.
    timer: Option<Pin<Box<Sleep>>>,
    waits: bool,
}

impl Upload {
    fn new(body: Incoming, open: activity::Body) -> Self {
        let open = (!body.is_end_stream()).then_some(open);
        Self { body, open, timer: None, waits: false }
    }

    /// Ready when the client has sent nothing for too long.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(open) = &self.open else { return Poll::Pending };
        let limit = open.activity().limits().body_timeout;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        if !std::mem::replace(&mut self.waits, true) {
            timer.as_mut().reset(Instant::now() + limit);
        }
        timer.as_mut().poll(cx)
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            ready!(self.poll_late(cx));
            let late = io::Error::new(io::ErrorKind::TimedOut, "nothing came of the request's body for too long");
            return Poll::Ready(Some(Err(late.into())));
        };
        self.waits = false;
        if !matches!(frame, Some(Ok(_))) || self.body.is_end_stream() {
            self.open = None;
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(open) = &self.open {
            open.activity().left_unread();
        }
    }
}
