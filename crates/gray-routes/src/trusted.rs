//! `trusted-proxies`: which peers may say where a request came from, by a regular expression on their address.

use std::{fmt::Write as _, net::IpAddr};

use gray_core::takes_everybody;
use gray_document::Section;
use gray_expression::{JavaExpression, JavaForm, Steps};

use crate::text::quoted;

const KEY: &str = "trusted-proxies";

/// Peers that are believed.
#[derive(Clone, Debug)]
pub struct TrustedProxies(JavaExpression);

impl TrustedProxies {
    pub(crate) fn read(section: &Section<'_>) -> Option<Self> {
        let text = section.string(KEY)?;
        let expression = section.budget().expression(&text, JavaForm::Whole);
        let proxies = Self(expression.map_err(|reason| section.error(KEY, reason)).ok()?);
        if takes_everybody(|address| proxies.contains(address)) {
            section.error(
                KEY,
                format!(
                    "{} trusts every address, so that any client could say where it comes from: write the addresses of your \
                     proxies, such as `10\\.0\\.0\\.\\d+`, or leave it out",
                    quoted(&text)
                ),
            );
            return None;
        }
        Some(proxies)
    }

    /// Whether this peer is believed; one of which that is not known is not.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.is_match(&written(address), &Steps::default()).unwrap_or(false)
    }
}

/// An address as Java writes it: of IPv6, all eight numbers.
fn written(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let mut text = String::with_capacity(39);
            for (place, number) in address.segments().iter().enumerate() {
                // Writing to a string does not fail.
                let _written = write!(text, "{}{number:x}", if place == 0 { "" } else { ":" });
            }
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use gray_document::Documents;

    use super::*;

    fn read(text: &str) -> Result<TrustedProxies, String> {
        let text = format!("trusted-proxies: '{text}'");
        let documents = Documents::parse(&[("g", &text)], &|_| None).expect("well formed");
        let proxies = TrustedProxies::read(&documents.root());
        proxies.ok_or_else(|| documents.take_problems().to_string())
    }

    #[test]
    fn the_address_of_a_peer() {
        for (text, trusted, strange) in [
            (r"10\.0\.0\.\d+", &["10.0.0.7", "::ffff:10.0.0.7"][..], &["10.0.1.7", "110.0.0.7", "::1"][..]),
            (r"127\.0\.0\.1|0:0:0:0:0:0:0:1", &["127.0.0.1", "::1"], &["127.0.0.2", "::2"]),
            (r"fd00:(?!0:).*", &["fd00:1::1"], &["fd00::1", "fe80::1"]),
            (r"192\.168\..*|10\..*|172\.1[6-9]\..*", &["192.168.3.4", "172.17.0.1"], &["8.8.8.8", "172.32.0.1"]),
            // Nothing is known of it, so it is a stranger.
            (r"(?!x)((?:\d|\.|\d\d)*)*(?:\1)*!", &[], &["10.0.0.7"]),
        ] {
            let proxies = read(text).expect(text);
            for address in trusted {
                assert!(proxies.contains(address.parse().expect("ip")), "{text} {address}");
            }
            for address in strange {
                assert!(!proxies.contains(address.parse().expect("ip")), "{text} {address}");
            }
        }
    }

    #[test]
    fn everybody_is_not_trusted() {
        for text in [".*", ".+", r"\d+\.\d+\.\d+\.\d+", "[0-9.]*", "[0-9a-f:]+", "(?!127).*", ".*:.*", r"\S*", "|.*"] {
            let error = read(text).expect_err(text);
            assert!(error.contains("trusts every address") && error.contains("g:1"), "{text}: {error}");
        }
        assert!(read("(").expect_err("no expression").contains("never closed"));
    }
}
