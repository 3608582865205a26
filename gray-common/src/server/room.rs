//! Room for so many connections.

use std::{
    cmp::Reverse,
    collections::HashMap,
    future::Future,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::activity::Activity;

/// Idle connections that are closed at once when there is no room, at most: to look for them costs a look at all.
const EVICTED_AT_ONCE: usize = 32;
/// Refusals that are said at a time; more are just closed.
const MAX_SAID: usize = 16;
/// How long a client may take to hear one.
const SAY: Duration = Duration::from_secs(1);

/// Who is there.
#[derive(Debug)]
pub(super) struct Room {
    max: usize,
    connections: Mutex<Connections>,
    said: AtomicUsize,
    refused: AtomicU64,
    evicted: AtomicU64,
}

#[derive(Debug, Default)]
struct Connections {
    next: u64,
    open: HashMap<u64, Arc<Activity>>,
}

impl Connections {
    /// Asks those to leave that have been idle for longest, and no longer counts them.
    fn evict(&mut self, count: usize) -> usize {
        let idle = |(id, activity): (&u64, &Arc<Activity>)| Some((activity.idle()?, *id));
        let mut idle: Vec<_> = self.open.iter().filter_map(idle).collect();
        // Of those that have been idle for the same time, the oldest connection.
        idle.sort_unstable_by_key(|(idle, id)| (Reverse(*idle), *id));
        idle.truncate(count);
        for (_, id) in &idle {
            if let Some(activity) = self.open.remove(id) {
                activity.ask_to_close();
            }
        }
        idle.len()
    }
}

impl Room {
    /// Room for `max`; 0: no limit.
    pub(super) fn new(max: usize) -> Arc<Self> {
        let (said, refused, evicted) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Self { max, connections: Mutex::default(), said, refused, evicted })
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        // They stay sound whatever panicked.
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more, if there is room or one is idle.
    pub(super) fn enter(self: &Arc<Self>, activity: &Arc<Activity>) -> Option<Place> {
        let mut connections = self.connections();
        if self.max > 0 && connections.open.len() >= self.max {
            let evicted = connections.evict((self.max / 8).clamp(1, EVICTED_AT_ONCE));
            self.evicted.fetch_add(evicted as u64, Relaxed);
            if evicted == 0 {
                self.refused.fetch_add(1, Relaxed);
                return None;
            }
        }
        let id = connections.next;
        connections.next += 1;
        connections.open.insert(id, Arc::clone(activity));
        Some(Place { room: Arc::clone(self), id })
    }

    pub(super) fn taken(&self) -> usize {
        self.connections().open.len()
    }

    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.connections().open.values().filter(|activity| activity.idle().is_some()).count()
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted.load(Relaxed)
    }

    /// Tells a client that there is no room, if that is not too much to ask.
    pub(super) fn turn_away(self: &Arc<Self>, socket: TcpStream) -> Option<impl Future<Output = ()> + Send + use<>> {
        if self.said.fetch_add(1, Relaxed) >= MAX_SAID {
            self.said.fetch_sub(1, Relaxed);
            return None;
        }
        let room = Arc::clone(self);
        Some(async move {
            // Whether it was heard makes no difference.
            let _heard = timeout(SAY, refuse(socket)).await;
            room.said.fetch_sub(1, Relaxed);
        })
    }
}

async fn refuse(mut socket: TcpStream) -> io::Result<()> {
    let body = r#"{"code":503,"msg":"too many connections","data":null,"success":false,"fail":true}"#;
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\nretry-after: 1\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(answer.as_bytes()).await?;
    socket.shutdown().await?;
    // To close on an unread request would take the answer back.
    let mut ignored = [0; 1024];
    while socket.read(&mut ignored).await? > 0 {}
    Ok(())
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    room: Arc<Room>,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.connections().open.remove(&self.id);
    }
}
