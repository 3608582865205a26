//! Answers out of a directory: front-end assets, a version of them per directory.
//!
//! Files are tower-http's `ServeDir` (types, ranges, preconditions, precompressed siblings), on a view of the
//! directory that cannot be left ([`root`]); [`answer`] adds what a gateway needs on top. Everything up to the head of
//! the response happens in one visit to the blocking pool, so that a disk never holds up the worker.

mod answer;
mod path;
mod root;

#[cfg(test)]
mod tests;

use std::{io, path::Path, sync::Arc};

use bytes::Bytes;
use gray_rules::Vary;
use http::{HeaderValue, Method, Response, StatusCode, Uri, header, request::Parts};

use self::answer::{Answer, Keep};
use super::response::{content::Content, error::Failure};
use crate::route::FileOptions;

/// An answer, and whether a shared cache may keep it: nothing in it is about this client then.
pub(super) struct Served {
    pub(super) response: Response<Content>,
    pub(super) is_shared: bool,
}

/// Answers one request with a file below `root`. `head` asks for the path as the route's filters left it, `original`
/// is what the client wrote, when that differs; `by_lane` says how lanes are decided, when they have other files.
///
/// A missing file is an answer as well.
///
/// # Errors
/// When the directory cannot be opened, or the machine is out of something.
pub(super) async fn serve(
    root: &Arc<Path>,
    options: &FileOptions,
    by_lane: Option<&Vary>,
    head: Parts,
    original: Option<Uri>,
) -> io::Result<Served> {
    if head.method != Method::GET && head.method != Method::HEAD {
        let mut response = Failure::NotAllowed.response();
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(Served { response, is_shared: false });
    }
    let (root, options, differs) = (Arc::clone(root), options.clone(), by_lane.is_some());
    let is_head = head.method == Method::HEAD;
    let answering = move || answer::answer(&root, &options, differs, head, original.as_ref());
    // A cache may keep a plain 308 or 404, and another version may well have the file.
    let (mut response, keep) = match tokio::task::spawn_blocking(answering).await?? {
        Answer::File(mut response, keep) => {
            response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
            let content = |file| if is_head { Content::Fixed(Bytes::new()) } else { Content::File(file) };
            (response.map(content), keep)
        }
        Answer::Redirect(location) => {
            let mut response = Response::new(Content::Fixed(Bytes::new()));
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            response.headers_mut().insert(header::LOCATION, location);
            (response, Keep::Asking)
        }
        Answer::Missing => (Failure::NoFile.response(), Keep::Asking),
    };
    let (cache, varies) = keep.said(by_lane);
    let is_shared = cache.as_bytes().starts_with(b"public");
    response.headers_mut().insert(header::CACHE_CONTROL, cache);
    if let Some(names) = by_lane.and_then(Vary::names).filter(|_| varies) {
        response.headers_mut().append(header::VARY, names.clone());
    }
    Ok(Served { response, is_shared })
}
