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
use http::{HeaderValue, Method, Response, StatusCode, Uri, header, request::Parts};

use self::answer::Answer;
use super::response::{content::Content, error::Failure};
use crate::route::FileOptions;

/// Answers one request with a file below `root`. `head` asks for the path as the route's filters left it, `original`
/// is what the client wrote, when that differs.
///
/// A missing file is an answer as well.
///
/// # Errors
/// When the directory cannot be opened, or the machine is out of something.
pub(super) async fn serve(
    root: &Arc<Path>,
    options: &FileOptions,
    head: Parts,
    original: Option<Uri>,
) -> io::Result<Response<Content>> {
    if head.method != Method::GET && head.method != Method::HEAD {
        let mut response = Failure::NotAllowed.response();
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(response);
    }
    let (root, options) = (Arc::clone(root), options.clone());
    let is_head = head.method == Method::HEAD;
    let answering = move || answer::answer(&root, &options, head, original.as_ref());
    // A cache may keep a plain 308 or 404, and another version may well have the file.
    let uncached = |mut response: Response<Content>| {
        response.headers_mut().insert(header::CACHE_CONTROL, answer::NO_CACHE);
        response
    };
    Ok(match tokio::task::spawn_blocking(answering).await?? {
        Answer::File(response) if is_head => response.map(|_content| Content::Fixed(Bytes::new())),
        Answer::File(response) => response.map(Content::File),
        Answer::Redirect(location) => {
            let mut response = Response::new(Content::Fixed(Bytes::new()));
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            response.headers_mut().insert(header::LOCATION, location);
            uncached(response)
        }
        Answer::Missing => uncached(Failure::NoFile.response()),
    })
}
