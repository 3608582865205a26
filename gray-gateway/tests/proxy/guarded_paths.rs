//! Paths that can be read in two ways, on every way in: no open route takes what a guarded one covers.

use http::Request as HttpRequest;

use crate::{
    h2::empty,
    support::{Backend, Setup},
};

const ROUTES: &str = "
- { id: admin, uri: 'lb://app', predicates: ['Path=/echo/admin/**'], filters: ['StripPrefix=1', { name: JsonWebToken, args: { key: a secret of 16 bytes, algorithm: HS256 } }] }
- { id: open, uri: 'lb://app', predicates: ['Path=/echo/**'], filters: ['StripPrefix=1'] }
- { id: files, uri: 'lb://app', predicates: ['Path=/files/{name}'], metadata: { encoded-slash: pass } }
- { id: two, uri: 'lb://app', predicates: ['Path=/files/{dir}/{name}'] }";

/// (path, status); what is passed on is passed on as it came.
const CASES: &[(&str, u16)] = &[
    ("/echo/admin/x", 401),
    ("/echo/%61dmin/x", 401),
    ("/echo//admin/x", 400),
    ("/echo/admin%2fx", 400),
    ("/echo%2fadmin/x", 400),
    ("/echo/%2561dmin/x", 400),
    ("/echo/admin%20/x", 400),
    ("/echo/;a/admin/x", 400),
    ("/echo/%252e%252e/admin", 400),
    ("/echo/open//x", 200),
    ("/echo/open%2fx%20y", 200),
    ("/echo/%E6%9D%AD", 200),
    ("/files/a%2fb", 200),
    ("/files/a%252fb", 400),
];

#[tokio::test]
async fn on_every_way_in() {
    let backend = Backend::named("v1").await;
    let gateway = Setup::with_routes(ROUTES, &[backend.instance("V1")]).start();
    for (path, status) in CASES {
        for target in [(*path).to_owned(), format!("http://shop{path}"), format!("{path}?a=//admin;b%2f")] {
            let seen = backend.seen().len();
            let answer = gateway.ask(&format!("GET {target} HTTP/1.1\r\nHost: shop\r\n\r\n")).await;
            assert_eq!(answer.status, *status, "{target}: {}", answer.body);
            assert_eq!(backend.seen().len() - seen, usize::from(*status == 200), "{target}");
        }
        let mut client = gateway.h2().await;
        let request = HttpRequest::get(format!("http://shop{path}")).body(empty()).expect("a request");
        assert_eq!(client.send(request).await.status(), *status, "{path} over HTTP/2");
    }
    assert_eq!(gateway.ask("GET /echo\\admin HTTP/1.1\r\nHost: shop\r\n\r\n").await.status, 400);
}

#[tokio::test]
async fn a_directory_has_no_second_door() {
    let dir = tempfile::tempdir().expect("directory");
    std::fs::create_dir_all(dir.path().join("internal")).expect("created");
    std::fs::write(dir.path().join("internal/plan.txt"), "the plan").expect("written");
    let uri = format!("file://{}", dir.path().display());
    let routes = format!(
        "
- {{ id: internal, uri: '{uri}', predicates: ['Path=/web/internal/**'], filters: ['StripPrefix=1', {{ name: JsonWebToken, args: {{ key: a secret of 16 bytes, algorithm: HS256 }} }}] }}
- {{ id: web, uri: '{uri}', predicates: ['Path=/web/**'], filters: ['StripPrefix=1'] }}"
    );
    let gateway = Setup::with_routes(&routes, &[]).start();
    for (path, status) in [
        ("/web/internal/plan.txt", 401),
        ("/web//internal/plan.txt", 400),
        ("/web/internal//plan.txt", 401),
        ("/web%2finternal/plan.txt", 400),
        ("/web/;/internal/plan.txt", 400),
        ("/web/internal%2fplan.txt", 400),
        ("/web/nothing//plan.txt", 404),
    ] {
        let answer = gateway.ask(&format!("GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n")).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(!answer.body.contains("the plan"), "{path}");
    }
}
