//! How runs ended, until the scheduler has acknowledged it. Bounded. Pure.

use std::collections::VecDeque;

use crate::wire::Callback;

/// Callbacks that wait, oldest first.
#[derive(Debug)]
pub(crate) struct Outbox {
    waiting: VecDeque<Callback>,
    sent: Vec<Callback>,
    most: usize,
    /// One at a time, until one is acknowledged: the scheduler did not take several, and one of them may be why.
    is_careful: bool,
}

impl Outbox {
    /// Callbacks of one request.
    const BATCH: usize = 64;

    pub(crate) fn new(most: usize) -> Self {
        Self { waiting: VecDeque::new(), sent: Vec::new(), most, is_careful: false }
    }

    /// Adds one; returns the oldest when it is full.
    pub(crate) fn push(&mut self, callback: Callback) -> Option<Callback> {
        self.waiting.push_back(callback);
        (self.len() > self.most).then(|| self.waiting.pop_front()).flatten()
    }

    /// The ones to send next; none when there are none.
    pub(crate) fn send(&mut self) -> &[Callback] {
        if self.sent.is_empty() {
            let count = if self.is_careful { 1 } else { Self::BATCH }.min(self.waiting.len());
            self.sent = self.waiting.drain(..count).collect();
        }
        &self.sent
    }

    /// The scheduler has them.
    pub(crate) fn acknowledged(&mut self) {
        self.sent.clear();
        self.is_careful = false;
    }

    /// The scheduler has answered and did not take them: later ones go first.
    pub(crate) fn refused(&mut self) {
        self.waiting.extend(self.sent.drain(..));
        self.is_careful = true;
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.sent.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::RunKey;

    fn callback(log: i64) -> Callback {
        Callback::new(RunKey { job: 1, log, date: 0 }, 200, "")
    }

    fn logs(callbacks: &[Callback]) -> Vec<i64> {
        callbacks.iter().map(|callback| callback.log_id).collect()
    }

    #[test]
    fn kept_until_acknowledged() {
        let mut outbox = Outbox::new(100);
        assert_eq!(logs(outbox.send()), [0; 0]);
        outbox.push(callback(1));
        outbox.push(callback(2));
        assert_eq!(logs(outbox.send()), [1, 2]);
        // No answer: the same ones again, even if there are more by now.
        outbox.push(callback(3));
        assert_eq!(logs(outbox.send()), [1, 2]);
        outbox.acknowledged();
        assert_eq!((logs(outbox.send()), outbox.len()), (vec![3], 1));
        outbox.acknowledged();
        assert_eq!((logs(outbox.send()), outbox.len()), (vec![], 0));
    }

    #[test]
    fn one_that_is_refused_does_not_hold_up_the_others() {
        let mut outbox = Outbox::new(100);
        for log in 1..=3 {
            outbox.push(callback(log));
        }
        let mut got = Vec::new();
        // The scheduler cannot take 2.
        for _ in 0..8 {
            let sent = logs(outbox.send());
            if sent.contains(&2) {
                outbox.refused();
            } else {
                got.extend(sent);
                outbox.acknowledged();
            }
        }
        assert_eq!((got, logs(outbox.send())), (vec![1, 3], vec![2]));
    }

    #[test]
    fn the_oldest_goes_when_there_is_no_room() {
        let mut outbox = Outbox::new(2);
        let dropped: Vec<_> = (1..=4).filter_map(|log| outbox.push(callback(log))).collect();
        assert_eq!(logs(&dropped), [1, 2]);
        outbox.send();
        assert_eq!(outbox.push(callback(5)).map(|callback| callback.log_id), Some(5), "what is being sent is kept");
        assert_eq!(outbox.len(), 2);
    }

    #[test]
    fn batches_are_bounded() {
        let mut outbox = Outbox::new(1000);
        for log in 0..100 {
            outbox.push(callback(log));
        }
        assert_eq!(outbox.send().len(), 64);
    }
}
