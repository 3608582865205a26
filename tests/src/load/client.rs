//! One request at a time on connections of our own: a client library would send some again behind our back.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, header::HOST};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{ID, Outcome, Plan, SIZE, VERSION};

type Connection = SendRequest<Full<Bytes>>;

#[derive(Clone, Debug)]
pub(super) struct Client {
    plan: Arc<Plan>,
    run: u32,
    idle: Arc<Mutex<Vec<(Connection, Instant)>>>,
}

/// Below what servers grant (the gateway 75 s): a request that meets the end of a connection on its way is lost, with HTTP/1
/// as it is, and clients keep clear of that.
const IDLE: Duration = Duration::from_secs(20);

/// The id of a request.
pub(super) fn id(run: u32, number: u64) -> String {
    format!("{run:08x}-{number}")
}

impl Client {
    pub(super) fn new(plan: Arc<Plan>, run: u32) -> Self {
        Self { plan, run, idle: Arc::default() }
    }

    pub(super) async fn request(&self, number: u64, kind: usize, post: bool, fresh: bool, due: Instant) -> Outcome {
        let limit = tokio::time::Instant::from_std(due + self.plan.limit);
        let exchange = self.exchange(number, kind, post, fresh);
        tokio::time::timeout_at(limit, exchange).await.unwrap_or(Outcome::TimedOut)
    }

    async fn exchange(&self, number: u64, kind: usize, post: bool, fresh: bool) -> Outcome {
        let id = id(self.run, number);
        let mut request = self.write(&id, kind, post);
        loop {
            let kept = if fresh { None } else { self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop() };
            let was_kept = kept.is_some();
            let mut connection = match kept {
                Some((connection, since)) if !connection.is_ready() || since.elapsed() > IDLE => continue,
                Some((connection, _)) => connection,
                None => match self.connect().await {
                    Ok(connection) => connection,
                    Err(error) => return Outcome::Refused(error.into()),
                },
            };
            match connection.try_send_request(request).await {
                Ok(answer) => {
                    let outcome = read(&id, answer).await;
                    if !fresh && matches!(outcome, Outcome::Answered { .. }) && connection.ready().await.is_ok() {
                        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((connection, Instant::now()));
                    }
                    return outcome;
                }
                // Closed while it lay idle, and not one byte was written: another connection. Anything else is a reset.
                Err(mut error) => match error.take_message() {
                    Some(unsent) if was_kept => request = unsent,
                    _ => return Outcome::Reset(format!("{:?}", error.into_error()).into()),
                },
            }
        }
    }

    fn write(&self, id: &str, kind: usize, post: bool) -> Request<Full<Bytes>> {
        let Some(kind) = self.plan.kinds.get(kind) else { return Request::default() };
        let method = if post { Method::POST } else { Method::GET };
        let filled = |text: &str| text.replace("{id}", id);
        let request = Request::builder().method(method).uri(filled(&kind.path));
        let request = request.header(HOST, &self.plan.address).header(ID, id);
        let request = kind.headers.iter().fold(request, |request, (name, value)| request.header(name, filled(value)));
        let body = if post { Bytes::from(format!("{id} a body of a few more bytes")) } else { Bytes::new() };
        request.body(Full::new(body)).unwrap_or_default()
    }

    async fn connect(&self) -> Result<Connection, String> {
        let stream = TcpStream::connect(&self.plan.address).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<Box<str>> {
    Some(headers.get(name)?.to_str().ok()?.into())
}

async fn read(id: &str, answer: http::Response<hyper::body::Incoming>) -> Outcome {
    let (head, body) = answer.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Outcome::Reset(format!("{} and then {error:?}", head.status).into()),
    };
    let version = text(&head.headers, VERSION);
    // An answer of the gateway's own has neither.
    let whose = text(&head.headers, ID);
    let same = body == id.as_bytes() || body.len() > 200 || head.headers.contains_key(SIZE);
    if version.is_some() && (whose.as_deref() != Some(id) || !same) {
        return Outcome::Mixed(format!("the answer to {whose:?}").into());
    }
    Outcome::Answered { status: head.status.as_u16(), version }
}
