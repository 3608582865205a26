//! How a connection over HTTP/2 begins.

/// What a client begins with that speaks HTTP/2 (RFC 9113, 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the first bytes of a connection say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Preface {
    /// The client speaks HTTP/2.
    Whole,
    /// It may.
    Begun,
    /// It does not.
    Absent,
}

impl Preface {
    pub(in crate::proxy) fn of(bytes: &[u8]) -> Self {
        if bytes.starts_with(PREFACE) {
            Self::Whole
        } else if PREFACE.starts_with(bytes) {
            Self::Begun
        } else {
            Self::Absent
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preface_is_seen_however_it_arrives() {
        for cut in 1..PREFACE.len() {
            assert_eq!(Preface::of(&PREFACE[..cut]), Preface::Begun, "{cut}");
        }
        assert_eq!(Preface::of(PREFACE), Preface::Whole);
        assert_eq!(Preface::of(&[PREFACE, b"\0\0\0"].concat()), Preface::Whole);
        for other in ["GET / HTTP/1.1\r\n", "POST", "PRI * HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nGET"] {
            assert_eq!(Preface::of(other.as_bytes()), Preface::Absent, "{other}");
        }
    }
}
