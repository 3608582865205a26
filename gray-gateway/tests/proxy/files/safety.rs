//! Nothing outside of the directory is ever seen.

use std::os::unix::fs::symlink;

use super::{SECRET, site};

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
