//! Why clients are turned away: what is counted by reason.

/// Why a request or a connection was turned away, or cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A request that can be read in two ways, or is unsafe (400).
    BadRequest,
    /// A target that is too long (414).
    UriTooLong,
    /// A head with too many lines or bytes (431).
    HeadTooLarge,
    /// A body that is too long for its route (413).
    BodyTooLarge,
    /// A head that came too slowly (408).
    HeadTimeout,
    /// A body that came too slowly (408).
    BodyTimeout,
    /// A client that took its answer too slowly: cut off.
    WriteTimeout,
    /// More connections than the gateway takes (503).
    Connections,
    /// More connections than one client may have (429).
    ClientConnections,
    /// An idle connection that was closed to make room.
    Evicted,
    /// HTTP/2 frames that only make work: cut off.
    Http2Abuse,
    /// More requests than the route takes from one client (429).
    RateLimit,
    /// No token, or none that is good (401).
    Unauthenticated,
    /// A request that has passed too many gateways (508).
    Loop,
    /// A page of another origin, which the CORS settings do not allow this (403).
    CrossOrigin,
    /// A regular expression of the routes would have taken too many steps (400).
    ExpressionLimit,
    /// Of an egress: a destination that is not allowed (403), or CONNECT (405).
    Destination,
}

impl Refusal {
    /// All values, in the order of declaration.
    pub const ALL: [Self; 17] = [
        Self::BadRequest,
        Self::UriTooLong,
        Self::HeadTooLarge,
        Self::BodyTooLarge,
        Self::HeadTimeout,
        Self::BodyTimeout,
        Self::WriteTimeout,
        Self::Connections,
        Self::ClientConnections,
        Self::Evicted,
        Self::Http2Abuse,
        Self::RateLimit,
        Self::Unauthenticated,
        Self::Loop,
        Self::CrossOrigin,
        Self::ExpressionLimit,
        Self::Destination,
    ];

    /// The value in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::UriTooLong => "uri_too_long",
            Self::HeadTooLarge => "head_too_large",
            Self::BodyTooLarge => "body_too_large",
            Self::HeadTimeout => "head_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::Connections => "connections",
            Self::ClientConnections => "client_connections",
            Self::Evicted => "evicted",
            Self::Http2Abuse => "http2_abuse",
            Self::RateLimit => "rate_limit",
            Self::Unauthenticated => "unauthenticated",
            Self::Loop => "loop",
            Self::CrossOrigin => "cross_origin",
            Self::ExpressionLimit => "expression_limit",
            Self::Destination => "destination",
        }
    }
}
