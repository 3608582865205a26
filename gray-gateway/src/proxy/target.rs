//! The target of the request that is sent.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};
use http::{Uri, uri::PathAndQuery};

use super::{error::Failure, path};
use crate::route::Route;

/// The target to send, when it differs from what was asked for: the route's path, the query as it was.
pub(super) fn rewritten<'s>(uri: &Uri, route: &'s Route) -> Result<Option<Uri>, Failure<'s>> {
    let rewritten = route.filters.rewrite(uri.path());
    if rewritten == uri.path() && uri.authority().is_none() {
        return Ok(None);
    }
    if let Cow::Owned(path) = &rewritten {
        // Put together anew: dots that were apart may have met.
        path::check(path).map_err(Failure::BadRequest)?;
    }
    let mut target = BytesMut::with_capacity(rewritten.len() + uri.query().map_or(0, str::len) + 2);
    if !rewritten.starts_with('/') {
        target.put_u8(b'/');
    }
    target.put_slice(rewritten.as_bytes());
    if let Some(query) = uri.query() {
        target.put_u8(b'?');
        target.put_slice(query.as_bytes());
    }
    match PathAndQuery::from_maybe_shared(target.freeze()) {
        Ok(target) => Ok(Some(Uri::from(target))),
        Err(error) => {
            tracing::warn!(route = &*route.id, %error, "the route's filters made a path that cannot be sent");
            Err(Failure::Internal { route: &route.id })
        }
    }
}
