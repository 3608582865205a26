//! Who may connect: so many in all, so many of one address. Asked once per connection, never per request.

use std::{
    cell::Cell,
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
};

use crate::client_address::counted_as;

/// Refusals that are said at a time, by all workers; more are just closed.
pub(crate) const MAX_SAID: usize = 64;
/// So that workers seldom wait for each other.
const SHARDS: usize = 16;

/// Open connections by client, of all workers.
#[derive(Debug)]
pub(in crate::proxy) struct Clients {
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
pub(in crate::proxy) struct Admission {
    clients: Arc<Clients>,
    /// Connections that may come still for those that were closed.
    room: Cell<usize>,
    /// The tick in which no connection was found idle.
    full_at: Cell<Option<u64>>,
    said: Rc<Cell<usize>>,
    max_said: usize,
}

impl Admission {
    pub(in crate::proxy) fn new(clients: Arc<Clients>, workers: usize) -> Self {
        Self { clients, max_said: (MAX_SAID / workers).max(1), ..Self::default() }
    }

    /// Counts one more connection of a client, unless it has `max`.
    pub(super) fn enter(&self, peer: IpAddr, max: usize) -> Option<Guest> {
        self.clients.enter(peer, max)
    }

    /// Whether there is room for one more connection where there was none; `evict` closes idle ones and tells how many.
    pub(in crate::proxy) fn make_room(&self, now: u64, evict: impl FnOnce() -> usize) -> bool {
        let Self { room, full_at, .. } = self;
        if room.get() == 0 && full_at.get() != Some(now) {
            let evicted = evict();
            room.set(evicted);
            if evicted == 0 {
                full_at.set(Some(now));
            }
        }
        let left = room.get();
        room.set(left.saturating_sub(1));
        left > 0
    }

    /// A turn to say why a connection is turned away; `None` when too many are being told.
    pub(super) fn say(&self) -> Option<Saying> {
        let said = self.said.get();
        (said < self.max_said).then(|| {
            self.said.set(said + 1);
            Saying(Rc::clone(&self.said))
        })
    }
}

/// A refusal that is being said, until it is dropped.
pub(super) struct Saying(Rc<Cell<usize>>);

impl Drop for Saying {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
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
