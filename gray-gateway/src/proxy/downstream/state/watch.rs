//! The connections of one worker, each entered for as long as it lives.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    task::{Context, Waker},
};

use super::State;

/// All of them, to be looked at once a tick.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Connections {
    entries: RefCell<HashMap<u64, (Rc<State>, Waker), foldhash::fast::RandomState>>,
    next: Cell<u64>,
}

impl Connections {
    /// Enters a connection. A spawned task's waker stays the same for its life.
    pub(in crate::proxy) fn watch(self: &Rc<Self>, state: &Rc<State>, cx: &Context<'_>) -> Watch {
        let id = self.next.get();
        self.next.set(id + 1);
        self.entries.borrow_mut().insert(id, (Rc::clone(state), cx.waker().clone()));
        Watch { connections: Rc::clone(self), id }
    }

    /// Ends the wait of those that have waited longest for a request; returns how many those are.
    pub(in crate::proxy) fn evict(&self, count: usize) -> usize {
        let entries = self.entries.borrow();
        let mut idle: Vec<_> = entries.iter().filter_map(|(id, (state, _))| Some((state.idle_until()?, *id))).collect();
        let count = count.min(idle.len());
        if count > 0 {
            idle.select_nth_unstable(count - 1);
        }
        for (_, id) in &idle[..count] {
            if let Some((state, waker)) = entries.get(id) {
                state.evict();
                waker.wake_by_ref();
            }
        }
        count
    }

    /// Wakes those whose deadline has passed; returns how many bytes of buffers all of them hold.
    pub(in crate::proxy) fn sweep(&self, now: u64) -> u64 {
        let mut held = 0;
        for (state, waker) in self.entries.borrow().values() {
            held += state.held() as u64;
            if state.sweep(now) {
                waker.wake_by_ref();
            }
        }
        held
    }

    /// Has every task look at what has changed.
    pub(in crate::proxy) fn wake_all(&self) {
        for (_, waker) in self.entries.borrow().values() {
            waker.wake_by_ref();
        }
    }
}

/// The entry of a connection, for as long as it lives.
pub(in crate::proxy) struct Watch {
    connections: Rc<Connections>,
    id: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.connections.entries.borrow_mut().remove(&self.id);
    }
}
