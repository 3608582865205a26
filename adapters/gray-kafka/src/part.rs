//! A partition that this process owns in one of the groups: what it has read, how far it is, and what comes next.

use std::time::{Duration, Instant};

use gray_core::{
    Side,
    message::{Follower, Ledger, Reading, Split, Wish, Worked},
};

use crate::{message::Message, waiting::Waiting};

/// How far the process is, by the group in which it owns the partition.
#[derive(Debug)]
pub(crate) enum Role {
    /// In the baseline group.
    Base { position: i64, ledger: Ledger },
    /// In the gray group.
    Follow(Follower),
}

/// A partition that is owned.
#[derive(Debug)]
pub(crate) struct Part {
    /// Tells what a handler reports from what it reports for an earlier ownership.
    pub(crate) session: u64,
    /// `None` until the commits are read.
    pub(crate) role: Option<Role>,
    /// When they were read: what was seen before is not taken in.
    pub(crate) known_at: Instant,
    /// The offset of the message that is being handled.
    pub(crate) running: Option<i64>,
    /// What was committed last.
    committed: Option<(i64, String)>,
    waiting: Waiting,
    pub(crate) is_paused: bool,
    /// Nothing is its own until it learns more: what arrives is dropped, and read again from its position.
    is_parked: bool,
    /// Nothing is done before: the broker did not take what it was told.
    pub(crate) retry_at: Option<Instant>,
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Commit this ledger, at the position, before anything else.
    Announce(Ledger),
    /// Handle this message.
    Handle(Box<Message>),
    /// Stop reading.
    Pause,
    /// Read on.
    Resume,
    /// Read on from this offset.
    Seek(i64),
    /// Nothing now.
    Idle,
}

impl Part {
    pub(crate) fn new(session: u64) -> Self {
        Self {
            session,
            role: None,
            known_at: Instant::now(),
            running: None,
            committed: None,
            waiting: Waiting::default(),
            is_paused: false,
            is_parked: false,
            retry_at: None,
        }
    }

    /// A message was read.
    pub(crate) fn read(&mut self, message: Message) {
        if !self.is_parked {
            self.waiting.push(message);
        }
    }

    /// Waits a little before it tries again.
    pub(crate) fn put_off(&mut self) {
        self.retry_at = Some(Instant::now() + Duration::from_millis(200));
    }

    /// The message at this offset is done with.
    pub(crate) fn done(&mut self, offset: i64) {
        self.running = None;
        match &mut self.role {
            Some(Role::Base { position, .. }) => *position = offset + 1,
            // Meanwhile it may have learnt that it has to go back.
            Some(Role::Follow(follower)) if follower.position() == Some(offset) => follower.pass(offset + 1),
            Some(Role::Follow(_)) | None => {}
        }
    }

    /// What is to be committed, if that is news.
    pub(crate) fn to_commit(&self) -> Option<(i64, String)> {
        let commit = match self.role.as_ref()? {
            Role::Base { position, ledger } => (*position, ledger.to_string()),
            Role::Follow(follower) => {
                let worked = follower.worked()?;
                (worked.position, worked.known.to_string())
            }
        };
        // A group without a commit gets one when there is something to say.
        let is_news = match &self.committed {
            None => commit.0 > 0 || matches!(&self.role, Some(Role::Follow(_))),
            Some(committed) => *committed != commit,
        };
        is_news.then_some(commit)
    }

    /// The broker has taken this.
    pub(crate) fn committed(&mut self, commit: (i64, String)) {
        self.committed = Some(commit);
    }

    /// What the process knows of its partition from the broker.
    pub(crate) fn begin(&mut self, role: Role, committed: Option<(i64, String)>, asked_at: Instant) {
        (self.role, self.committed, self.known_at) = (Some(role), committed, asked_at);
    }

    /// What the baseline group has committed, as the gray group sees it.
    pub(crate) fn learn(&mut self, ledger: &Ledger, baseline: i64) {
        if let Some(Role::Follow(follower)) = &mut self.role {
            let before = follower.position();
            follower.learn(ledger, baseline);
            if follower.position() != before || self.is_parked {
                // Read again: by `Seek`, as soon as there is something of its own.
                self.waiting.clear();
                self.is_parked = true;
            }
        }
    }

