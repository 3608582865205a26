//! Files out of a directory, over real sockets.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use tempfile::TempDir;
use tokio::io::AsyncReadExt;

use crate::{
    support::{Backend, Client, Gateway, Response, Setup, soon, spawn, until},
    wire::read_head,
};

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

#[tokio::test]
async fn no_path_leaves_the_directory() {
    let site = site().await;
    let absolute = site.dir.path().join("secret.txt");
    let absolute = absolute.display();
    let written = [
        "/web/../secret.txt",
        "/web/../../etc/passwd",
        "/web/assets/../../secret.txt",
        "/web/%2e%2e/secret.txt",
        "/web/%2E%2E/secret.txt",
        "/web/.%2e/secret.txt",
        "/web/%2e./secret.txt",
        "/web/..%2fsecret.txt",
        "/web/..%2Fsecret.txt",
        "/web/%2e%2e%2fsecret.txt",
        "/web/assets%2f..%2f..%2fsecret.txt",
        "/web/..%5csecret.txt",
        "/web/..\\secret.txt",
        "/web/%252e%252e/secret.txt",
        "/web/%252e%252e%252fsecret.txt",
        "/web/..;/secret.txt",
        "/web/..;x=1/secret.txt",
        "/web/.../secret.txt",
        "/web/....//secret.txt",
        "/web/%c0%ae%c0%ae/secret.txt",
        "/web/%c0%ae%c0%ae%c0%afsecret.txt",
        "/web/%uff0e%uff0e/secret.txt",
        "/web/%ef%bc%8e%ef%bc%8e/secret.txt",
        "/web/..%00/secret.txt",
        "/web/index.html%00.js",
        "/web/app.js/../../secret.txt",
        "/web/assets/./../../secret.txt",
        "/web//..//secret.txt",
        "/web/..",
        "/web/../",
        "/web/%2e%2e",
        "/web/../web/.env",
        "/web/.env",
        "/web/%2eenv",
        "/web/.git/config",
        "/web/.git",
        "/web/assets/%2e%2e/.env",
        "/web/%2fetc%2fpasswd",
        "/web/file:%2f%2f/etc/passwd",
        "/web/.well-known/../.env",
        "/web/.well-known/%2e%2e/.env",
        "http://shop:7000/web/../secret.txt",
        "/%2e%2e/web/secret.txt",
        "/..web/secret.txt",
        "/page/../secret.txt",
        "/page/%2e%2e/secret.txt",
        "/page/..%2fsecret.txt",
    ];
    let made = [format!("/web/{absolute}"), format!("/web/{}", absolute.to_string().replace('/', "%2f"))];
    for target in written.into_iter().chain(made.iter().map(String::as_str)) {
        for headers in ["", "Accept-Encoding: br, gzip\r\n", "Range: bytes=0-\r\n"] {
            let response = site.ask("GET", target, headers).await;
            assert!(matches!(response.status, 400 | 404), "{target}: {}", response.status);
            assert!(!response.body.contains(SECRET) && !response.body.contains("root:"), "{target}");
            assert!(!response.head.contains("etag"), "{target}");
        }
    }
}

#[tokio::test]
async fn links_are_followed_inside_only() {
    let site = site().await;
    let root = site.root();
    for (link, target) in [
        ("inside.js", "app.js"),
        ("dir", "assets"),
        ("assets/up.js", "../app.js"),
        ("out.txt", "../secret.txt"),
        ("outdir", ".."),
        ("assets/out.txt", "../../secret.txt"),
        ("loop", "loop"),
        ("chain.txt", "outdir/secret.txt"),
        ("through.txt", "outdir/web/index.html"),
        ("app.js.gz", "../secret.txt"),
    ] {
        symlink(target, root.join(link)).expect("linked");
    }
    symlink(site.dir.path().join("secret.txt"), root.join("absolute.txt")).expect("linked");
    symlink(root.join("app.js"), root.join("absolute.js")).expect("linked");
    symlink("/etc", root.join("etc")).expect("linked");
    for (target, body) in [("inside.js", "0123456789"), ("assets/up.js", "0123456789"), ("dir/packed.js", "plain")] {
        assert_eq!(site.get(&format!("/web/{target}")).await.body, body, "{target}");
    }
    for target in [
        "out.txt",
        "outdir/secret.txt",
        "outdir/",
        "outdir",
        "assets/out.txt",
        "chain.txt",
        "through.txt",
        "absolute.txt",
        "absolute.js",
        "etc/passwd",
        "etc/",
        "etc",
    ] {
        let response = site.get(&format!("/web/{target}")).await;
        assert_eq!(response.status, 404, "{target}: {}", response.body);
    }
    assert_ne!(site.get("/web/loop").await.status, 200);
    let packed = site.ask("GET", "/web/app.js", "Accept-Encoding: gzip\r\n").await;
    assert!(!packed.body.contains(SECRET));
}

/// A file whose content is one letter all over.
fn uniform(path: &Path, letter: u8, len: usize) {
    fs::write(path, vec![letter; len]).expect("written");
}

