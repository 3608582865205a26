//! Own instances of which a registry may have lost sight.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use tokio::sync::watch;

/// By service and address, why it is doubtful that the instance is listed.
#[derive(Debug, Default)]
pub struct Doubts {
    reasons: Mutex<BTreeMap<(String, String), String>>,
    told: watch::Sender<Option<String>>,
}

impl Doubts {
    /// All of them in one line, [`Registry::doubts`](crate::Registry::doubts).
    pub fn subscribe(&self) -> watch::Receiver<Option<String>> {
        self.told.subscribe()
    }

    /// Why this instance may not be listed any more; `None`: it is listed.
    pub fn set(&self, service: &str, address: &str, reason: Option<String>) {
        let mut doubts = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (service.to_owned(), address.to_owned());
        match reason {
            Some(reason) => drop(doubts.insert(key, reason)),
            None => drop(doubts.remove(&key)),
        }
        let line =
            |((service, address), reason): (&(String, String), &String)| format!("{service} {address}: {reason}");
        let lines: Vec<_> = doubts.iter().map(line).collect();
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
        doubts.set("a", "10.0.0.1:80", Some("refused".into()));
        doubts.set("a", "10.0.0.2:80", Some("silent".into()));
        doubts.set("b", "10.0.0.1:80", Some("silent".into()));
        assert_eq!(
            told.borrow().as_deref(),
            Some("a 10.0.0.1:80: refused; a 10.0.0.2:80: silent; b 10.0.0.1:80: silent")
        );
        doubts.set("a", "10.0.0.1:80", None);
        doubts.set("a", "10.0.0.3:80", None);
        assert_eq!(told.borrow().as_deref(), Some("a 10.0.0.2:80: silent; b 10.0.0.1:80: silent"), "of one service");
        doubts.set("b", "10.0.0.1:80", None);
        assert_eq!(told.borrow().as_deref(), Some("a 10.0.0.2:80: silent"));
        doubts.set("a", "10.0.0.2:80", None);
        assert_eq!(*told.borrow(), None);
    }
}
