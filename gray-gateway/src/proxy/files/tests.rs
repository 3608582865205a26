//! Lookups on a real directory, without sockets; what goes over the wire is in `tests/proxy/files.rs`.

use std::{fs, path::Path};

use http::{HeaderMap, Request, Uri, request::Parts};

use super::{
    answer::{Answer, Keep, answer},
    path::{decoded, is_html, is_page, with_slash},
};
use crate::route::FileOptions;

#[test]
fn paths_that_may_name_a_file() {
    for (path, expect) in [
        ("/", "/"),
        ("/a/b.js", "/a/b.js"),
        ("/a%20b", "/a b"),
        ("/%E4%B8%AD.html", "/中.html"),
        ("//a//", "//a//"),
        ("/a..b/c.", "/a..b/c."),
        ("/.well-known/x", "/.well-known/x"),
        ("/%2ewell-known/x", "/.well-known/x"),
        ("/%252e", "/%2e"),
    ] {
        assert_eq!(decoded(path).as_deref(), Some(expect), "{path}");
    }
    for path in [
        "/..",
        "/../a",
        "/a/..",
        "/%2e%2e/a",
        "/.%2E",
        "/.",
        "/a/./b",
        "/a%2fb",
        "/a%2F..",
        "/a\\b",
        "/a%5cb",
        "/.git/config",
        "/a/.env",
        "/%2eenv",
        "/a/.well-known/x",
        "/.well-known/.x",
        "/.well-knownx",
        "/a%00.html",
        "/a%0a",
        "/a%C2%80",
        "/%ff",
        "/%c0%ae%c0%ae/a",
    ] {
        assert_eq!(decoded(path), None, "{path}");
    }
}

#[test]
fn pages_html_and_slashes() {
    for page in ["/", "/orders", "/orders/12/", "/v1.2/orders"] {
        assert!(is_page(page), "{page}");
    }
    for file in ["/app.js", "/orders/a.b", "/favicon.ico/"] {
        assert!(!is_page(file), "{file}");
    }
    assert!(is_html("/") && is_html("/a/") && is_html("/a.HTML") && is_html("/a.htm"));
    assert!(!is_html("/a.js") && !is_html("/html") && !is_html("/a.html.js"));
    assert_eq!(with_slash("/web/a", None), "./a/");
    assert_eq!(with_slash("//evil:80", Some("b=/..")), "./evil:80/?b=/..");
}

fn head(path: &str, headers: &HeaderMap) -> Parts {
    let mut request = Request::get(path).body(()).expect("request");
    request.headers_mut().clone_from(headers);
    request.into_parts().0
}

fn get(root: &Path, options: &FileOptions, path: &str, original: Option<&str>, headers: &[(&str, &str)]) -> Answer {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(http::HeaderName::try_from(*name).expect("name"), value.parse().expect("value"));
    }
    let original: Option<Uri> = original.map(|uri| uri.parse().expect("uri"));
    answer(root, options, false, head(path, &map), original.as_ref()).expect("answered")
}

fn status(answer: &Answer) -> u16 {
    match answer {
        Answer::File(response, _) => response.status().as_u16(),
        Answer::Redirect(_) => 308,
        Answer::Missing => 404,
    }
}

fn header(answer: &Answer, name: &str) -> String {
    match answer {
        Answer::File(response, _) => response.headers().get(name).map_or("-", |value| value.to_str().expect("text")),
        Answer::Redirect(location) => location.to_str().expect("text"),
        Answer::Missing => "-",
    }
    .to_owned()
}

#[test]
fn the_public_path_decides_about_the_slash() {
    let root = tempfile::tempdir().expect("directory");
    fs::write(root.path().join("index.html"), "home").expect("written");
    fs::create_dir(root.path().join("a")).expect("created");
    fs::write(root.path().join("a/index.html"), "a").expect("written");
    let options = FileOptions::default();
    let ask = |path: &str, original: Option<&str>| get(root.path(), &options, path, original, &[]);

    assert_eq!(header(&ask("/", Some("/web?x=1")), "location"), "./web/?x=1");
    assert_eq!(status(&ask("/", Some("/web/"))), 200);
    assert_eq!(header(&ask("/a?x", None), "location"), "./a/?x");
    assert_eq!(header(&ask("/a", Some("/web/b")), "location"), "./b/");
    assert_eq!(header(&ask("/a", Some("/web/b/")), "content-length"), "1", "a filter took the slash off");
    assert_eq!(status(&ask("/index.html", Some("/web"))), 200, "a filter chose a file");
    assert_eq!(status(&ask("/index.html/", None)), 404);
}

#[test]
fn versions_do_not_share_their_etags() {
    let root = tempfile::tempdir().expect("directory");
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1);
    for version in ["v1", "v2"] {
        fs::create_dir(root.path().join(version)).expect("created");
        for name in ["index.html", "index.html.gz", "index.html.br"] {
            let path = root.path().join(version).join(name);
            fs::write(&path, version).expect("written");
            fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(time)).expect("set");
        }
    }
    let options = FileOptions::default();
    let etag = |version: &str, coding: &str| {
        let answer = get(&root.path().join(version), &options, "/", None, &[("accept-encoding", coding)]);
        header(&answer, "etag")
    };
    let mut tags: Vec<String> = ["identity", "gzip", "br"].map(|coding| etag("v1", coding)).into();
    tags.extend(["identity", "gzip", "br"].map(|coding| etag("v2", coding)));
    assert!(tags.iter().all(|tag| tag.starts_with('"')), "{tags:?}");
    let distinct: std::collections::BTreeSet<_> = tags.iter().collect();
    assert_eq!(distinct.len(), 6, "{tags:?}");

    // The same, when a link is switched.
    let current = root.path().join("current");
    std::os::unix::fs::symlink("v1", &current).expect("linked");
    assert_eq!(etag("current", "br"), tags[2]);
    fs::remove_file(&current).and_then(|()| std::os::unix::fs::symlink("v2", &current)).expect("linked");
    assert_eq!(etag("current", "br"), tags[5]);
}

