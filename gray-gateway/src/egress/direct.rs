//! Paths that go exactly where they are sent.

use std::str::FromStr;

/// A path, or all below it: `/actuator/**`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Direct {
    path: Box<str>,
    is_prefix: bool,
}

impl Direct {
    /// What lies below `/actuator` is about one instance.
    pub fn management() -> Self {
        Self { path: "/actuator".into(), is_prefix: true }
    }

    /// Whether a path is one of these, as it was sent.
    pub(crate) fn has(&self, path: &str) -> bool {
        match path.strip_prefix(&*self.path) {
            Some("") => true,
            Some(rest) => self.is_prefix && rest.starts_with('/'),
            None => false,
        }
    }
}

impl FromStr for Direct {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (path, is_prefix) = text.strip_suffix("/**").map_or((text, false), |path| (path, true));
        if !text.starts_with('/') || path.contains(['*', '?', '{', '#', ' ']) {
            return Err(format!("`{text}` is not a path: expected /path, or /path/** for all below it"));
        }
        Ok(Self { path: path.into(), is_prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_or_all_below_it() {
        for (pattern, path, expect) in [
            ("/actuator/**", "/actuator/health", true),
            ("/actuator/**", "/actuator", true),
            ("/actuator/**", "/actuators", false),
            ("/actuator/**", "/x/actuator/health", false),
            ("/raw", "/raw", true),
            ("/raw", "/raw/x", false),
            ("/**", "/x", true),
        ] {
            let pattern: Direct = pattern.parse().expect(pattern);
            assert_eq!(pattern.has(path), expect, "{pattern:?} {path}");
        }
        for text in ["", "x", "/a*", "/*/b", "/{id}"] {
            assert!(text.parse::<Direct>().is_err(), "{text}");
        }
    }
}
