//! The host of a target, as it is looked up.

use std::{borrow::Cow, net::IpAddr};

use super::index::plain;

/// An address, or a name in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host<'h> {
    /// IPv4 is never written as IPv6.
    Address(IpAddr),
    /// Without the dot at its end.
    Name(Cow<'h, str>),
}

impl<'h> Host<'h> {
    /// Of a text as it stands in a target, an IPv6 address in brackets, or in the registry.
    pub(crate) fn of(text: &'h str) -> Self {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        match bare.parse::<IpAddr>() {
            Ok(ip) => Self::Address(ip.to_canonical()),
            Err(_) => Self::Name(plain(text)),
        }
    }
}
