//! What can go wrong between us and an instance: what is counted, logged and told by kind.

/// Why an instance's answer did not reach the client as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There was no connection.
    Connect,
    /// There was one, but no TLS on it that can be trusted. Nothing was sent.
    Tls,
    /// It broke off before the answer; the request may have been processed.
    Broken,
    /// The answer cannot be passed on.
    Unusable,
    /// There was no answer in time.
    Timeout,
    /// The answer broke off when the client had its head already.
    Truncated,
}

impl Fault {
    /// All values, in the order of declaration.
    pub const ALL: [Self; 6] = [Self::Connect, Self::Tls, Self::Broken, Self::Unusable, Self::Timeout, Self::Truncated];

    /// The value in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Broken => "broken",
            Self::Unusable => "unusable",
            Self::Timeout => "timeout",
            Self::Truncated => "truncated",
        }
    }
}
