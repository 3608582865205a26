//! Files out of a directory, over real sockets: what is answered.

mod life;
mod safety;
mod versions;

use std::fs;

use tempfile::TempDir;

use crate::support::{Backend, Gateway, Response, Setup, soon};

/// Outside of every served directory; must never be seen.
const SECRET: &str = "the secret";

/// `web` is served; next to it lies what must not be.
struct Site {
    dir: TempDir,
    gateway: Gateway,
}

impl Site {
    /// Serves `/web/**` without its first segment, `/page/**` with a fallback, `/long/**` with a max-age, and
    /// `/api/**` from a backend.
    fn new(backend: &Backend) -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let root = dir.path().join("web");
        for folder in ["web", "web/assets", "web/empty", "web/.git", "web/.well-known"] {
            fs::create_dir(dir.path().join(folder)).expect("created");
        }
        for (name, content) in [
            ("index.html", "<home>"),
            ("app.js", "0123456789"),
            ("a b.txt", "space"),
            ("中.css", "body {}"),
            ("noextension", "?"),
            ("assets/index.html", "<assets>"),
            ("assets/packed.js", "plain"),
            ("assets/packed.js.gz", "gzipped"),
            ("assets/packed.js.br", "brotli!!"),
            (".env", SECRET),
            (".git/config", SECRET),
            (".well-known/security.txt", "well known"),
            ("../secret.txt", SECRET),
        ] {
            fs::write(root.join(name), content).expect("written");
        }
        let uri = format!("file://{}", root.display());
        let routes = format!(
            "
- {{ id: page, uri: '{uri}', predicates: ['Path=/page/**'], filters: ['StripPrefix=1'], metadata: {{ fallback: index.html, max-age: 60 }} }}
- {{ id: long, uri: '{uri}', predicates: ['Path=/long/**'], filters: ['StripPrefix=1'], metadata: {{ max-age: 3600 }} }}
- {{ id: web, uri: '{uri}', predicates: ['Path=/web/**'], filters: ['StripPrefix=1', 'AddResponseHeader=X-Lane, v1'] }}
- {{ id: gone, uri: '{uri}-gone', predicates: ['Path=/gone/**'] }}
- {{ id: app, uri: 'lb://app', predicates: ['Path=/api/**'], filters: ['StripPrefix=1'] }}"
        );
        let gateway = Setup::with_routes(&routes, &[backend.instance("V1")]).start();
        Self { dir, gateway }
    }

    fn root(&self) -> std::path::PathBuf {
        self.dir.path().join("web")
    }

    async fn ask(&self, method: &str, target: &str, headers: &str) -> Response {
        let mut client = self.gateway.client().await;
        client.send(&format!("{method} {target} HTTP/1.1\r\nHost: shop:7000\r\n{headers}\r\n")).await;
        if method == "HEAD" { client.head().await.expect("a response") } else { client.response().await }
    }

    async fn get(&self, target: &str) -> Response {
        self.ask("GET", target, "").await
    }
}

async fn site() -> Site {
    Site::new(&Backend::named("v1").await)
}

