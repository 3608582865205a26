//! The instance: it notes what it is asked, and answers what it is told to.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    request::Answer,
    wire::{self, Head},
};

/// Stands for the backend's address in documents and answers.
pub const BACKEND: &str = "BACKEND";
/// The body of all its answers.
pub(crate) const BODY: &str = "from the instance";

/// A listening instance. Requests come one after the other, so what was told last is for the next.
#[derive(Debug)]
pub struct Backend {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _serving: JoinSet<()>,
}

#[derive(Debug, Default)]
struct State {
    seen: Vec<Head>,
    answers: VecDeque<Answer>,
}

impl Backend {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                connections.spawn(async move {
                    // What a gateway cuts short was noted all the same.
                    let _cut = serve(stream, &state, address).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, state, _serving: serving })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it answers this, and has seen nothing.
    pub(crate) fn told(&self, answers: &[Answer]) {
        let answers = answers.iter().cloned().collect();
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State { seen: Vec::new(), answers };
    }

    /// What it has been asked since.
    pub(crate) fn seen(&self) -> Vec<Head> {
        std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).seen)
    }
}

async fn serve(mut stream: TcpStream, state: &Mutex<State>, address: SocketAddr) -> io::Result<()> {
    let mut bytes = Vec::new();
    let (head, mut body) = loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
        if let Some((head, rest)) = wire::head(&bytes) {
            break (head, rest.to_vec());
        }
    };
    let is_chunked = head.all("transfer-encoding").contains(&"chunked");
    let is_head = head.line.starts_with("HEAD ");
    while if is_chunked { !body.ends_with(b"0\r\n\r\n") } else { body.len() < head.length() } {
        if stream.read_buf(&mut body).await? == 0 {
            return Ok(());
        }
    }
    let answer = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.seen.push(head);
        let last = state.answers.len() == 1;
        let next = if last { state.answers.front().cloned() } else { state.answers.pop_front() };
        next.unwrap_or(Answer { status: 200, fields: Vec::new() })
    };
    tokio::time::sleep(answer.after()).await;
    if answer.status == 0 {
        return Ok(());
    }
    let mut out = format!("HTTP/1.1 {} Told\r\nContent-Type: text/plain\r\nConnection: close\r\n", answer.status);
    for (name, value) in answer.sent() {
        out.push_str(&format!("{name}: {}\r\n", value.replace(BACKEND, &address.to_string())));
    }
    if answer.status == 204 || answer.status == 304 {
        out.push_str("\r\n");
    } else {
        out.push_str(&format!("Content-Length: {}\r\n\r\n{}", BODY.len(), if is_head { "" } else { BODY }));
    }
    stream.write_all(out.as_bytes()).await?;
    stream.shutdown().await
}
