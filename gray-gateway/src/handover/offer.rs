//! The old gateway's half: it offers its sockets for as long as it serves.

use std::{io, path::Path, sync::Arc};

use tokio::{
    net::UnixStream,
    sync::{Semaphore, mpsc},
    task::JoinSet,
};

use super::{HandoverError, Listening, MAX_SOCKETS, Message, Speaker, in_time, socket, stranger, wire};

/// Our sockets, for the next gateway that asks. Dropping it takes the offer back, and the path away if it is still ours.
#[derive(Debug)]
pub struct Offer {
    successors: mpsc::Receiver<Successor>,
    task: JoinSet<()>,
}

/// A gateway that has our sockets and accepts.
#[derive(Debug)]
pub struct Successor {
    stream: UnixStream,
    /// By which callers know it.
    pub address: String,
    /// Process ID.
    pub process: u32,
}

impl Offer {
    /// Offers these sockets, which should be duplicates, at this path. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When there can be no socket at that path.
    pub fn open(path: &Path, listening: Listening) -> Result<Self, HandoverError> {
        let bound = socket::Bound::new(path)?;
        let (sender, successors) = mpsc::channel(1);
        let mut task = JoinSet::new();
        task.spawn(serve(bound, Arc::new(listening), sender));
        Ok(Self { successors, task })
    }

    /// Waits for a gateway that is ready to serve in our place. Cancel safe.
    pub async fn taken(&mut self) -> Successor {
        match self.successors.recv().await {
            Some(successor) => successor,
            None => std::future::pending().await,
        }
    }

    /// Takes the offer back: from here on our duplicates of the sockets are closed.
    pub async fn close(mut self) {
        self.task.shutdown().await;
    }
}

impl Successor {
    /// Tells it that we accept no more.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn closed(self) -> io::Result<()> {
        in_time(wire::send(&self.stream, &Message::Closed, &[])).await
    }
}

async fn serve(bound: socket::Bound, listening: Arc<Listening>, successors: mpsc::Sender<Successor>) {
    let one_at_a_time = Arc::new(Semaphore::new(1));
    // A set, because it ends the conversations with the offer.
    let mut talks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = bound.listener.accept() => accepted,
            Some(_) = talks.join_next() => continue,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "handover: cannot accept");
                // Out of file descriptors, most likely.
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                continue;
            }
        };
        let (place, listening, successors) =
            (Arc::clone(&one_at_a_time).try_acquire_owned(), Arc::clone(&listening), successors.clone());
        talks.spawn(async move {
            let outcome = match place {
                Ok(_place) => pass(stream, &listening, &successors).await,
                Err(_) => in_time(refuse(&stream, "it is passing its sockets on already, to another".to_owned())).await,
            };
            if let Err(error) = outcome {
                tracing::warn!("handover not completed, serving on: {error}");
            }
        });
    }
}

/// Passes the sockets to the process that asks, and waits until it serves.
async fn pass(stream: UnixStream, listening: &Listening, successors: &mpsc::Sender<Successor>) -> io::Result<()> {
    socket::check_peer(&stream)?;
    let asking = match in_time(wire::receive(&stream)).await {
        Ok(Some((Message::Ask(speaker), _))) => speaker,
        // A process that only connected.
        Ok(None) => return Ok(()),
        Ok(Some(_)) => return in_time(refuse(&stream, "it was not asked for sockets".to_owned())).await,
        Err(error) => {
            in_time(refuse(&stream, format!("it does not understand: {error}"))).await?;
            return Err(error);
        }
    };
    if let Some(reason) = stranger(&asking) {
        tracing::warn!("handover refused: {reason}");
        return in_time(refuse(&stream, reason)).await;
    }
    tracing::info!(process = asking.process, version = asking.version, "handover: passing sockets, serving on");
    let all = listening.each();
    let mut left = all.chunks(MAX_SOCKETS).peekable();
    while let Some(chunk) = left.next() {
        let (roles, sockets): (Vec<_>, Vec<_>) = chunk.iter().copied().unzip();
        let message = Message::Sockets { roles, more: left.peek().is_some(), from: Speaker::own() };
        in_time(wire::send(&stream, &message, &sockets)).await?;
    }
    // However long it takes to get ready.
    match wire::receive(&stream).await? {
        Some((Message::Ready { address }, _)) => {
            // The caller does not wait any more: we are stopping anyway.
            let _sent = successors.send(Successor { stream, address, process: asking.process }).await;
            Ok(())
        }
        Some((other, _)) => Err(io::Error::other(format!("it says {other:?}"))),
        None => Err(io::Error::other("the new gateway ended before it was ready")),
    }
}

async fn refuse(stream: &UnixStream, reason: String) -> io::Result<()> {
    wire::send(stream, &Message::Refused(reason), &[]).await
}