    /// What comes next. `owner`: whose a message is by a split; `skip`: counts one that is not ours.
    pub(crate) fn next(
        &mut self,
        wish: &Wish,
        worked: Option<&Worked>,
        owner: impl Fn(&Split, &Message) -> Side,
        skip: impl Fn(),
    ) -> Next {
        if self.running.is_some() {
            return self.flow();
        }
        match &mut self.role {
            None => return self.flow(),
            Some(Role::Base { position, ledger }) => {
                if let Some(next) = ledger.step(*position, wish, worked) {
                    return Next::Announce(next);
                }
                while let Some(message) = self.waiting.pop() {
                    if message.offset < *position {
                        continue;
                    }
                    let split = ledger.split_at(message.offset);
                    if split.is_none_or(|split| owner(split, &message) != Side::Gray) {
                        self.running = Some(message.offset);
                        return Next::Handle(Box::new(message));
                    }
                    skip();
                    *position = message.offset + 1;
                    // An end may lie here.
                    if let Some(next) = ledger.step(*position, wish, worked) {
                        return Next::Announce(next);
                    }
                }
            }
            Some(Role::Follow(follower)) => {
                if self.is_parked {
                    let Some(position) = follower.position() else { return self.pause() };
                    return match follower.at(position) {
                        Reading::Wait => self.pause(),
                        Reading::Jump(start) => Next::Seek(start),
                        Reading::Read(_) => Next::Seek(position),
                    };
                }
                while let Some(message) = self.waiting.pop() {
                    if follower.position().is_some_and(|position| message.offset < position) {
                        continue;
                    }
                    match follower.at(message.offset) {
                        Reading::Read(split) if owner(split, &message) == Side::Gray => {
                            follower.pass(message.offset);
                            self.running = Some(message.offset);
                            return Next::Handle(Box::new(message));
                        }
                        Reading::Read(_) => {
                            skip();
                            follower.pass(message.offset + 1);
                        }
                        Reading::Jump(start) => {
                            follower.pass(start);
                            // Until it has gone there: what was read behind it is read again.
                            self.waiting.clear();
                            self.is_parked = true;
                            return Next::Seek(start);
                        }
                        Reading::Wait => {
                            follower.pass(message.offset);
                            self.waiting.clear();
                            self.is_parked = true;
                            return self.pause();
                        }
                    }
                }
            }
        }
        self.flow()
    }

    /// It reads on from the offset that [`Next::Seek`] has said.
    pub(crate) fn sought(&mut self, start: i64) {
        if let Some(Role::Follow(follower)) = &mut self.role {
            follower.pass(start);
        }
        (self.is_parked, self.is_paused) = (false, false);
    }

    /// Whether it is to be read on.
    pub(crate) fn is_low(&self) -> bool {
        matches!(self.flow(), Next::Resume)
    }

    fn pause(&self) -> Next {
        if self.is_paused { Next::Idle } else { Next::Pause }
    }