#[test]
fn a_time_of_an_older_version_is_not_taken_for_current() {
    let root = tempfile::tempdir().expect("directory");
    fs::write(root.path().join("a.js"), "0123456789").expect("written");
    let mut options = FileOptions::default();
    options.max_age = 60;
    let ask = |headers: &[(&str, &str)]| get(root.path(), &options, "/a.js", None, headers);
    let plain = ask(&[]);
    let (etag, modified) = (header(&plain, "etag"), header(&plain, "last-modified"));
    let later = "Fri, 31 Dec 2100 00:00:00 GMT";

    let unmodified = ask(&[("if-modified-since", &modified)]);
    assert_eq!(status(&unmodified), 304);
    assert_eq!(header(&unmodified, "etag"), etag);
    assert!(matches!(unmodified, Answer::File(_, Keep::For(60))));
    assert_eq!(header(&unmodified, "content-length"), "-");
    assert_eq!(status(&ask(&[("if-modified-since", later)])), 200);
    assert_eq!(status(&ask(&[("if-none-match", "\"x\""), ("if-modified-since", &modified)])), 200, "the ETag counts");
    assert_eq!(status(&ask(&[("if-none-match", &format!("\"x\", W/{etag}"))])), 304);
    assert_eq!(status(&ask(&[("if-match", "\"x\"")])), 412);

    let range = ("range", "bytes=2-4");
    assert_eq!(status(&ask(&[range])), 206);
    assert_eq!(status(&ask(&[range, ("if-range", &etag)])), 206);
    assert_eq!(status(&ask(&[range, ("if-range", &modified)])), 206);
    assert_eq!(status(&ask(&[range, ("if-range", later)])), 200);
    assert_eq!(status(&ask(&[range, ("if-range", "\"x\"")])), 200);
    assert_eq!(status(&ask(&[("range", "bytes=50-"), ("if-range", "\"x\"")])), 200);
    assert_eq!(status(&ask(&[range, ("if-modified-since", &modified)])), 304);
    assert_eq!(status(&ask(&[("range", "items=2-4")])), 200);
    assert_eq!(status(&ask(&[("range", "bytes=0-1,4-5")])), 200);
    assert_eq!(status(&ask(&[("range", "bytes=50-")])), 416);
}

#[test]
fn what_is_no_file_is_missing() {
    let root = tempfile::tempdir().expect("directory");
    fs::create_dir(root.path().join("dir.js")).expect("created");
    fs::create_dir(root.path().join("index.html")).expect("created");
    let _socket = std::os::unix::net::UnixListener::bind(root.path().join("socket.js")).expect("bound");
    let mut options = FileOptions::default();
    options.fallback = Some("index.html".into());
    for path in ["/", "/page", "/socket.js", "/dir.js/", "/missing.js", "/dir.js/x.js", "/socket.js/x.js"] {
        assert_eq!(status(&get(root.path(), &options, path, None, &[])), 404, "{path}");
    }
    let long = format!("/{}.js", "x".repeat(300));
    assert_eq!(status(&get(root.path(), &options, &long, None, &[])), 404);
}

#[test]
fn a_missing_directory_is_an_error() {
    let root = tempfile::tempdir().expect("directory").path().join("gone");
    let answer = answer(&root, &FileOptions::default(), false, head("/", &HeaderMap::new()), None);
    assert_eq!(answer.err().map(|error| error.kind()), Some(std::io::ErrorKind::NotFound));
}

#[test]
fn the_time_of_a_file_says_nothing_where_lanes_differ() {
    let root = tempfile::tempdir().expect("directory");
    fs::write(root.path().join("a.js"), "0123456789").expect("written");
    let ask = |by_lane, headers: &[(&str, &str)]| {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(http::HeaderName::try_from(*name).expect("name"), value.parse().expect("value"));
        }
        answer(root.path(), &FileOptions::default(), by_lane, head("/a.js", &map), None).expect("answered")
    };
    let plain = ask(true, &[]);
    let (etag, modified) = (header(&plain, "etag"), header(&plain, "last-modified"));
    for (by_lane, status_by_date, status_of_range) in [(false, 304, 206), (true, 200, 200)] {
        assert_eq!(status(&ask(by_lane, &[("if-modified-since", &modified)])), status_by_date);
        assert_eq!(status(&ask(by_lane, &[("range", "bytes=2-4"), ("if-range", &modified)])), status_of_range);
        assert_eq!(status(&ask(by_lane, &[("if-none-match", &etag)])), 304);
        assert_eq!(status(&ask(by_lane, &[("range", "bytes=2-4"), ("if-range", &etag)])), 206);
    }
}
