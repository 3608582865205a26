//! One module per resource.

pub(crate) mod user;

use crate::error::Error;

/// Answers for every path that no route has.
pub(crate) async fn not_found() -> Error {
    Error::RouteNotFound
}
