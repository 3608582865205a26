//! What the rules are found to say without meaning it: logged when it is news.

use std::sync::Arc;

use gray_rules::{Finding, Severity};

/// The findings of last time.
#[derive(Debug, Default)]
pub(crate) struct Findings(Arc<[Finding]>);

impl Findings {
    /// Those of last time.
    pub(crate) fn current(&self) -> Arc<[Finding]> {
        Arc::clone(&self.0)
    }

    /// Takes in the findings of now and logs those that were not there before; true when they are not the same.
    pub(crate) fn update(&mut self, now: Vec<Finding>) -> bool {
        for finding in news(&self.0, &now) {
            match finding.severity {
                Severity::Error => tracing::error!("{finding}"),
                Severity::Warning => tracing::warn!("{finding}"),
                Severity::Note => tracing::info!("{finding}"),
            }
        }
        let changed = *self.0 != *now;
        // A snapshot and the log of last time share one list.
        if changed {
            self.0 = now.into();
        }
        changed
    }
}

fn news<'f>(known: &[Finding], now: &'f [Finding]) -> impl Iterator<Item = &'f Finding> {
    now.iter().filter(|finding| !known.contains(finding))
}

#[cfg(test)]
mod tests {
    use gray_rules::About;

    use super::*;

    fn finding(name: &str) -> Finding {
        let (severity, code, about) = (Severity::Warning, "share-empty", About::Rule);
        Finding { severity, code, about, name: name.into(), message: String::new() }
    }

    #[test]
    fn what_persists_is_not_news() {
        let mut findings = Findings::default();
        assert!(findings.update(vec![finding("a")]));
        let first = findings.current();
        assert_eq!(news(&first, &[finding("a"), finding("b")]).collect::<Vec<_>>(), [&finding("b")]);
        assert!(!findings.update(vec![finding("a")]));
        assert!(Arc::ptr_eq(&first, &findings.current()));
        assert!(findings.update(Vec::new()) && findings.current().is_empty());
        assert_eq!(news(&[], &[finding("a")]).count(), 1, "what comes back is news");
    }
}
