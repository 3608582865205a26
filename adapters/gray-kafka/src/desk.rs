//! Where the messages of a member's partitions are decided: by its thread, and by the tasks in which handlers run. A task goes on with the
//! next message of its partition by itself as long as that is one to handle: to ask the thread for each would cost two
//! changes of threads a message. Everything else, and whatever the broker has to be told, is the thread's.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use gray_core::{
    Side,
    message::{Split, Wish},
};

use crate::{
    consumer::{Seen, Shared},
    dispatch::{Read, read},
    membership::Group,
    message::Message,
    owned::Owned,
    part::{Next, Part, Role},
};

/// What was read of the message that is being decided: its signature is verified once, for judging it and for handling it.
pub(crate) type LastRead = RefCell<Option<(i64, Read)>>;

/// What a member decides by.
pub(crate) struct Desk {
    pub(crate) shared: Arc<Shared>,
    pub(crate) owned: Arc<Owned>,
    pub(crate) group: Group,
    pub(crate) is_standby: bool,
    /// No more messages are taken.
    pub(crate) is_ending: AtomicBool,
}

/// What a task does after a message.
pub(crate) enum Turn {
    /// Handles this one.
    On {
        message: Box<Message>,
        read: Read,
        /// The thread is to read on.
        is_low: bool,
    },
    /// Ends: the thread is to look after the partition.
    Over,
    /// The same, and it is to note that the message is done with: it is at the partitions now.
    Busy,
}

impl Desk {
    /// What comes next in a partition.
    pub(crate) fn next(&self, number: i32, part: &mut Part, seen: &Seen, last: &LastRead) -> Next {
        let skip = || self.shared.counters.handled("left");
        let owner = |split: &Split, message: &Message| self.owner(split, message, last);
        part.next(&seen.intent.wish, seen.gray.get(&number), owner, skip)
    }

    /// A message is about to be handled: counts it where that should not be, and says in which context.
    pub(crate) fn begin(&self, part: &Part, message: &Message, seen: &Seen, last: &LastRead) -> Read {
        let is_ours = match (&part.role, &seen.intent.wish) {
            (Some(Role::Follow(_)), _) => !self.is_standby,
            (Some(Role::Base { .. }), Wish::Open(split)) => self.owner(split, message, last) == Side::Baseline,
            _ => true,
        };
        if !is_ours && seen.is_gray_settled {
            self.shared.counters.wrong();
        }
        if self.shared.begins(self.group == Group::Gray, message.partition, message.offset) {
            self.shared.counters.duplicate();
        }
        self.read(message, last)
    }

    /// The message at this offset is done with, and the task that has handled it asks for more.
    pub(crate) fn go_on(&self, session: u64, partition: i32, offset: i64) -> Turn {
        let Some(mut parts) = self.owned.try_parts() else { return Turn::Busy };
        let part = parts.1.get_mut(&partition).filter(|part| part.session == session);
        // It is another process's now.
        let Some(part) = part else { return Turn::Over };
        part.done(offset);
        let Some(seen) = self.shared.seen().filter(|_| !self.is_ending.load(Relaxed)) else { return Turn::Over };
        if part.retry_at.is_some() {
            return Turn::Over;
        }
        let last = LastRead::default();
        match self.next(partition, part, &seen, &last) {
            Next::Handle(message) => {
                let read = self.begin(part, &message, &seen, &last);
                Turn::On { message, read, is_low: part.is_low() }
            }
            // Told again when the thread asks.
            Next::Announce(_) | Next::Pause | Next::Resume | Next::Seek(_) | Next::Idle => Turn::Over,
        }
    }

    fn read(&self, message: &Message, last: &LastRead) -> Read {
        let mut last = last.borrow_mut();
        if let Some((offset, known)) = &*last
            && *offset == message.offset
        {
            return known.clone();
        }
        let known = read(&self.shared, message);
        *last = Some((message.offset, known.clone()));
        known
    }

    /// Whose a message is. Both groups come to the same at any time: a signature counts if it held when the message was written.
    fn owner(&self, split: &Split, message: &Message, last: &LastRead) -> Side {
        let (context, _) = self.read(message, last);
        split.owner(context.choice(&self.shared.options.service, split.policy(), None))
    }
}
