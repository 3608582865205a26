//! The keys of tokens that servers publish (JWKS): fetched by control tasks, read by requests out of the snapshot.
//!
//! Who writes documents may not make the gateway ask whatever its network can reach: which addresses are asked is decided
//! in `address.rs`, and the address that was judged is the one that is connected to.

mod address;
mod fetch;
mod follow;

use std::{collections::BTreeMap, sync::Arc};

use foldhash::fast::RandomState;
use gray_rules::{KeyServer, KeySet};

pub(crate) use self::address::{is_never_asked, is_public};
use self::follow::Following;
pub use self::{
    address::ListedServer,
    fetch::{FetchError, Fetcher},
    follow::{KeyFollower, Pace, Report},
};

/// The keys of all servers that routes and rules name, as requests read them.
#[derive(Debug, Default)]
pub struct KeySets(std::collections::HashMap<KeyServer, Held, RandomState>);

#[derive(Debug)]
struct Held {
    set: Option<Arc<KeySet>>,
    following: Arc<Following>,
}

impl KeySets {
    /// The keys of a server, of which the one with this id is wanted; `None`: none have been fetched yet. An id that is not
    /// among them has the server asked again soon.
    pub fn find(&self, server: &KeyServer, id: Option<&str>) -> Option<&KeySet> {
        let held = self.0.get(server)?;
        let set = held.set.as_deref()?;
        if id.is_some_and(|id| !set.has(id)) {
            held.following.want();
        }
        Some(set)
    }

    /// How fetching goes, by server.
    pub fn reports(&self) -> BTreeMap<&KeyServer, Report> {
        self.0.iter().map(|(server, held)| (server, held.following.report())).collect()
    }
}

#[cfg(test)]
mod tests;
