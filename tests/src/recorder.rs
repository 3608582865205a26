//! A user-app of the test: keeps the headers it gets, and answers when it is told to.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::{Json, Router, extract::State, http::HeaderMap, routing::get};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{eventually, ports};

/// A running service; ends when dropped.
#[derive(Debug)]
pub struct Recorder {
    /// Its port.
    pub port: u16,
    seen: Arc<Mutex<Vec<HeaderMap>>>,
    open: watch::Sender<bool>,
    server: JoinHandle<()>,
}

#[derive(Clone)]
struct Shared {
    answer: Value,
    seen: Arc<Mutex<Vec<HeaderMap>>>,
    open: watch::Receiver<bool>,
}

async fn answer(State(mut shared): State<Shared>, headers: HeaderMap) -> Json<Value> {
    shared.seen.lock().unwrap_or_else(PoisonError::into_inner).push(headers);
    // An error means that the recorder is gone, and with it the client that waits for this answer.
    drop(shared.open.wait_for(|open| *open).await);
    Json(shared.answer)
}

impl Recorder {
    /// Answers every request for a user in the name of this version.
    pub async fn start(version: &str) -> Result<Self> {
        let [port] = ports::free()?;
        let (open, waiting) = watch::channel(true);
        let seen = Arc::<Mutex<Vec<HeaderMap>>>::default();
        let data = format!("a user - port={port} - mateVersion={version}");
        let answered = json!({ "code": 200, "msg": "成功！", "data": data, "success": true, "fail": false });
        let shared = Shared { answer: answered, seen: Arc::clone(&seen), open: waiting };
        let app = Router::new().route("/user/{user}", get(answer)).with_state(shared);
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let server = tokio::spawn(async move { drop(axum::serve(listener, app).await) });
        Ok(Self { port, seen, open, server })
    }

    /// From now on requests wait, or go on.
    pub fn open(&self, open: bool) {
        self.open.send_replace(open);
    }

    /// The headers of the requests so far.
    pub fn seen(&self) -> Vec<HeaderMap> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All values of a header of the newest request.
    pub fn last(&self, name: &str) -> Vec<String> {
        let seen = self.seen();
        let values = seen.last().into_iter().flat_map(|headers| headers.get_all(name));
        values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    }

    /// Waits until so many requests have come.
    pub async fn has_seen(&self, count: usize) -> Result<()> {
        eventually("requests arrive", || async {
            let seen = self.seen().len();
            anyhow::ensure!(seen >= count, "{seen} of {count}");
            Ok(())
        })
        .await
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.server.abort();
    }
}