    fn flow(&self) -> Next {
        if self.waiting.is_full() && !self.is_paused {
            return Next::Pause;
        }
        let reads_on = self.waiting.is_low() && self.is_paused && !self.is_parked;
        if reads_on { Next::Resume } else { Next::Idle }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gray_context::MessageHeaders;
    use gray_core::{
        balance::{Fallback, VersionPolicy},
        message::Range,
    };

    use super::*;

    fn message(offset: i64) -> Message {
        Message {
            topic: "orders".into(),
            partition: 0,
            offset,
            written_ms: None,
            key: None,
            payload: Vec::new(),
            headers: MessageHeaders::default(),
        }
    }

    fn split() -> Arc<Split> {
        Split::between_versions(&VersionPolicy::new(true, "V1", "V2", Fallback::Prod)).expect("a split").into()
    }

    fn ledger(ranges: &[(i64, Option<i64>)]) -> Ledger {
        let ranges = ranges.iter().map(|(start, end)| Range { start: *start, end: *end, split: split() });
        Ledger::new(ranges.collect()).expect("in order")
    }

    fn part(role: Role) -> Part {
        let mut part = Part::new(1);
        part.begin(role, None, Instant::now());
        part
    }

    /// What comes next, where messages at even offsets are gray.
    fn next(part: &mut Part, wish: &Wish) -> String {
        let owner = |_: &Split, message: &Message| if message.offset % 2 == 0 { Side::Gray } else { Side::Baseline };
        match part.next(wish, None, owner, || ()) {
            Next::Handle(message) => format!("handle {}", message.offset),
            Next::Announce(ledger) => format!("announce {}", ledger.ranges().len()),
            Next::Seek(start) => format!("seek {start}"),
            other => format!("{other:?}").to_lowercase(),
        }
    }

    #[test]
    fn the_baseline_leaves_nothing_before_it_has_announced_it() {
        let mut part = part(Role::Base { position: 0, ledger: Ledger::default() });
        (0..4).for_each(|offset| part.read(message(offset)));
        let (keep, open) = (Wish::Keep(split()), Wish::Open(split()));
        assert_eq!(next(&mut part, &keep), "handle 0");
        assert_eq!(next(&mut part, &open), "idle", "one at a time");
        assert_eq!(part.to_commit(), None, "it is not handled yet");
        part.done(0);
        assert_eq!(next(&mut part, &open), "announce 1");
        assert_eq!(next(&mut part, &open), "announce 1", "until it is committed");
        assert_eq!(part.to_commit(), Some((1, "gray1".into())));
        part.begin(Role::Base { position: 1, ledger: ledger(&[(1, None)]) }, None, Instant::now());
        assert_eq!(next(&mut part, &open), "handle 1");
        part.done(1);
        assert_eq!(next(&mut part, &open), "handle 3", "2 is the gray group's");
    }

    #[test]
    fn the_gray_group_reads_what_is_its_own() {
        let mut part = part(Role::Follow(Follower::new(None)));
        part.read(message(0));
        let keep = Wish::Keep(split());
        assert_eq!(next(&mut part, &keep), "pause", "nothing is its own yet");
        part.is_paused = true;
        part.learn(&ledger(&[(4, Some(7))]), 5);
        assert_eq!(next(&mut part, &keep), "seek 4");
        part.sought(4);
        (4..9).for_each(|offset| part.read(message(offset)));
        assert_eq!(next(&mut part, &keep), "handle 4");
        assert_eq!(part.to_commit().map(|commit| commit.0), Some(4), "it is not handled yet");
        part.done(4);
        assert_eq!(next(&mut part, &keep), "handle 6");
        part.done(6);
        assert_eq!(next(&mut part, &keep), "pause", "8 is the baseline's");
        assert_eq!(part.to_commit().map(|commit| commit.0), Some(7));
    }

    /// The client could not go there at once.
    #[test]
    fn what_lies_behind_a_jump_is_not_lost_before_it_is_made() {
        let mut part = part(Role::Follow(Follower::new(None)));
        let keep = Wish::Keep(split());
        part.learn(&ledger(&[(0, Some(2)), (6, None)]), 6);
        assert_eq!(next(&mut part, &keep), "seek 0");
        part.sought(0);
        [0, 3, 6, 8].into_iter().for_each(|offset| part.read(message(offset)));
        assert_eq!(next(&mut part, &keep), "handle 0");
        part.done(0);
        assert_eq!(next(&mut part, &keep), "seek 6");
        part.read(message(10));
        assert_eq!(next(&mut part, &keep), "seek 6", "until it is there");
        part.sought(6);
        [6, 8].into_iter().for_each(|offset| part.read(message(offset)));
        assert_eq!(next(&mut part, &keep), "handle 6");
    }

    /// It had not heard of the end at 5, nor of the start at 6, when it handled 8.
    #[test]
    fn what_is_learnt_while_a_message_is_handled_counts() {
        let mut part = part(Role::Follow(Follower::new(None)));
        let keep = Wish::Keep(split());
        part.learn(&ledger(&[(4, None)]), 4);
        assert_eq!(next(&mut part, &keep), "seek 4");
        part.sought(4);
        part.read(message(8));
        assert_eq!(next(&mut part, &keep), "handle 8");
        part.learn(&ledger(&[(4, Some(5)), (6, None)]), 6);
        part.done(8);
        assert_eq!(next(&mut part, &keep), "seek 6");
    }
}
