//! The releases of Spring Cloud Gateway that are compared with.

use std::{fmt, str::FromStr};

/// A release, the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Release {
    /// 3.1.9 on Spring Boot 2.7.
    V31,
    /// 4.1.5 on Spring Boot 3.3.
    V41,
    /// 4.3.0 on Spring Boot 3.5.
    V43,
    /// 5.0.0 on Spring Boot 4.0.
    V50,
}

/// Where the settings stand since 4.3; this is how documents here are written.
const NEW_PREFIX: &str = "spring.cloud.gateway.server.webflux";
const OLD_PREFIX: &str = "spring.cloud.gateway";

impl Release {
    /// All, the one whose answers are recorded whole first.
    pub const ALL: [Self; 4] = [Self::V43, Self::V50, Self::V31, Self::V41];

    /// As it is written in names of files.
    pub fn name(self) -> &'static str {
        match self {
            Self::V31 => "3.1",
            Self::V41 => "4.1",
            Self::V43 => "4.3",
            Self::V50 => "5.0",
        }
    }

    /// The document with the keys of this release.
    pub fn keyed(self, document: &str) -> String {
        if self < Self::V43 { document.replace(NEW_PREFIX, OLD_PREFIX) } else { document.to_owned() }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Release {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|release| release.name() == text);
        found.ok_or_else(|| format!("`{text}` is not a release: expected {}", Self::ALL.map(Self::name).join(", ")))
    }
}
