//! Who may connect: so many in all, so many of one address. Asked once per connection, never per request.

use std::{
    cell::Cell,
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{refusal::Refusal, socket::let_rest, worker::Worker};
use crate::client_address::counted_as;

/// Idle connections that are closed at once when there is no room: to look for them costs a look at all.
const EVICTED_AT_ONCE: usize = 32;
/// Refusals that are said at a time, by all workers; more are just closed.
pub(crate) const MAX_SAID: usize = 64;
/// How long a client may take to hear one.
const SAY: Duration = Duration::from_secs(1);
/// What the kernel takes of an answer beyond what the client's window has room for. It would take megabytes, at the expense of
/// memory, and show nothing while a client reads them.
#[cfg(target_os = "linux")]
const MAX_UNSENT: u32 = 64 * 1024;
/// So that workers seldom wait for each other.
const SHARDS: usize = 16;

/// Open connections by client, of all workers.
#[derive(Debug)]
pub(super) struct Clients {
    shards: [Mutex<HashMap<IpAddr, usize>>; SHARDS],
    hasher: RandomState,
}

impl Default for Clients {
    fn default() -> Self {
        Self { shards: Default::default(), hasher: RandomState::new() }
    }
}

impl Clients {
    fn change(&self, client: IpAddr, change: impl FnOnce(&mut HashMap<IpAddr, usize>) -> bool) -> bool {
        let shard = &self.shards[(self.hasher.hash_one(client) % SHARDS as u64) as usize];
        // Counts stay sound whatever panicked.
        change(&mut shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One more connection, unless the client has `max`.
    fn enter(self: &Arc<Self>, peer: IpAddr, max: usize) -> Option<Guest> {
        let client = counted_as(peer);
        let entered = self.change(client, |counts| {
            let count = counts.entry(client).or_default();
            let fits = *count < max;
            *count += usize::from(fits);
            fits
        });
        entered.then(|| Guest { clients: Arc::clone(self), client })
    }
}

/// A connection that is counted, until it is dropped.
#[derive(Debug)]
pub(super) struct Guest {
    clients: Arc<Clients>,
    client: IpAddr,
}

impl Drop for Guest {
    fn drop(&mut self) {
        let client = self.client;
        self.clients.change(client, |counts| {
            if let Some(count) = counts.get_mut(&client) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&client);
                }
            }
            true
        });
    }
}

/// One worker's part.
#[derive(Debug, Default)]
pub(super) struct Admission {
    clients: Arc<Clients>,
    /// Connections that may come still for those that were closed.
    room: Cell<usize>,
    /// The tick in which nobody was found idle.
    full_at: Cell<Option<u64>>,
    said: Rc<Cell<usize>>,
    max_said: usize,
}

impl Admission {
    pub(super) fn new(clients: Arc<Clients>, workers: usize) -> Self {
        Self { clients, max_said: (MAX_SAID / workers).max(1), ..Self::default() }
    }
}

impl Worker {
    /// Whether one more connection may come, and what counts it.
    pub(super) fn admit(&self, peer: IpAddr) -> Result<Option<Guest>, Refusal> {
        let (limits, admission) = (&self.limits, &self.admission);
        self.pool.make_room();
        let are_too_many = limits.max_connections > 0 && self.connections_of_all() >= limits.max_connections as u64;
        if (are_too_many || self.descriptors.is_full()) && !self.make_room() {
            return Err(Refusal::Connections);
        }
        if limits.max_connections_per_client == 0 || self.snapshot().trusted_hops.contains(peer) {
            return Ok(None);
        }
        let guest = admission.clients.enter(peer, limits.max_connections_per_client);
        guest.map(Some).ok_or(Refusal::ClientConnections)
    }

    /// Closes the connections that have been idle for longest.
    fn make_room(&self) -> bool {
        let Admission { room, full_at, .. } = &self.admission;
        if room.get() == 0 && full_at.get() != Some(self.now()) {
            let evicted = self.evict(EVICTED_AT_ONCE);
            self.stats().refused_many(Refusal::Evicted, evicted);
            room.set(evicted);
            if evicted == 0 {
                full_at.set(Some(self.now()));
            }
        }
        let left = room.get();
        room.set(left.saturating_sub(1));
        left > 0
    }

    /// Turns a connection away; says why if that is not too much to ask.
    pub(super) fn turn_away(&self, mut socket: TcpStream, why: Refusal, is_plain: bool) {
        self.stats().refused(why);
        let said = Rc::clone(&self.admission.said);
        if !is_plain || said.get() >= self.admission.max_said {
            return;
        }
        said.set(said.get() + 1);
        tokio::task::spawn_local(async move {
            let say = async {
                socket.write_all(answer(why).as_bytes()).await?;
                socket.shutdown().await?;
                // To close on a request that nobody has read would take the answer back.
                let mut ignored = [0; 1024];
                while socket.read(&mut ignored).await? > 0 {}
                Ok::<_, std::io::Error>(())
            };
            // Whether it was heard makes no difference.
            let _heard = timeout(SAY, say).await;
            said.set(said.get() - 1);
        });
    }

    /// Has the kernel cut off a client whose window stays shut, and show when one reads slowly.
    pub(super) fn limit_silence(&self, socket: &TcpStream) {
        let limited = let_rest(socket, self.limits.write_timeout);
        #[cfg(target_os = "linux")]
        let limited = limited.and_then(|()| SockRef::from(socket).set_tcp_notsent_lowat(MAX_UNSENT));
        if let Err(error) = limited {
            tracing::debug!(%error, "slow readers may be noticed late");
        }
    }
}

fn answer(why: Refusal) -> String {
    let (code, reason, msg) = match why {
        Refusal::ClientConnections => (429, "Too Many Requests", "too many connections from this address"),
        _ => (503, "Service Unavailable", "the gateway has too many connections"),
    };
    let body = format!(r#"{{"code":{code},"msg":"{msg}","data":null,"success":false,"fail":true}}"#);
    format!(
        "HTTP/1.1 {code} {reason}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nretry-after: 1\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_by_client_and_forgotten() {
        let clients = Arc::new(Clients::default());
        let ip = |text: &str| text.parse::<IpAddr>().expect("address");
        let first: Vec<_> = (0..2).filter_map(|_| clients.enter(ip("10.0.0.1"), 2)).collect();
        assert_eq!(first.len(), 2);
        assert!(clients.enter(ip("::ffff:10.0.0.1"), 2).is_none(), "the same address in IPv6");
        assert!(clients.enter(ip("10.0.0.2"), 2).is_some());
        let _one = clients.enter(ip("2001:db8::1"), 1).expect("the first");
        assert!(clients.enter(ip("2001:db8::2"), 1).is_none(), "the same network");
        assert!(clients.enter(ip("2001:db8:0:1::1"), 1).is_some());
        drop(first);
        assert!(clients.enter(ip("10.0.0.1"), 2).is_some());
        let left: usize = clients.shards.iter().map(|shard| shard.lock().expect("lock").len()).sum();
        assert_eq!(left, 1, "only who is there");
    }
}
