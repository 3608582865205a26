//! A directory for each lane: what caches are told, and what pages get whose user has changed lanes meanwhile.

use std::fs;

use tempfile::TempDir;

use crate::support::{Backend, Gateway, Response, Setup};

const IMMUTABLE: &str = "public, max-age=31536000, immutable";

struct Versions {
    dir: TempDir,
    gateway: Gateway,
}

impl Versions {
    /// `/` out of `v1`, or `v2` for the rule; `/api/**` from an instance. All files of both versions are of one time and, by
    /// pairs, of one size, as those of builds that can be repeated.
    async fn new(rule: &str) -> Self {
        let backend = Backend::answering(
            "HTTP/1.1 200 OK\r\nCache-Control: public, max-age=60\r\nVary: Accept\r\nContent-Length: 2\r\n\r\nok",
        )
        .await;
        let dir = tempfile::tempdir().expect("directory");
        let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1);
        for version in ["v1", "v2"] {
            for (name, content) in [
                ("index.html".to_owned(), format!("<{version}>")),
                ("logo.svg".to_owned(), version.to_owned()),
                (format!("assets/app.{version}.js"), version.to_owned()),
                ("assets/vendor.7.js".to_owned(), "vendor".to_owned()),
                ("assets/frame.html".to_owned(), version.to_owned()),
                (format!("assets/.{version}"), "hidden".to_owned()),
                (format!("private-{version}.js"), version.to_owned()),
            ] {
                let path = dir.path().join(version).join(name);
                fs::create_dir_all(path.parent().expect("a parent")).expect("created");
                fs::write(&path, content).expect("written");
                fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(time)).expect("set");
            }
        }
        let root = dir.path().display();
        let files =
            format!("fallback: index.html, max-age: 60, versioned: /assets/, lanes: {{ v2: 'file://{root}/v2' }}");
        let text = format!(
            "kerwin.tool.gray: {{ load: true, version: {{ prodVersion: V1, grayVersion: V2 }}, gateway: {{ enabled: true }} }}
spring.cloud.gateway.routes:
- {{ id: api, uri: 'lb://app', predicates: ['Path=/api/**'], metadata: {{ vary-by-lane: true }} }}
- {{ id: fixed, uri: 'http://{address}', predicates: ['Path=/fixed/**'], metadata: {{ vary-by-lane: true }} }}
- {{ id: plain, uri: 'lb://app', predicates: ['Path=/plain/**'] }}
- {{ id: one, uri: 'file://{root}/v1', predicates: ['Path=/one/**'], filters: ['StripPrefix=1'], metadata: {{ max-age: 60 }} }}
- {{ id: web, uri: 'file://{root}/v1', predicates: ['Path=/**'], metadata: {{ {files} }} }}
gray: {{ cookie: release, lanes: {{ v2: {{ select: V2 }} }}, rules: [{{ name: two, {rule}, lane: v2 }}] }}\n",
            address = backend.address,
        );
        let gateway = Setup::with_documents(&text, &[backend.instance("V1")]).start();
        Self { dir, gateway }
    }

    async fn get(&self, target: &str, headers: &str) -> Response {
        self.gateway.ask(&format!("GET {target} HTTP/1.1\r\nHost: shop\r\n{headers}\r\n")).await
    }
}

/// All values of a field.
fn all(response: &Response, name: &str) -> String {
    let values = response
        .head
        .lines()
        .filter_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)));
    values.map(|(_, value)| value).collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn caches_are_told_what_decides() {
    let site = Versions::new("when: { header.x: 2, cookie.uid: 7 }").await;
    for (target, cache, vary) in [
        ("/", "private, no-cache", "Accept-Encoding; cookie, x"),
        ("/some/page", "private, no-cache", "Accept-Encoding; cookie, x"),
        ("/assets", "private, no-cache", "cookie, x"),
        ("/missing.js", "private, no-cache", "cookie, x"),
        ("/assets/missing.js", "private, no-cache", "cookie, x"),
        ("/logo.svg", "public, max-age=60", "Accept-Encoding; cookie, x"),
        ("/assets/frame.html", "private, no-cache", "Accept-Encoding; cookie, x"),
        ("/assets/app.v1.js", IMMUTABLE, "Accept-Encoding"),
        ("/assets/vendor.7.js", IMMUTABLE, "Accept-Encoding"),
        ("/one/", "no-cache", "Accept-Encoding"),
        ("/one/logo.svg", "public, max-age=60", "Accept-Encoding"),
        ("/api/x", "public, max-age=60", "Accept; cookie, x"),
        // The same instance whatever is decided, and a route that does not ask for it.
        ("/fixed/x", "public, max-age=60", "Accept"),
        ("/plain/x", "public, max-age=60", "Accept"),
    ] {
        let response = site.get(target, "").await;
        assert_eq!((all(&response, "cache-control"), all(&response, "vary")), (cache.into(), vary.into()), "{target}");
        let etag = all(&response, "etag");
        if !etag.is_empty() {
            let again = site.get(target, &format!("If-None-Match: {etag}\r\n")).await;
            assert_eq!(again.status, 304, "{target}");
            assert_eq!((all(&again, "cache-control"), all(&again, "vary")), (cache.into(), vary.into()), "{target}");
        }
    }
}

