//! The wire contract: the tag that travels from hop to hop, and the names it travels under.
//!
//! Mirrors `GrayStatusEnum` and the header and metadata names of the Java starter.

use std::{fmt, str::FromStr};

use http::{HeaderName, HeaderValue};

/// Header that carries the tag between gateway and services.
pub const GRAY_HEADER: HeaderName = HeaderName::from_static("gray");
/// Header that carries the whole lane ([`LaneTag`](crate::lane::LaneTag)) between parties that know it.
pub const LANE_HEADER: HeaderName = HeaderName::from_static("gray-lane");
/// Header that says who made tag and lane: their signature.
pub const SIGNATURE_HEADER: HeaderName = HeaderName::from_static("gray-signature");
/// Header of W3C Baggage, one member of which says the same as the three above ([`lane::baggage`](crate::lane::baggage)).
pub const BAGGAGE_HEADER: HeaderName = HeaderName::from_static("baggage");
/// What every service passes on without being told: W3C Trace Context and W3C Baggage. Passing `traceparent` on unchanged is
/// what the recommendation asks of a service that takes no part in the trace.
pub const TRACE_HEADERS: [HeaderName; 3] =
    [HeaderName::from_static("traceparent"), HeaderName::from_static("tracestate"), BAGGAGE_HEADER];
/// Header of a request that names the caller, `order-app@V1`: for counting, never for deciding.
pub const CALLER_HEADER: HeaderName = HeaderName::from_static("gray-caller");
/// Header of a response that tells an authorised tester the path of the request: `order-app@V2:hit > user-app@V1:fallback`.
pub const PATH_HEADER: HeaderName = HeaderName::from_static("gray-path");
/// Metadata key under which an instance announces its version.
pub const VERSION_KEY: &str = "version";
/// Metadata key by which gray instances are told from others without a version: `gray-tag: true`.
pub const TAG_KEY: &str = "gray-tag";
/// Metadata key that says which kind of program registered the instance (Spring's name).
pub const SOURCE_KEY: &str = "preserved.register.source";
/// What our programs announce under [`SOURCE_KEY`].
pub const SOURCE: &str = "GRAY_CHAIN";

/// What the gateway decided for a request, as every hop after it sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GrayStatus {
    /// The switch is off: every instance may answer.
    All,
    /// Instances of `prodVersion` answer.
    Prod,
    /// Instances of `grayVersion` answer.
    Gray,
}

impl GrayStatus {
    /// All values, in the order of declaration.
    pub const ALL: [Self; 3] = [Self::All, Self::Prod, Self::Gray];

    /// The value on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "ALL",
            Self::Prod => "PROD",
            Self::Gray => "GRAY",
        }
    }

    /// The value on the wire as a header value; never allocates.
    pub const fn header_value(self) -> HeaderValue {
        HeaderValue::from_static(self.as_str())
    }

    /// Reads a header value; anything but an exact wire value is `None`, as in the Java starter.
    pub fn from_header(value: &HeaderValue) -> Option<Self> {
        Self::from_bytes(value.as_bytes())
    }

    /// Reads the value of a header of any kind, as [`from_header`](Self::from_header) does.
    pub fn from_bytes(value: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str().as_bytes() == value)
    }
}

impl fmt::Display for GrayStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for GrayStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(UnknownStatus)
    }
}

/// The text is not `ALL`, `PROD` or `GRAY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a gray status: expected ALL, PROD or GRAY")]
pub struct UnknownStatus;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_survives_the_wire() {
        for status in GrayStatus::ALL {
            assert_eq!(GrayStatus::from_header(&status.header_value()), Some(status));
            assert_eq!(status.to_string().parse(), Ok(status));
        }
    }

    #[test]
    fn only_exact_values_count() {
        for text in ["gray", "Gray", " GRAY", "GRAY ", "", "gray-996", "GRAY,PROD"] {
            assert_eq!(GrayStatus::from_header(&HeaderValue::from_str(text).expect("valid")), None, "{text:?}");
        }
    }
}
