//! What pages of other origins may do (CORS), on real sockets: Spring's answers, with one exception.

use gray_gateway::proxy::Refusal;

use crate::support::{Backend, Gateway, HEAD, Setup, WITH_WARNINGS};

const ORIGIN: &str = "Origin: https://page.example\r\n";
const EVIL: &str = "Origin: https://evil.example\r\n";
const VARY: &str = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

async fn gateway(global: &str) -> (Backend, Gateway) {
    let answer = "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\naccess-control-allow-credentials: true\r\nVary: Accept\r\n\
                  Content-Length: 2\r\n\r\nv1";
    let backend = Backend::answering(answer).await;
    let text = format!(
        "kerwin.tool.gray: {{ load: true, version: {{ prodVersion: V1, grayVersion: V2 }}, gateway: {{ enabled: true }} }}
spring.cloud.gateway:
  globalcors:
    {global}
    cors-configurations:
      '[/**]': {{ allowed-origins: 'https://page.example', allowed-methods: [GET, PUT], allowed-headers: '*', allow-credentials: true, max-age: 60 }}
  routes:
    - {{ id: app, uri: 'lb://app', predicates: ['Path=/api/**'] }}
    - {{ id: token, uri: 'lb://app', predicates: ['Path=/token/**'], filters: [{{ name: JsonWebToken, args: {{ key: 'a secret of some length', algorithm: HS256 }} }}] }}
    - {{ id: gets, uri: 'lb://app', predicates: ['Path=/gets/**', 'Method=GET'] }}
    - {{ id: gone, uri: 'lb://gone', predicates: ['Path=/gone/**'] }}
    - {{ id: own, uri: 'lb://app', predicates: ['Path=/own/**'], metadata: {{ cors: {{ allowedOrigins: '*', allowedMethods: '*' }} }} }}
"
    );
    let gateway = Setup::with_documents(&text, &[backend.instance("V1")]).start();
    (backend, gateway)
}

fn ask(line: &str, fields: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: shop.example\r\n{fields}\r\n")
}

/// The lines that concern browsers, sorted.
fn cors(head: &str) -> Vec<String> {
    let is_it = |line: &&str| {
        let name = line.to_ascii_lowercase();
        name.starts_with("access-control-") || name.starts_with("vary:")
    };
    let mut lines: Vec<_> = head.lines().filter(is_it).map(|line| line.to_ascii_lowercase()).collect();
    lines.sort();
    lines
}

fn ours(more: &[&str]) -> Vec<String> {
    let all = ["access-control-allow-origin: https://page.example", "access-control-allow-credentials: true"];
    let mut lines: Vec<String> = all.iter().chain(more).map(|line| line.to_ascii_lowercase()).collect();
    lines.push(format!("vary: {}", VARY.to_ascii_lowercase()));
    lines.sort();
    lines
}

#[tokio::test]
async fn the_settings_count_and_not_what_an_instance_says() {
    let (backend, gateway) = gateway("").await;
    let allowed = gateway.ask(&ask("GET /api/x", ORIGIN)).await;
    assert_eq!((allowed.status, &*allowed.body, cors(&allowed.head)), (200, "v1", ours(&["vary: accept"])));
    assert!(backend.last().head.contains("https://page.example"), "the instance sees who asks");

    let same = gateway.ask(&ask("GET /api/x", "Origin: http://shop.example\r\n")).await;
    let lines = cors(&same.head);
    assert!(lines.contains(&"access-control-allow-origin: *".to_owned()), "what no browser looks at passes: {lines:?}");
    assert!(lines.contains(&format!("vary: {}", VARY.to_ascii_lowercase())), "{lines:?}");
    let none = gateway.ask(&ask("GET /api/x", "")).await;
    assert!(cors(&none.head).contains(&format!("vary: {}", VARY.to_ascii_lowercase())), "{}", none.head);

    let star = gateway.ask(&ask("DELETE /own/x", EVIL)).await;
    assert_eq!(star.status, 200);
    assert!(cors(&star.head).contains(&"access-control-allow-origin: *".to_owned()), "{}", star.head);
    assert!(!star.head.to_ascii_lowercase().contains("allow-credentials"), "{}", star.head);
}

#[tokio::test]
async fn what_is_not_allowed_reaches_no_instance() {
    let (backend, gateway) = gateway("").await;
    let vary = vec![format!("vary: {}", VARY.to_ascii_lowercase())];
    for (line, fields) in [
        ("GET /api/x", EVIL),
        ("POST /api/x", ORIGIN),
        ("GET /api/x", "Origin: null\r\n"),
        ("OPTIONS /api/x", "Origin: https://evil.example\r\nAccess-Control-Request-Method: GET\r\n"),
        ("OPTIONS /api/x", "Origin: https://page.example\r\nAccess-Control-Request-Method: DELETE\r\n"),
    ] {
        let refused = gateway.ask(&ask(line, fields)).await;
        assert_eq!((refused.status, cors(&refused.head)), (403, vary.clone()), "{line} {fields}");
    }
    assert!(backend.seen().is_empty());
    assert_eq!(gateway.stats.snapshot().refused(Refusal::CrossOrigin), 5);
}

