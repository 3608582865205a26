//! Own instances of which Nacos may have lost sight.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use tokio::sync::watch;

/// By address, why it is doubtful that the instance is listed.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    by_address: Mutex<BTreeMap<String, String>>,
    told: watch::Sender<Option<String>>,
}

impl Doubts {
    pub(super) fn subscribe(&self) -> watch::Receiver<Option<String>> {
        self.told.subscribe()
    }

    pub(super) fn set(&self, address: &str, reason: Option<String>) {
        let mut doubts = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        match reason {
            Some(reason) => drop(doubts.insert(address.to_owned(), reason)),
            None => drop(doubts.remove(address)),
        }
        let lines: Vec<_> = doubts.iter().map(|(address, reason)| format!("{address}: {reason}")).collect();
        let text = (!lines.is_empty()).then(|| lines.join("; "));
        self.told.send_if_modified(|told| {
            let is_news = *told != text;
            *told = text;
            is_news
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_doubtful_is_told_and_what_is_not_any_more_is_not() {
        let doubts = Doubts::default();
        let told = doubts.subscribe();
        assert_eq!(*told.borrow(), None);
        doubts.set("10.0.0.1:80", Some("refused".into()));
        doubts.set("10.0.0.2:80", Some("silent".into()));
        assert_eq!(told.borrow().as_deref(), Some("10.0.0.1:80: refused; 10.0.0.2:80: silent"));
        doubts.set("10.0.0.1:80", None);
        doubts.set("10.0.0.3:80", None);
        assert_eq!(told.borrow().as_deref(), Some("10.0.0.2:80: silent"));
        doubts.set("10.0.0.2:80", None);
        assert_eq!(*told.borrow(), None);
    }
}
