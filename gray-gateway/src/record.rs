//! The last requests' facts, to be decided again by rules that are not in effect yet.
//!
//! In memory only: no endpoint returns them, nothing logs them. Workers hand over a sample and never wait for it
//! ([`channel`]); this side keeps the newest.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use gray_rules::FactRecord;
use tokio::sync::mpsc;

/// Batches on their way from the workers; more are dropped and counted.
const IN_TRANSIT: usize = 64;

/// Where workers put records, some at a time: every message wakes the other side.
pub type RecordSender = mpsc::Sender<Vec<FactRecord>>;

/// The way from the workers to a buffer of so many records; `None` for 0: nothing is kept.
pub fn channel(capacity: usize) -> Option<(RecordSender, RecordCollector)> {
    if capacity == 0 {
        return None;
    }
    let (sender, receiver) = mpsc::channel(IN_TRANSIT);
    let buffer = Arc::new(RecordBuffer { capacity, records: Mutex::default() });
    Some((sender, RecordCollector { receiver, buffer }))
}

/// The newest records. Its lock is never taken on the request path.
#[derive(Debug)]
pub struct RecordBuffer {
    capacity: usize,
    records: Mutex<VecDeque<Arc<FactRecord>>>,
}

impl RecordBuffer {
    /// The records at this moment, oldest first.
    pub fn records(&self) -> Vec<Arc<FactRecord>> {
        self.lock().iter().cloned().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nothing was recorded yet.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn extend(&self, new: Vec<FactRecord>) {
        let mut records = self.lock();
        for record in new {
            if records.len() >= self.capacity {
                records.pop_front();
            }
            records.push_back(Arc::new(record));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Arc<FactRecord>>> {
        // Whatever panicked meanwhile, the list is whole.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes records over from the workers.
#[derive(Debug)]
pub struct RecordCollector {
    receiver: mpsc::Receiver<Vec<FactRecord>>,
    buffer: Arc<RecordBuffer>,
}

impl RecordCollector {
    /// Where the records end up.
    pub fn buffer(&self) -> Arc<RecordBuffer> {
        Arc::clone(&self.buffer)
    }

    /// Runs until the last worker is gone.
    pub async fn run(mut self) {
        while let Some(batch) = self.receiver.recv().await {
            self.buffer.extend(batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use gray_rules::{FactPlan, RequestFacts};
    use http::HeaderMap;

    use super::*;

    fn record(path: &str) -> FactRecord {
        let headers = HeaderMap::new();
        let facts = RequestFacts { path, ..RequestFacts::new(&headers) };
        FactRecord::new(&Arc::new(FactPlan::default()), &facts, false).expect("short")
    }

    #[tokio::test]
    async fn the_newest_are_kept() {
        assert!(channel(0).is_none());
        let (sender, collector) = channel(3).expect("on");
        let buffer = collector.buffer();
        for batch in [&["/1", "/2"][..], &["/3", "/4", "/5"]] {
            sender.try_send(batch.iter().map(|path| record(path)).collect()).expect("room");
        }
        drop(sender);
        assert!(buffer.is_empty());
        collector.run().await;
        assert_eq!(buffer.len(), 3);
        assert!(!format!("{buffer:?}").contains("/5"), "nothing of a request is shown");
    }
}