#[tokio::test]
async fn preflights_are_answered_before_tokens_are_looked_at() {
    let (backend, gateway) = gateway("").await;
    let asks =
        format!("{ORIGIN}Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: Authorization, x-a\r\n");
    for path in ["/api/x", "/token/x", "/gone/x"] {
        let told = gateway.ask(&ask(&format!("OPTIONS {path}"), &asks)).await;
        let expect = ours(&[
            "access-control-allow-methods: GET,PUT",
            "access-control-allow-headers: Authorization, x-a",
            "access-control-max-age: 60",
        ]);
        assert_eq!((told.status, &*told.body, cors(&told.head)), (200, "", expect), "{path}");
    }
    let no_route = gateway.ask(&ask("OPTIONS /gets/x", &asks)).await;
    assert_eq!(
        (no_route.status, cors(&no_route.head)),
        (404, Vec::new()),
        "without a route there is nothing to answer"
    );
    assert!(backend.seen().is_empty());

    let (_backend, gateway) = self::gateway("add-to-simple-url-handler-mapping: true").await;
    assert_eq!(gateway.ask(&ask("OPTIONS /gets/x", &asks)).await.status, 200);
    let other = gateway.ask(&ask("POST /nowhere", EVIL)).await;
    assert_eq!(other.status, 403);
}

#[tokio::test]
async fn the_gateways_own_errors_say_the_same() {
    let (_backend, gateway) = gateway("").await;
    for (path, status) in [("/token/x", 401), ("/gone/x", 503)] {
        let failed = gateway.ask(&ask(&format!("GET {path}"), ORIGIN)).await;
        assert_eq!((failed.status, cors(&failed.head)), (status, ours(&[])), "{path}");
    }
}

/// Whatever the gateway answers itself once a route is found, a page may read it that may read what an instance says.
#[tokio::test]
async fn every_answer_of_the_gateways_own_says_the_same() {
    let backend = Backend::named("v1").await;
    let (nobody, directory) = (crate::support::nobody().await, tempfile::tempdir().expect("a directory"));
    let text = format!(
        r"{WITH_WARNINGS}{HEAD}spring.cloud.gateway:
  globalcors.cors-configurations:
    '[/**]': {{ allowed-origins: 'https://page.example', allowed-methods: '*', allowed-headers: '*', allow-credentials: true }}
  routes:
    - {{ id: rate, uri: 'lb://app', predicates: ['Path=/rate'], filters: ['RequestRateLimiter=1, 1, 1, route'] }}
    - {{ id: size, uri: 'lb://app', predicates: ['Path=/size'], filters: ['RequestSize=2B'] }}
    - {{ id: field, uri: 'lb://app', predicates: ['Path=/field'], filters: ['RequestHeaderSize=40B'] }}
    - {{ id: java, uri: 'lb://app', predicates: ['Path=/java'], filters: [Auth] }}
    - {{ id: seg, uri: 'lb://app', predicates: ['Path=/seg/{{s}}'], filters: ['SetRequestHostHeader={{s}}.example'] }}
    - {{ id: steps, uri: 'lb://app', predicates: ['Path=/steps/**'], filters: ['RewritePath=/steps/(?<r>(?!ok)(?:a+)+b), /$\{{r}}'] }}
    - {{ id: refused, uri: 'http://{nobody}', predicates: ['Path=/refused'] }}
    - {{ id: own, uri: 'no://op', predicates: ['Path=/own'], filters: ['SetStatus=410'] }}
    - {{ id: away, uri: 'no://op', predicates: ['Path=/away'], filters: ['RedirectTo=302, https://a.example/'] }}
    - {{ id: page, uri: 'forward:/controller', predicates: ['Path=/page'] }}
    - {{ id: lost, uri: 'forward:/nowhere', predicates: ['Path=/lost'] }}
    - {{ id: f1, uri: 'forward:/f2', predicates: ['Path=/f1'] }}
    - {{ id: f2, uri: 'forward:/f3', predicates: ['Path=/f2'] }}
    - {{ id: f3, uri: 'forward:/f4', predicates: ['Path=/f3'] }}
    - {{ id: f4, uri: 'forward:/f5', predicates: ['Path=/f4'] }}
    - {{ id: f5, uri: 'lb://app', predicates: ['Path=/f5'] }}
    - {{ id: file, uri: 'file://{directory}', predicates: ['Path=/file/**'] }}
gray.spring: {{ filters: {{ Auth: refuse }}, fallbacks: {{ /controller: {{ status: 202, body: x }} }} }}
",
        directory = directory.path().display()
    );
    let gateway = Setup::with_documents(&text, &[backend.instance("V1")]).start();
    let (long, many) = (format!("X-Long: {}\r\n", "x".repeat(60)), format!("GET /steps/{}", "a".repeat(60)));
    for (line, fields, status) in [
        ("GET /rate", "", 200),
        ("GET /rate", "", 429),
        ("PUT /size", "Content-Length: 3\r\n", 413),
        ("GET /field", &*long, 431),
        ("GET /java", "", 403),
        ("GET /seg/a%40b", "", 400),
        (&*many, "", 400),
        ("GET /refused", "", 502),
        ("GET /own", "", 410),
        ("GET /away", "", 302),
        ("GET /page", "", 202),
        ("GET /lost", "", 404),
        ("GET /f1", "", 508),
        ("GET /file/none", "", 404),
    ] {
        let answer = gateway.ask(&ask(line, &format!("{ORIGIN}{fields}"))).await;
        assert_eq!((answer.status, cors(&answer.head)), (status, ours(&[])), "{line}: {}", answer.head);
    }
    assert_eq!(backend.seen().len(), 1, "the others are the gateway's own");
}
