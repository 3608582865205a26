//! HTTP/2 on either side: a client and a backend that speak it, by hyper.

mod abuse;
mod clients;
pub(crate) mod frames;
mod grpc;
mod instances;
mod interim;
mod leaving;
mod tonic;

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response, request::Parts};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::http2::SendRequest,
    server::conn::http2::Builder,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
    task::JoinHandle,
};

use crate::support::{Gateway, instance, soon, spawn};

pub(crate) type Content = UnsyncBoxBody<Bytes, std::io::Error>;
/// Puts frames into a body.
pub(crate) type Feed = mpsc::UnboundedSender<Result<Frame<Bytes>, std::io::Error>>;

pub(crate) fn empty() -> Content {
    Empty::new().map_err(|never: Infallible| match never {}).boxed_unsync()
}

pub(crate) fn full(bytes: impl Into<Bytes>) -> Content {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body that ends when its feed is dropped.
pub(crate) fn fed() -> (Feed, Content) {
    let (feed, frames) = mpsc::unbounded_channel();
    let frames = stream::unfold(frames, |mut frames| async { Some((frames.recv().await?, frames)) });
    (feed, StreamBody::new(frames).boxed_unsync())
}

pub(crate) fn data(bytes: &'static str) -> Result<Frame<Bytes>, std::io::Error> {
    Ok(Frame::data(bytes.into()))
}

pub(crate) fn trailers(fields: &[(&'static str, &'static str)]) -> Result<Frame<Bytes>, std::io::Error> {
    let line =
        |(name, value): &(&'static str, &'static str)| (name.parse().expect("name"), value.parse().expect("value"));
    Ok(Frame::trailers(fields.iter().map(line).collect()))
}

/// The one value under a name.
pub(crate) fn field<'h>(fields: &'h HeaderMap, name: &str) -> &'h str {
    let mut values = fields.get_all(name).iter();
    let (value, more) = (values.next().expect(name), values.next());
    assert!(more.is_none(), "{name} in {fields:?}");
    value.to_str().expect("text")
}

// ---- client

/// A connection with prior knowledge.
pub(crate) struct H2Client {
    pub(crate) sender: SendRequest<Content>,
    pub(crate) connection: JoinHandle<hyper::Result<()>>,
}

/// A response that was read to its end.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) head: http::response::Parts,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Whole {
    pub(crate) async fn of(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let collected = soon(body.collect()).await.expect("a whole body");
        let trailers = collected.trailers().cloned();
        Self { head, body: collected.to_bytes(), trailers }
    }

    pub(crate) fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).map(|value| value.to_str().expect("text"))
    }
}

impl H2Client {
    pub(crate) async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let shaking = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = soon(shaking).await.expect("handshake");
        Self { sender, connection: spawn(connection) }
    }

    /// The request, as far as the head of its response.
    pub(crate) async fn begin(&mut self, request: Request<Content>) -> Response<Incoming> {
        soon(self.sender.send_request(request)).await.expect("a response")
    }

    pub(crate) async fn send(&mut self, request: Request<Content>) -> Whole {
        Whole::of(self.begin(request).await).await
    }

    /// Waits for the gateway to end the connection.
    pub(crate) async fn ended(self) -> bool {
        // By an error or without one.
        let _ended = soon(self.connection).await.expect("joined");
        self.sender.is_closed()
    }
}

impl Gateway {
    pub(crate) async fn h2(&self) -> H2Client {
        H2Client::over(soon(TcpStream::connect(self.address)).await.expect("connected")).await
    }
}

/// A request for `/api/x` of `shop:7000`, with more fields.
pub(crate) fn ask(method: &str, fields: &[(&str, &str)], body: Content) -> Request<Content> {
    let mut request = Request::builder().method(method).uri("http://shop:7000/api/x");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(body).expect("a request")
}

pub(crate) fn get(fields: &[(&str, &str)]) -> Request<Content> {
    ask("GET", fields, empty())
}

// ---- backend

/// An instance that speaks nothing but HTTP/2.
#[derive(Clone)]
pub(crate) struct H2Backend {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Mutex<Vec<Arc<Parts>>>>,
    pub(crate) connections: Arc<AtomicUsize>,
    /// Ends the connections that there are, politely.
    pub(crate) end: Arc<Notify>,
    /// Refuses new ones.
    pub(crate) refuse: Arc<Notify>,
}

impl H2Backend {
    /// Answers every request by the function.
    pub(crate) async fn serving<F, R>(answer: F) -> Self
    where
        F: Fn(Arc<Parts>, Incoming) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<Content>> + Send + 'static,
    {
        Self::wrapped(|socket| async { Some(socket) }, |_| {}, answer).await
    }

    /// Answers 200 with its name and what was sent.
    pub(crate) async fn echo(name: &'static str) -> Self {
        Self::serving(move |_, body| async move {
            let sent = body.collect().await.expect("a whole body").to_bytes();
            Response::new(full([name.as_bytes(), &sent].concat()))
        })
        .await
    }

    pub(crate) async fn wrapped<W, V, S, F, R>(
        wrap: W,
        set: impl Fn(&mut Builder<TokioExecutor>) + Send + 'static,
        answer: F,
    ) -> Self
    where
        W: Fn(TcpStream) -> V + Send + Sync + 'static,
        V: Future<Output = Option<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Fn(Arc<Parts>, Incoming) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<Content>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("bound");
        let backend = Self {
            address,
            seen: Arc::default(),
            connections: Arc::default(),
            end: Arc::default(),
            refuse: Arc::default(),
        };
        let this = backend.clone();
        spawn(async move {
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = this.refuse.notified() => return,
                };
                let Ok((socket, _)) = accepted else { return };
                this.connections.fetch_add(1, SeqCst);
                let (wrapping, answer, seen) = (wrap(socket), answer.clone(), Arc::clone(&this.seen));
                let end = Arc::clone(&this.end);
                let mut builder = Builder::new(TokioExecutor::new());
                set(&mut builder);
                spawn(async move {
                    let Some(stream) = wrapping.await else { return };
                    let service = service_fn(move |request: Request<Incoming>| {
                        let (head, body) = request.into_parts();
                        let head = Arc::new(head);
                        seen.lock().expect("lock").push(Arc::clone(&head));
                        let answering = answer(head, body);
                        async { Ok::<_, Infallible>(answering.await) }
                    });
                    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
                    let _ended = tokio::select! {
                        ended = serving.as_mut() => ended,
                        () = end.notified() => {
                            serving.as_mut().graceful_shutdown();
                            serving.await
                        }
                    };
                });
            }
        });
        backend
    }

    pub(crate) fn instance(&self, version: &str) -> gray_core::Instance {
        instance(self.address, version)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    pub(crate) fn last(&self) -> Arc<Parts> {
        Arc::clone(self.seen.lock().expect("lock").last().expect("a request"))
    }
}

/// One route `/api/**` to instances of `app` that speak HTTP/2.
pub(crate) const TO_H2: &str = "[{ id: app, uri: 'lb://app', predicates: ['Path=/api/**'], filters: ['StripPrefix=1'], metadata: { protocol: h2 } }]";
