//! What is kept of the orders that were viewed. A message may come twice, so it is kept by its ID: handling it again changes nothing.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;

/// Entries that are kept.
const MOST: usize = 1000;

/// One view of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Audit {
    /// ID of the message.
    pub id: String,
    /// Number of the order.
    pub order_no: String,
    /// The tag that the message came with.
    pub gray: Option<&'static str>,
}

/// The newest entries.
#[derive(Clone, Debug, Default)]
pub struct Audits(Arc<Mutex<VecDeque<Audit>>>);

impl Audits {
    /// Keeps an entry, unless it is there.
    pub fn keep(&self, audit: Audit) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.iter().all(|one| one.id != audit.id) {
            kept.push_back(audit);
        }
        if kept.len() > MOST {
            kept.pop_front();
        }
    }

    /// The entries, the oldest first.
    pub fn list(&self) -> Vec<Audit> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_each_once() {
        let audits = Audits::default();
        let audit = |id: usize| Audit { id: id.to_string(), order_no: "N0001".to_owned(), gray: None };
        (0..MOST + 5).flat_map(|id| [id, id]).for_each(|id| audits.keep(audit(id)));
        let kept = audits.list();
        assert_eq!((kept.len(), kept.first(), kept.last()), (MOST, Some(&audit(5)), Some(&audit(MOST + 4))));
    }
}
