//! Which release of Spring Cloud Gateway routes were written for: `gray.spring.release`.

use gray_document::Section;

/// A release, as far as it says what routes mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Release {
    /// 3.0 and 3.1
    Three,
    /// 4.0 to 4.3
    Four,
    /// 5.0
    Five,
}

impl Release {
    /// Reads what the documents say; `None`: nothing, so routes are read leniently.
    pub(crate) fn read(root: &Section<'_>) -> Option<Self> {
        root.section("gray").section("spring").parsed("release")
    }
}

impl std::str::FromStr for Release {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('.');
        let major = parts.next().unwrap_or_default();
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        match major {
            _ if parts.clone().count() > 2 || !parts.all(is_number) => Err(EXPECTED),
            "3" => Ok(Self::Three),
            "4" => Ok(Self::Four),
            "5" => Ok(Self::Five),
            _ => Err(EXPECTED),
        }
    }
}

const EXPECTED: &str = "expected the release of Spring Cloud Gateway that the routes were written for: 3.1, 4 or 5";

/// What differs between releases, and from the lenient reading without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// Upper and lower case of a host are told apart.
    pub(crate) exact_host: bool,
    /// A host is compared with its port, if it is sent with one.
    pub(crate) with_port: bool,
    /// A path may not have a slash more at its end, unless the route says so.
    pub(crate) exact_end: bool,
    /// What is not ASCII in headers is taken for ISO 8859-1.
    pub(crate) latin1: bool,
}

impl Dialect {
    pub(crate) fn of(release: Option<Release>) -> Self {
        Self {
            exact_host: release.is_some(),
            with_port: release.is_some(),
            exact_end: release == Some(Release::Five),
            latin1: release.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        for (text, expect) in [
            ("3", Ok(Release::Three)),
            ("3.1", Ok(Release::Three)),
            ("3.1.9", Ok(Release::Three)),
            ("4", Ok(Release::Four)),
            ("4.3", Ok(Release::Four)),
            ("5.0", Ok(Release::Five)),
            ("2.2", Err(EXPECTED)),
            ("6", Err(EXPECTED)),
            ("2025.0.0", Err(EXPECTED)),
            ("4.x", Err(EXPECTED)),
            ("4.", Err(EXPECTED)),
            ("4.1.2.3", Err(EXPECTED)),
            ("", Err(EXPECTED)),
        ] {
            assert_eq!(text.parse(), expect, "{text}");
        }
    }
}