#[tokio::test]
async fn what_no_field_says_is_for_one_user() {
    let site = Versions::new("when: { header.x: 2, ip: 10.0.0.0/8 }").await;
    for (target, cache, vary) in [
        ("/", "private, no-cache", "Accept-Encoding; x"),
        ("/logo.svg", "private, no-cache", "Accept-Encoding; x"),
        ("/assets/app.v1.js", IMMUTABLE, "Accept-Encoding"),
        ("/api/x", "public, max-age=60; private", "Accept; x"),
        ("/plain/x", "public, max-age=60", "Accept"),
    ] {
        let response = site.get(target, "").await;
        assert_eq!((all(&response, "cache-control"), all(&response, "vary")), (cache.into(), vary.into()), "{target}");
    }
}

#[tokio::test]
async fn a_version_never_answers_for_another() {
    let site = Versions::new("when: { header.x: 2 }").await;
    for target in ["/", "/some/page", "/logo.svg", "/assets/frame.html"] {
        let one = site.get(target, "").await;
        let (etag, modified) = (all(&one, "etag"), all(&one, "last-modified"));
        for condition in [
            format!("If-None-Match: {etag}\r\n"),
            format!("If-Modified-Since: {modified}\r\n"),
            format!("Range: bytes=1-1\r\nIf-Range: {modified}\r\n"),
            format!("Range: bytes=1-1\r\nIf-Range: {etag}\r\n"),
        ] {
            let two = site.get(target, &format!("x: 2\r\n{condition}")).await;
            assert_eq!((two.status, two.body.contains("v2")), (200, true), "{target} {condition}");
            assert_eq!(all(&two, "last-modified"), modified, "the case that is meant");
        }
    }
}

#[tokio::test]
async fn a_page_of_before_gets_its_own_files() {
    let site = Versions::new("when: { header.x: 2 }").await;
    for (target, headers, status, body) in [
        ("/assets/app.v1.js", "", 200, "v1"),
        ("/assets/app.v1.js", "x: 2\r\n", 200, "v1"),
        ("/assets/app.v2.js", "", 200, "v2"),
        ("/assets/app.v2.js", "Range: bytes=1-1\r\n", 206, "2"),
        // Not a versioned name: served from the own version's directory, or not at all.
        ("/private-v1.js", "x: 2\r\n", 404, ""),
        ("/private-v2.js", "", 404, ""),
        ("/assets/.v2", "", 404, ""),
        ("/assets/%2e%2e/private-v2.js", "", 400, ""),
        ("/assets/frame.html", "x: 2\r\n", 200, "v2"),
    ] {
        let response = site.get(target, headers).await;
        assert_eq!(response.status, status, "{target} {headers}");
        assert!(status >= 400 || response.body == body, "{target} {headers}: {}", response.body);
        let shared = all(&response, "cache-control") == IMMUTABLE;
        assert_eq!(shared, target.contains("app.v"), "{target}");
        // A cache would hand the cookie to others.
        assert_eq!(all(&response, "set-cookie").is_empty(), shared || headers != "x: 2\r\n", "{target} {headers}");
    }
    let etag = all(&site.get("/assets/app.v1.js", "").await, "etag");
    let elsewhere = site.get("/assets/app.v1.js", &format!("x: 2\r\nIf-None-Match: {etag}\r\n")).await;
    assert_eq!((elsewhere.status, all(&elsewhere, "cache-control")), (304, IMMUTABLE.to_owned()));
}

#[tokio::test]
async fn a_version_that_is_gone_takes_no_other_along() {
    let site = Versions::new("when: { header.x: 2 }").await;
    fs::remove_dir_all(site.dir.path().join("v2")).expect("removed");
    assert_eq!(site.get("/assets/app.v1.js", "").await.body, "v1");
    assert_eq!(site.get("/assets/app.v2.js", "").await.status, 404);
    assert_eq!(site.get("/", "x: 2\r\n").await.status, 500);
}