#[tokio::test]
async fn files_with_type_length_and_validators() {
    let site = site().await;
    for (target, content_type, body) in [
        ("/web/", "text/html", "<home>"),
        ("/web/index.html", "text/html", "<home>"),
        ("/web/app.js", "text/javascript", "0123456789"),
        ("/web/app.js?v=1", "text/javascript", "0123456789"),
        ("/web/a%20b.txt", "text/plain", "space"),
        ("/web/%E4%B8%AD.css", "text/css", "body {}"),
        ("/web//assets//packed.js", "text/javascript", "plain"),
        ("/web/noextension", "application/octet-stream", "?"),
        ("/web/.well-known/security.txt", "text/plain", "well known"),
    ] {
        let response = site.get(target).await;
        assert_eq!((response.status, &*response.body), (200, body), "{target}");
        assert_eq!(response.header("content-type"), Some(content_type), "{target}");
        assert_eq!(response.header("content-length"), Some(&*body.len().to_string()), "{target}");
        assert_eq!(response.header("vary"), Some("Accept-Encoding"), "{target}");
        assert_eq!(response.header("cache-control"), Some("no-cache"), "{target}");
        assert_eq!(response.header("x-lane"), Some("v1"), "{target}: the route's filters");
        assert!(response.header("etag").is_some() && response.header("last-modified").is_some(), "{target}");
        assert!(response.header("transfer-encoding").is_none(), "{target}");

        let head = site.ask("HEAD", target, "Range: bytes=0-1\r\n").await;
        let but_date =
            |head: &str| head.lines().filter(|line| !line.starts_with("date:")).collect::<Vec<_>>().join("\n");
        assert_eq!(but_date(&head.head), but_date(&response.head), "{target}");
    }
    for target in ["/web/missing.js", "/web/missing", "/web/app.js/", "/web/app.js/x", "/web/empty/"] {
        let response = site.get(target).await;
        assert_eq!((response.status, response.header("cache-control")), (404, Some("no-cache")), "{target}");
        assert!(response.body.contains("no such file") && response.header("x-lane").is_some(), "{target}");
    }
    assert_eq!(site.get("/gone/index.html").await.status, 500);
}

