//! What an answer says to pages of other origins (CORS).

use http::{HeaderName, HeaderValue, header};

use crate::route::cors::{VARY, is_cors_field};

/// What is added to the answer of a request whose path has CORS settings, an instance's or the gateway's own.
#[derive(Debug, Default)]
pub(in crate::proxy) struct CrossOrigin {
    /// Whether the request came from another origin: then only the settings count, and not what an instance says.
    replaces: bool,
    fields: Vec<(HeaderName, HeaderValue)>,
}

impl CrossOrigin {
    /// The request came from the same origin, or from no page at all; caches have to know on what that depends.
    pub(in crate::proxy) const SAME: Self = Self { replaces: false, fields: Vec::new() };

    /// It came from another one, which gets these fields; none, if it may not do this.
    pub(in crate::proxy) fn other(fields: Vec<(HeaderName, HeaderValue)>) -> Self {
        Self { replaces: true, fields }
    }

    /// The fields to add.
    pub(in crate::proxy) fn each(&self, mut add: impl FnMut(&HeaderName, &HeaderValue)) {
        for (name, value) in &self.fields {
            add(name, value);
        }
        add(&header::VARY, &VARY);
    }

    /// Whether an instance's field of this name is not passed on.
    pub(in crate::proxy) fn replaces(&self, name: &str) -> bool {
        self.replaces && is_cors_field(name.as_bytes())
    }
}
