//! A service of the scorecard: takes any request, writes its id into a ledger, and answers with its version.
//!
//! It is a service like any other (registration, drain), so what it loses every service would lose.

use std::{
    convert::Infallible,
    fs::{File, OpenOptions},
    io::Write as _,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, Method, StatusCode, header::CONTENT_LENGTH},
    response::{IntoResponse as _, Response},
    routing::put,
};
use clap::Parser;
use e2e_tests::load::{DELAY, ID, SEEN, SIZE, VERSION};
use futures_util::{Stream, stream};
use gray_common::service::{self, ServiceArgs};
use tokio::sync::Semaphore;

#[derive(Debug, Parser)]
#[command(name = "ledger-app")]
struct Args {
    #[command(flatten)]
    service: ServiceArgs,
    /// Name to register
    #[arg(long, default_value = "shop")]
    registered_as: String,
    /// File that gets a line for each request
    #[arg(long)]
    ledger: PathBuf,
    /// Requests worked on at a time
    #[arg(long, default_value = "100000")]
    at_a_time: usize,
    /// Time that each takes
    #[arg(long, default_value = "0")]
    work_ms: u64,
}

struct Shop {
    version: String,
    port: u16,
    ledger: File,
    places: Semaphore,
    work: Duration,
    /// What is answered instead, if not 200.
    status: AtomicU16,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    service::run(&args.registered_as, 7300, &args.service, async |gray| {
        let shop = Arc::new(Shop {
            version: gray.version().to_owned(),
            port: gray.port(),
            ledger: OpenOptions::new().create(true).append(true).open(&args.ledger)?,
            places: Semaphore::new(args.at_a_time),
            work: Duration::from_millis(args.work_ms),
            status: AtomicU16::new(200),
        });
        Ok(Router::new().route("/told/status/{status}", put(told)).fallback(serve).with_state(shop))
    })
    .await
}

/// From now on every request gets this status.
async fn told(State(shop): State<Arc<Shop>>, Path(status): Path<u16>) -> StatusCode {
    shop.status.store(status, Relaxed);
    StatusCode::NO_CONTENT
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// A long body that takes no memory.
fn pieces(size: usize) -> impl Stream<Item = Result<Bytes, Infallible>> {
    static PIECE: [u8; 64 * 1024] = [b'x'; 64 * 1024];
    let count = size.div_ceil(PIECE.len());
    let piece = move |index: usize| Ok(Bytes::from_static(&PIECE[..PIECE.len().min(size - index * PIECE.len())]));
    stream::iter((0..count).map(piece))
}

/// Everything that a server behind us might take for the tag, in any spelling.
fn tags(headers: &HeaderMap) -> String {
    let is_tag = |name: &str| name.chars().filter(char::is_ascii_alphanumeric).eq("gray".chars());
    let values = headers.iter().filter(|(name, _)| is_tag(name.as_str()));
    values.map(|(_, value)| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect::<Vec<_>>().join(",")
}

async fn serve(State(shop): State<Arc<Shop>>, method: Method, headers: HeaderMap, body: Bytes) -> Response {
    let id = header(&headers, ID).unwrap_or("-");
    // A POST carries its id twice: a body under another's head would show here.
    let body_id = body.split(|byte| *byte == b' ').next().unwrap_or_default();
    let mixed = method == Method::POST && body_id != id.as_bytes();
    // One write appends a line whole, and what is written outlives a kill -9.
    let line = format!("{id} {method} {}{}\n", shop.version, if mixed { " mixed" } else { "" });
    if let Err(error) = (&shop.ledger).write_all(line.as_bytes()) {
        return (StatusCode::INSUFFICIENT_STORAGE, format!("the ledger cannot be written: {error}")).into_response();
    }
    let number = |name| header(&headers, name).and_then(|text| text.parse::<u64>().ok());
    let delay = shop.work + Duration::from_millis(number(DELAY).unwrap_or(0));
    if !delay.is_zero() {
        let _place = shop.places.acquire().await;
        tokio::time::sleep(delay).await;
    }
    let status = StatusCode::from_u16(shop.status.load(Relaxed)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = Response::builder()
        .status(status)
        .header(ID, id)
        .header(VERSION, &shop.version)
        .header(SEEN, tags(&headers))
        .header("x-port", shop.port);
    let body = match number(SIZE).and_then(|size| usize::try_from(size).ok()) {
        Some(size) => {
            answer = answer.header(CONTENT_LENGTH, size);
            Body::from_stream(pieces(size))
        }
        None => Body::from(id.to_owned()),
    };
    answer.body(body).unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}
