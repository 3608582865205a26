//! The answer to one GET or HEAD. Blocks: it is for the blocking pool.

use std::{io, path::Path};

use bytes::Bytes;
use futures_util::FutureExt;
use gray_rules::Vary;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header, request::Parts};
use http_body_util::Empty;
use tower_http::services::{
    ServeDir,
    fs::{DefaultServeDirFallback, ServeFileSystemResponseBody as FileBody},
};

use super::{path, root::Root};
use crate::route::{FileOptions, Versioned};

const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-cache");
/// A year, which is for ever (RFC 9111, 4.2.1).
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// What there is to say.
pub(super) enum Answer {
    /// A file, part of one, or that a precondition failed. With its content even for HEAD.
    File(Response<FileBody>, Keep),
    /// The directory is there, with a slash behind it.
    Redirect(HeaderValue),
    /// Nothing that is served.
    Missing,
}

/// Finds the file and opens it. `by_lane`: another lane may have another file under the same name.
pub(super) fn answer(
    root: &Path,
    options: &FileOptions,
    by_lane: bool,
    head: Parts,
    original: Option<&Uri>,
) -> io::Result<Answer> {
    let Some(decoded) = path::decoded(head.uri.path()) else { return Ok(Answer::Missing) };
    let public = original.unwrap_or(&head.uri);
    let asked = head.uri.path();
    let mut files = Files::new(Root::open(root)?, &head, by_lane);

    let (mut found, mut served) = (files.find(asked)?, asked);
    let with_slash;
    let is_directory = match &found {
        Found::Directory => true,
        // `/web` that a filter made `/`: relative links of the page would lead astray.
        Found::File(_) => asked.ends_with('/'),
        Found::Nothing => false,
    };
    if is_directory && !public.path().ends_with('/') {
        let location = path::with_slash(public.path(), public.query());
        return HeaderValue::try_from(location).map(Answer::Redirect).map_err(io::Error::other);
    }
    if let Found::Directory = found {
        with_slash = format!("{asked}/");
        (found, served) = (files.find(&with_slash)?, &with_slash);
    }
    let versioned = options.versioned.as_deref().filter(|it| it.has(&decoded) && !path::is_html(served));
    if let (Found::Nothing, Some(versioned)) = (&found, versioned) {
        found = elsewhere(versioned, root, &head, asked);
    }
    let (response, keep) = match (found, &options.fallback) {
        (Found::File(response), _) if versioned.is_some() => (response, Keep::ForEver),
        (Found::File(response), _) if path::is_html(served) => (response, Keep::Asking),
        (Found::File(response), _) => (response, Keep::For(options.max_age)),
        (_, Some(page)) if path::is_page(&decoded) => match files.find(&format!("/{page}"))? {
            Found::File(response) => (response, Keep::Asking),
            Found::Directory | Found::Nothing => return Ok(Answer::Missing),
        },
        _ => return Ok(Answer::Missing),
    };
    Ok(Answer::File(response, keep))
}

/// The file of that name in another directory of the route. A directory that is not there has none.
fn elsewhere(versioned: &Versioned, root: &Path, head: &Parts, asked: &str) -> Found {
    let find = |other| Files::new(Root::open(other).ok()?, head, false).find(asked).ok();
    let is_file = |found: &Found| matches!(found, Found::File(_));
    versioned.others(root).filter_map(find).find(is_file).unwrap_or(Found::Nothing)
}

/// How long a cache may use an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// It always asks whether it is still the same.
    Asking,
    /// So many seconds.
    For(u32),
    /// The name changes with the content, and no lane has another one under it.
    ForEver,
}

impl Keep {
    /// `Cache-Control`, and whether `Vary` has to name what decides; `by_lane` as far as the lane changes the answer.
    pub(super) fn said(self, by_lane: Option<&Vary>) -> (HeaderValue, bool) {
        match (self, by_lane) {
            (Self::ForEver, _) => (IMMUTABLE, false),
            (Self::For(seconds @ 1..), vary) if vary.is_none_or(Vary::is_complete) => {
                (HeaderValue::try_from(format!("public, max-age={seconds}")).unwrap_or(NO_CACHE), vary.is_some())
            }
            (_, Some(_)) => (PRIVATE, true),
            (_, None) => (NO_CACHE, false),
        }
    }
}