#[tokio::test]
async fn a_head_keeps_its_connection() {
    let site = site().await;
    let mut client = site.gateway.client().await;
    for method in ["HEAD", "GET", "HEAD", "GET"] {
        client.send(&format!("{method} /web/app.js HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let response = if method == "HEAD" { client.head().await.expect("a head") } else { client.response().await };
        assert_eq!((response.status, response.header("content-length")), (200, Some("10")));
        assert!(client.buffer.is_empty());
    }
}

#[tokio::test]
async fn conditions_and_ranges() {
    let site = site().await;
    let plain = site.get("/long/app.js").await;
    assert_eq!(plain.header("cache-control"), Some("public, max-age=3600"));
    assert_eq!(plain.header("accept-ranges"), Some("bytes"));
    let (etag, modified) = (plain.header("etag").expect("etag"), plain.header("last-modified").expect("date"));
    for (headers, status, body, range) in [
        (format!("If-None-Match: {etag}\r\n"), 304, "", None),
        ("If-None-Match: *\r\n".to_owned(), 304, "", None),
        ("If-None-Match: \"other\"\r\n".to_owned(), 200, "0123456789", None),
        (format!("If-Modified-Since: {modified}\r\n"), 304, "", None),
        ("Range: bytes=2-4\r\n".to_owned(), 206, "234", Some("bytes 2-4/10")),
        ("Range: bytes=7-\r\n".to_owned(), 206, "789", Some("bytes 7-9/10")),
        ("Range: bytes=-2\r\n".to_owned(), 206, "89", Some("bytes 8-9/10")),
        ("Range: bytes=8-99\r\n".to_owned(), 206, "89", Some("bytes 8-9/10")),
        ("Range: bytes=10-\r\n".to_owned(), 416, "", Some("bytes */10")),
        ("Range: bytes=0-1,3-4\r\n".to_owned(), 200, "0123456789", None),
        (format!("Range: bytes=2-4\r\nIf-Range: {etag}\r\n"), 206, "234", Some("bytes 2-4/10")),
        ("Range: bytes=2-4\r\nIf-Range: \"other\"\r\n".to_owned(), 200, "0123456789", None),
    ] {
        let response = site.ask("GET", "/long/app.js", &headers).await;
        assert_eq!((response.status, &*response.body), (status, body), "{headers}");
        assert_eq!(response.header("content-range"), range, "{headers}");
        if status != 416 {
            assert_eq!(response.header("etag"), Some(etag), "{headers}");
            assert_eq!(response.header("cache-control"), Some("public, max-age=3600"), "{headers}");
        }
    }
    assert_eq!(site.get("/long/index.html").await.header("cache-control"), Some("no-cache"));
    assert_eq!(site.get("/long/").await.header("cache-control"), Some("no-cache"));
}

#[tokio::test]
async fn precompressed_siblings() {
    let site = site().await;
    for (accepted, coding, body) in [
        ("", None, "plain"),
        ("Accept-Encoding: gzip\r\n", Some("gzip"), "gzipped"),
        ("Accept-Encoding: gzip, deflate, br\r\n", Some("br"), "brotli!!"),
        ("Accept-Encoding: br;q=0.1, gzip\r\n", Some("gzip"), "gzipped"),
        ("Accept-Encoding: gzip;q=0, br;q=0\r\n", None, "plain"),
        ("Accept-Encoding: zstd\r\n", None, "plain"),
    ] {
        let response = site.ask("GET", "/web/assets/packed.js", accepted).await;
        assert_eq!((response.header("content-encoding"), &*response.body), (coding, body), "{accepted}");
        assert_eq!(response.header("content-type"), Some("text/javascript"), "{accepted}");
        assert_eq!(response.header("vary"), Some("Accept-Encoding"), "{accepted}");
    }
    let lonely = site.ask("GET", "/web/app.js", "Accept-Encoding: br, gzip\r\n").await;
    assert_eq!((lonely.header("content-encoding"), &*lonely.body), (None, "0123456789"));
}

#[tokio::test]
async fn a_directory_is_asked_for_with_a_slash() {
    let site = site().await;
    for (target, location) in [
        ("/web/assets", "./assets/"),
        ("/web/assets?a=b/c", "./assets/?a=b/c"),
        ("/web", "./web/"),
        ("/web//assets", "./assets/"),
    ] {
        let response = site.get(target).await;
        assert_eq!((response.status, response.header("location")), (308, Some(location)), "{target}");
        assert_eq!(response.header("cache-control"), Some("no-cache"), "{target}");
        assert_eq!(response.header("x-lane"), Some("v1"), "{target}");
    }
    assert_eq!(site.get("/web/assets/?a=b").await.body, "<assets>");
    // What a browser makes of it.
    let address = site.gateway.address;
    let followed = soon(
        reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("client")
            .get(format!("http://{address}/web/assets?a=b"))
            .send(),
    );
    let followed = followed.await.expect("answered");
    assert_eq!(followed.url().as_str(), format!("http://{address}/web/assets/?a=b"));
    assert_eq!(followed.text().await.expect("text"), "<assets>");
}

#[tokio::test]
async fn a_single_page_app_answers_its_pages() {
    let site = site().await;
    for target in ["/page/", "/page/orders", "/page/orders/12?x=1", "/page/orders/12/", "/page/v1.2/orders"] {
        let response = site.get(target).await;
        assert_eq!((response.status, &*response.body), (200, "<home>"), "{target}");
        assert_eq!(response.header("content-type"), Some("text/html"), "{target}");
        assert_eq!(response.header("cache-control"), Some("no-cache"), "{target}");
        let etag = response.header("etag").expect("etag");
        assert_eq!(site.ask("GET", target, &format!("If-None-Match: {etag}\r\n")).await.status, 304, "{target}");
    }
    for target in ["/page/missing.js", "/page/assets/missing.css", "/page/.git/config", "/page/a%2fb"] {
        assert_eq!(site.get(target).await.status, 404, "{target}");
    }
    assert_eq!(site.get("/page/app.js").await.header("cache-control"), Some("public, max-age=60"));
    assert_eq!(site.ask("HEAD", "/page/orders", "").await.status, 200);
}

#[tokio::test]
async fn other_methods_are_not_allowed() {
    let site = site().await;
    for (method, headers) in [
        ("POST", "Content-Length: 0\r\n"),
        ("PUT", "Content-Length: 0\r\n"),
        ("DELETE", ""),
        ("PATCH", ""),
        ("OPTIONS", ""),
        ("TRACE", ""),
        ("get", ""),
    ] {
        let response = site.ask(method, "/web/app.js", headers).await;
        assert_eq!((response.status, response.header("allow")), (405, Some("GET, HEAD")), "{method}");
        assert_eq!(response.header("x-lane"), Some("v1"), "{method}");
    }
    let upload = site.ask("POST", "/web/app.js", "Content-Length: 5\r\n\r\nhello").await;
    assert_eq!(upload.status, 405);
    let websocket =
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n";
    assert_eq!(site.ask("GET", "/web/app.js", websocket).await.status, 200);
}