fn is_uniform(body: &str, len: usize) -> bool {
    body.len() == len && body.bytes().all(|byte| Some(&byte) == body.as_bytes().first())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_replaced_is_old_or_new() {
    const SIZES: [usize; 2] = [3_000_000, 20_000];
    let site = site().await;
    let root = site.root();
    for size in SIZES {
        uniform(&root.join(format!("{size}.bin")), b'a', size);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = Arc::clone(&stop);
    let writer = std::thread::spawn(move || {
        for turn in 0_u8.. {
            if stopping.load(SeqCst) {
                return turn;
            }
            for size in SIZES {
                uniform(&root.join("next"), b'a' + turn % 26, size);
                fs::rename(root.join("next"), root.join(format!("{size}.bin"))).expect("renamed");
            }
        }
        0
    });
    for _ in 0..20 {
        for size in SIZES {
            let response = site.get(&format!("/web/{size}.bin")).await;
            assert!(response.status == 200 && is_uniform(&response.body, size), "{size}: {}", response.body.len());
        }
    }
    // Replaced, then deleted, while the client is taking it.
    let mut client = site.gateway.client().await;
    client.send("GET /web/3000000.bin HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = client.head().await.expect("a head");
    stop.store(true, SeqCst);
    writer.join().expect("written");
    fs::remove_file(site.root().join("3000000.bin")).expect("removed");
    let body = soon(crate::wire::read_body(&mut client.socket, &mut client.buffer, &head.head)).await.expect("whole");
    assert!(is_uniform(&String::from_utf8_lossy(&body), 3_000_000));
}

#[tokio::test]
async fn a_file_that_gets_shorter_breaks_off() {
    let site = site().await;
    // More than sockets hold.
    let path = site.root().join("big.bin");
    uniform(&path, b'x', 64 << 20);
    let mut client = site.gateway.client().await;
    client.send("GET /web/big.bin HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.head().await.expect("a head").header("content-length"), Some("67108864"));
    fs::File::options().write(true).open(&path).and_then(|file| file.set_len(0)).expect("cut");
    let mut rest = Vec::new();
    let _ended = soon(client.socket.read_to_end(&mut rest)).await;
    assert!(rest.len() < 64 << 20);
}

#[tokio::test]
async fn requests_for_files_are_counted_to_their_end() {
    let site = site().await;
    uniform(&site.root().join("big.bin"), b'x', 64 << 20);
    let mut client = Client::connect(site.gateway.address).await;
    client.send("GET /web/big.bin HTTP/1.1\r\nHost: a\r\n\r\n").await;
    soon(read_head(&mut client.socket, &mut client.buffer)).await.expect("a head");
    let stats = || site.gateway.stats.snapshot();
    assert_eq!((stats().in_flight, stats().responses, stats().decisions), (1, [0, 1, 0, 0, 0], [0, 1, 0]));
    // The client goes away in the middle.
    drop(client);
    until("the request to end", || stats().in_flight == 0).await;
    assert_eq!(site.get("/web/missing.js").await.status, 404);
    assert_eq!(site.get("/web/assets").await.status, 308);
    until("all to end", || stats().in_flight == 0).await;
    assert_eq!((stats().responses, stats().no_route), ([0, 1, 1, 1, 0], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_downloads_hold_up_nobody() {
    let backend = Backend::named("v1").await;
    let site = Arc::new(Site::new(&backend));
    uniform(&site.root().join("big.bin"), b'x', 64 << 20);
    let mut slow = Vec::new();
    for _ in 0..16 {
        let mut client = site.gateway.client().await;
        client.send("GET /web/big.bin HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.head().await.expect("a head").status, 200);
        slow.push(client);
    }
    let asking: Vec<_> = (0..8)
        .map(|_| {
            let site = Arc::clone(&site);
            spawn(async move {
                for _ in 0..25 {
                    assert_eq!(site.gateway.get("").await.body, "v1");
                    assert_eq!(site.get("/web/app.js").await.body, "0123456789");
                }
            })
        })
        .collect();
    for asked in asking {
        soon(asked).await.expect("answered");
    }
    assert_eq!(site.gateway.stats.snapshot().in_flight, 16);
    assert_eq!(backend.seen().len(), 200);
    drop(slow);
    until("the downloads to end", || site.gateway.stats.snapshot().in_flight == 0).await;
}

#[tokio::test]
async fn a_drain_lets_a_download_finish() {
    let site = site().await;
    uniform(&site.root().join("big.bin"), b'x', 16 << 20);
    let mut client = site.gateway.client().await;
    client.send("GET /web/big.bin HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = client.head().await.expect("a head");
    let Site { gateway, dir } = site;
    let shutdown = spawn(gateway.workers.shutdown(std::time::Duration::from_secs(10)));
    let body = soon(crate::wire::read_body(&mut client.socket, &mut client.buffer, &head.head)).await.expect("whole");
    assert_eq!(body.len(), 16 << 20);
    assert_eq!(soon(shutdown).await.expect("ended"), 0);
    drop(dir);
}