/// What a lookup comes to.
enum Found {
    File(Response<FileBody>),
    /// A directory, asked for without its slash.
    Directory,
    Nothing,
}

struct Files {
    service: ServeDir<DefaultServeDirFallback, Root>,
    /// What the client wants to know of a file, as far as `ServeDir` decides it.
    headers: HeaderMap,
    if_range: Option<HeaderValue>,
    if_modified_since: Option<HeaderValue>,
    /// Whether a file's time says which one it is. Builds that can be repeated give those of all versions the same.
    by_date: bool,
}

impl Files {
    fn new(root: Root, head: &Parts, by_lane: bool) -> Self {
        let service = ServeDir::with_backend("", root).precompressed_br().precompressed_gzip();
        let mut headers = head.headers.clone();
        // A range is for GET, and in bytes; everything else is to be ignored, not to be refused.
        let in_bytes =
            |range: &HeaderValue| range.as_bytes().get(..6).is_some_and(|unit| unit.eq_ignore_ascii_case(b"bytes="));
        if head.method != Method::GET || !headers.get(header::RANGE).is_some_and(in_bytes) {
            headers.remove(header::RANGE);
        }
        let if_range = headers.remove(header::IF_RANGE);
        // Compared exactly, below: after a step back to an older version its files are older than what the client
        // has, and changed nevertheless.
        let since = headers.remove(header::IF_MODIFIED_SINCE);
        let if_modified_since = since.filter(|_| !by_lane && !headers.contains_key(header::IF_NONE_MATCH));
        let service = service.ignore_multi_range_requests(true);
        Self { service, headers, if_range, if_modified_since, by_date: !by_lane }
    }

    fn find(&mut self, path: &str) -> io::Result<Found> {
        let mut found = self.call(path)?;
        if let Found::File(response) = &mut found {
            let is_part = matches!(response.status(), StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE);
            if is_part
                && self.if_range.as_ref().is_some_and(|known| !is_current(known, response.headers(), self.by_date))
            {
                // The client has a part of another version: it gets all of this one.
                self.headers.remove(header::RANGE);
                return self.find(path);
            }
            if self.if_modified_since.is_some()
                && self.if_modified_since.as_ref() == response.headers().get(header::LAST_MODIFIED)
                && (is_part || response.status() == StatusCode::OK)
            {
                not_modified(response);
            }
        }
        Ok(found)
    }

    fn call(&mut self, path: &str) -> io::Result<Found> {
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = Uri::try_from(path).map_err(io::Error::other)?;
        *request.headers_mut() = self.headers.clone();
        // Ready at once, as the directory's futures are.
        let answered = self.service.try_call(request).now_or_never();
        match answered.unwrap_or_else(|| Err(io::Error::other("files were to be read without waiting"))) {
            Ok(response) => Ok(match response.status() {
                StatusCode::TEMPORARY_REDIRECT => Found::Directory,
                StatusCode::NOT_FOUND => Found::Nothing,
                _ => Found::File(response),
            }),
            Err(error) if is_absence(&error) => Ok(Found::Nothing),
            Err(error) => Err(error),
        }
    }
}

/// Errors that belong to the path asked for; anything else is trouble with the disk or the machine.
fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, InvalidInput, IsADirectory, NotADirectory, NotFound, PermissionDenied};
    // Leaving the directory is a denied permission.
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory | PermissionDenied | InvalidInput | InvalidFilename)
}

/// Whether `If-Range` names exactly this version.
fn is_current(known: &HeaderValue, headers: &HeaderMap, by_date: bool) -> bool {
    let is = |name| headers.get(name) == Some(known);
    is(header::ETAG) || by_date && is(header::LAST_MODIFIED)
}

fn not_modified(response: &mut Response<FileBody>) {
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    *response.body_mut() = FileBody::default();
    for name in [header::CONTENT_LENGTH, header::CONTENT_TYPE, header::CONTENT_ENCODING, header::CONTENT_RANGE] {
        response.headers_mut().remove(name);
    }
}
