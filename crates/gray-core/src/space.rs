//! Places beside the one that a program registers in.

use std::{fmt, str::FromStr};

/// So many spaces beside its own a program follows: each costs a connection or a thread for as long as the process lives.
pub const MAX_SPACES: usize = 16;
/// Longest name of a namespace or of a group; Nacos takes no longer ones.
const MAX_NAME: usize = 128;

/// A namespace or a group (or both) other than the program's own: where the instances of a lane may live.
///
/// As text: `namespace`, `namespace@group` or `@group`. Names are letters, digits and `. _ -`, which is what Nacos takes;
/// a missing part is the program's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Space {
    namespace: Option<Box<str>>,
    group: Option<Box<str>>,
}

/// A text that names no space.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` names no space: expected NAMESPACE, NAMESPACE@GROUP or @GROUP; names have at most {MAX_NAME} characters, \
         out of letters, digits and . _ -", .text.escape_debug())]
pub struct SpaceError {
    text: String,
}

impl Space {
    /// A space in this namespace, this group, or both.
    ///
    /// # Errors
    /// Neither is given, or a name has characters that no name has.
    pub fn new(namespace: Option<&str>, group: Option<&str>) -> Result<Self, SpaceError> {
        let is_name = |name: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            (1..=MAX_NAME).contains(&name.len()) && name.chars().all(fits)
        };
        let space = Self { namespace: namespace.map(Into::into), group: group.map(Into::into) };
        let mut names = [namespace, group].into_iter().flatten().peekable();
        if names.peek().is_some() && names.all(is_name) {
            Ok(space)
        } else {
            Err(SpaceError { text: space.to_string() })
        }
    }

    /// The ID of the namespace; `None`: the program's own.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The group; `None`: the program's own.
    pub fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }
}

impl FromStr for Space {
    type Err = SpaceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (namespace, group) = match text.split_once('@') {
            Some((namespace, group)) => (Some(namespace).filter(|name| !name.is_empty()), Some(group)),
            None => (Some(text), None),
        };
        Self::new(namespace, group).map_err(|_| SpaceError { text: text.to_owned() })
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.namespace.as_deref().unwrap_or_default())?;
        self.group.as_deref().map_or(Ok(()), |group| write!(f, "@{group}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts() {
        for (text, namespace, group) in [
            ("lane-a", Some("lane-a"), None),
            ("lane-a@BLUE_1", Some("lane-a"), Some("BLUE_1")),
            ("@blue.2", None, Some("blue.2")),
            ("..", Some(".."), None),
        ] {
            let space: Space = text.parse().expect(text);
            assert_eq!((space.namespace(), space.group()), (namespace, group));
            assert_eq!(space.to_string(), text);
        }
        for text in ["", "@", "lane@", "a@b@c", "a b", "a/b", "中文", " lane", "a\n", &"x".repeat(129)] {
            let error = text.parse::<Space>().expect_err(text).to_string();
            assert!(error.contains("NAMESPACE@GROUP"), "{error}");
        }
        assert!(Space::new(None, None).is_err() && Space::new(Some("a@b"), None).is_err());
    }

    proptest! {
        #[test]
        fn a_text_that_is_read_is_written_the_same(text in "[a-zA-Z0-9._@/ -]{0,12}") {
            if let Ok(space) = text.parse::<Space>() {
                prop_assert_eq!(space.to_string(), text);
            }
        }
    }
}
