//! Conditions on instances.

use std::{fmt, str::FromStr};

use crate::tag::VERSION_KEY;

/// A condition on an instance: where it is registered, and what its metadata says.
///
/// Text form, as on the wire: `version:V2`, `!gray-tag`, `*`, each with `space/` in front when the instance must come
/// from another namespace than ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Selector<T = Box<str>> {
    /// Another namespace or group of the registry; `None` is the shared one.
    pub space: Option<T>,
    /// What the metadata must say.
    pub want: Want<T>,
}

/// What the metadata of an instance must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Want<T = Box<str>> {
    /// Anything.
    Any,
    /// This key has this value.
    Is {
        /// Metadata key.
        key: T,
        /// Its value.
        value: T,
    },
    /// This key is absent or empty.
    Lacks {
        /// Metadata key.
        key: T,
    },
}

/// Stands for a value that is not known before the request; not a token, so it never comes from a document.
const OPEN: &str = "{}";

/// Longest value in a selector, in bytes.
pub const MAX_TOKEN_BYTES: usize = 64;

/// The bytes of tokens. Every hop checks every byte of every lane, so it is looked up.
const TOKEN: [bool; 256] = {
    let mut fits = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let char = byte as u8;
        fits[byte] = char.is_ascii_alphanumeric() || matches!(char, b'.' | b'_' | b'-' | b'+');
        byte += 1;
    }
    fits
};

/// Whether the text may stand in a selector: at most 64 letters, digits and `. _ - +`.
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_TOKEN_BYTES && text.bytes().all(|byte| TOKEN[usize::from(byte)])
}

fn is_space(text: &str) -> bool {
    text.len() <= 129 && text.split('@').count() <= 2 && text.split('@').all(|part| part.is_empty() || is_token(part))
}

impl<'a> Selector<&'a str> {
    /// Every instance of the shared namespace.
    pub const ANY: Self = Selector { space: None, want: Want::Any };

    /// Instances of one version.
    pub const fn version(version: &'a str) -> Self {
        Selector { space: None, want: Want::Is { key: VERSION_KEY, value: version } }
    }

    /// Reads the text form.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (space, text) = match text.split_once('/') {
            Some((space, rest)) => (Some(Some(space).filter(|space| !space.is_empty() && is_space(space))?), rest),
            None => (None, text),
        };
        let want = match (text.strip_prefix('!'), text.split_once(':')) {
            _ if text == "*" => Want::Any,
            (Some(key), None) if is_token(key) => Want::Lacks { key },
            (None, Some((key, value))) if is_token(key) && is_token(value) => Want::Is { key, value },
            _ => return None,
        };
        Some(Self { space, want })
    }
}

impl Selector {
    /// A value of this metadata key that is filled in per request.
    pub fn open(key: &str) -> Self {
        Self { space: None, want: Want::Is { key: key.into(), value: OPEN.into() } }
    }

    /// Whether its value is to be filled in.
    pub fn is_open(&self) -> bool {
        matches!(&self.want, Want::Is { value, .. } if **value == *OPEN)
    }

    /// Borrows all parts.
    pub fn as_ref(&self) -> Selector<&str> {
        let want = match &self.want {
            Want::Any => Want::Any,
            Want::Is { key, value } => Want::Is { key: &**key, value: &**value },
            Want::Lacks { key } => Want::Lacks { key: &**key },
        };
        Selector { space: self.space.as_deref(), want }
    }
}

impl<T: AsRef<str>> Selector<T> {
    /// With parts of its own.
    pub fn to_owned(&self) -> Selector {
        let own = |part: &T| Box::from(part.as_ref());
        let want = match &self.want {
            Want::Any => Want::Any,
            Want::Is { key, value } => Want::Is { key: own(key), value: own(value) },
            Want::Lacks { key } => Want::Lacks { key: own(key) },
        };
        Selector { space: self.space.as_ref().map(own), want }
    }
}

impl<T: AsRef<str>> fmt::Display for Selector<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(space) = &self.space {
            write!(f, "{}/", space.as_ref())?;
        }
        match &self.want {
            Want::Any => f.write_str("*"),
            Want::Is { key, value } => write!(f, "{}:{}", key.as_ref(), value.as_ref()),
            Want::Lacks { key } => write!(f, "!{}", key.as_ref()),
        }
    }
}

/// Selectors in order of preference, at least one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Choice(Box<[Selector]>);

impl Choice {
    /// The first is what is wanted, the others stand in for it in this order.
    pub fn new(first: Selector, others: impl IntoIterator<Item = Selector>) -> Self {
        Self([first].into_iter().chain(others).collect())
    }

    /// Every instance.
    pub fn any() -> Self {
        Self::new(Selector::ANY.to_owned(), [])
    }

    /// Instances of one version and no others.
    pub fn version(version: &str) -> Self {
        Self::new(Selector::version(version).to_owned(), [])
    }

    /// The selectors, best first.
    pub fn selectors(&self) -> &[Selector] {
        &self.0
    }

    /// The selectors, borrowed, best first.
    pub fn iter(&self) -> impl Iterator<Item = Selector<&str>> + Clone {
        self.0.iter().map(Selector::as_ref)
    }

    pub(super) fn filled(&self, value: &str) -> Self {
        let fill = |selector: &Selector| match &selector.want {
            Want::Is { key, .. } if selector.is_open() => {
                Selector { space: selector.space.clone(), want: Want::Is { key: key.clone(), value: value.into() } }
            }
            _ => selector.clone(),
        };
        Self(self.0.iter().map(fill).collect())
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, selector) in self.0.iter().enumerate() {
            write!(f, "{}{selector}", if place == 0 { "" } else { "|" })?;
        }
        Ok(())
    }
}

impl FromStr for Choice {
    type Err = ParseChoiceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let selectors: Option<Vec<_>> =
            text.split('|').map(|text| Selector::parse(text).map(|selector| selector.to_owned())).collect();
        selectors.map(|selectors| Self(selectors.into())).ok_or(ParseChoiceError)
    }
}

/// The text is not a list of selectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected selectors such as version:V2, !gray-tag or *, separated by |")]
pub struct ParseChoiceError;
