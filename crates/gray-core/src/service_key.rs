//! A service, and where it is looked for.

use std::{
    borrow::Borrow,
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use crate::Space;

/// A service, and the space in which it is looked for, if that is another than the program's own place for it.
///
/// Its text is what it is called in metrics, logs and on the admin side, and what it is compared and found by: `pay-app`, or
/// `@PAY_GROUP/pay-app` in another space. What is said of services by name (lanes, strategies, edges) holds for the name.
#[derive(Clone)]
pub struct ServiceKey {
    // Snapshots share it.
    text: Arc<str>,
    name_at: usize,
    // Rare, and a key is part of what each connection keeps.
    space: Option<Box<Space>>,
}

impl ServiceKey {
    /// The service in this space.
    pub fn within(space: &Space, name: &str) -> Self {
        let text = format!("{space}/{name}");
        Self { name_at: text.len() - name.len(), text: text.into(), space: Some(Box::new(space.clone())) }
    }

    /// The name of the service, wherever it is looked for.
    pub fn name(&self) -> &str {
        self.text.get(self.name_at..).unwrap_or_default()
    }

    /// Where it is looked for; `None`: where the program looks for this name as a rule.
    pub fn space(&self) -> Option<&Space> {
        self.space.as_deref()
    }

    /// Name and space.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl From<Box<str>> for ServiceKey {
    fn from(name: Box<str>) -> Self {
        Self { text: name.into(), name_at: 0, space: None }
    }
}

impl From<&str> for ServiceKey {
    fn from(name: &str) -> Self {
        Self { text: name.into(), name_at: 0, space: None }
    }
}

impl Borrow<str> for ServiceKey {
    fn borrow(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

// By the text alone, as `Borrow` demands.
impl PartialEq for ServiceKey {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for ServiceKey {}

impl PartialOrd for ServiceKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ServiceKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for ServiceKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_key_is_its_text_and_knows_its_parts() {
        let own = ServiceKey::from("pay-app");
        assert_eq!((own.as_str(), own.name(), own.space()), ("pay-app", "pay-app", None));
        let mut keys = BTreeSet::from([own]);
        for (space, text) in [("@PAY", "@PAY/pay-app"), ("ns", "ns/pay-app"), ("ns@PAY", "ns@PAY/pay-app")] {
            let space: Space = space.parse().expect("a space");
            let key = ServiceKey::within(&space, "pay-app");
            assert_eq!((key.as_str(), key.name(), key.space()), (text, "pay-app", Some(&space)));
            assert_eq!(key.to_string(), text);
            keys.insert(key);
        }
        assert_eq!(keys.len(), 4, "each is another service");
        assert!(keys.contains("@PAY/pay-app") && !keys.contains("@PAY"));
    }

    #[test]
    fn a_name_of_the_registry_is_never_taken_apart() {
        let odd = ServiceKey::from("ns@PAY/pay-app");
        assert_eq!((odd.name(), odd.space()), ("ns@PAY/pay-app", None));
    }
}
