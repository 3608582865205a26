//! Every exchange in both dialects, with what real servers of 2.3.2 and 3.1 answer.

use super::*;

const NO_V3: &str = r#"{"timestamp":"2026-11-29T10:00:00.000+00:00","status":404,"error":"Not Found","message":"No endpoint GET /nacos/v3/x.","path":"/nacos/v3/x"}"#;
const GONE: &str = r#"{"timestamp":"2026-11-29T10:00:00.000+00:00","status":410,"error":"Gone","message":"{\"code\":40000,\"message\":\"Current API will be deprecated, please use API(s) `GET ${contextPath:nacos}/v3/admin/ns/instance` instead, or set `nacos.core.api.compatibility.admin.enabled=true` in application.properties.\"}","path":"/nacos/v1/ns/instance"}"#;
const NO_IDENTITY: &str = r#"{"timestamp":"t","status":403,"error":"Forbidden","message":"Code: 401, Message: User not found! Please check user exist or password is right!.","path":"/nacos/v3/admin/ns/instance"}"#;
const NO_RIGHT: &str = r#"{"timestamp":"t","status":403,"error":"Forbidden","message":"Code: 403, Message: authorization failed!.","path":"/nacos/v3/admin/ns/instance"}"#;
const READY: &str = r#"{"code":0,"message":"success","data":"ok"}"#;

fn answer(status: u16, body: &str) -> Answer<'_> {
    Answer::new(StatusCode::from_u16(status).expect("a status"), body.as_bytes())
}

/// `GET path?a=b` or `POST path a=b`.
fn text(question: &Question<'_>) -> String {
    let fields: Vec<_> = question.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let between = if question.method == Method::POST { ' ' } else { '?' };
    let header = question.header.as_ref().map(|(name, value)| format!(" {name}: {value}")).unwrap_or_default();
    format!("{} {}{between}{}{header}", question.method, question.path, fields.join("&"))
}

fn questions<A: Ask>(ask: &A) -> [String; 2] {
    [Dialect::V1, Dialect::V3].map(|dialect| text(&ask.question(dialect)))
}

/// What is read, without the words.
fn kind<T: std::fmt::Debug>(reading: &Reading<T>) -> String {
    match reading {
        Reading::Is(said) => format!("{said:?}"),
        Reading::Absent => "absent".into(),
        Reading::Denied(_) => "denied".into(),
        Reading::NoPath(_) => "no path".into(),
        Reading::Fault(_) => "fault".into(),
        Reading::Failed(_) => "failed".into(),
    }
}

fn reads<A: Ask>(ask: &A, cases: &[(Dialect, u16, &str, &str)])
where
    A::Said: std::fmt::Debug,
{
    for (dialect, status, body, expect) in cases {
        let read = kind(&ask.read(*dialect, answer(*status, body)));
        assert_eq!(read, *expect, "{dialect:?} {status} {body}");
    }
}

use Dialect::{V1, V3};

#[test]
fn the_probe_tells_the_versions_apart() {
    assert_eq!(text(&probe()), "GET v3/admin/core/state/readiness?");
    let not_ready = r#"{"code":30001,"message":"server is DOWN now","data":"naming not ready"}"#;
    for (status, body, expect) in [
        (200, READY, "V3"),
        (200, not_ready, "V3: 200 OK (code 30001): server is DOWN now, naming not ready"),
        (404, NO_V3, "V1"),
        (404, "", "V1"),
        // A console that shows its page for every path; a server that starts; one in front.
        (200, "<html>", "?: 200 OK: <html>"),
        (200, "{}", "?: 200 OK"),
        (410, GONE, "?"),
        (500, "", "?"),
        (502, "bad\r\ngateway", "?: 502 Bad Gateway: badgateway"),
        (403, NO_IDENTITY, "?"),
    ] {
        let read = match probed(answer(status, body)) {
            Probed::V1 => "V1".to_owned(),
            Probed::V3(None) => "V3".to_owned(),
            Probed::V3(Some(trouble)) => format!("V3: {trouble}"),
            Probed::Unclear(said) => format!("?: {said}"),
        };
        assert!(read == expect || expect == "?" && read.starts_with('?'), "{status} {body}: {read}");
    }
    let long = "x".repeat(100_000);
    assert!(answer(500, &long).said().len() < 300, "what a server says is bounded");
}

#[test]
fn readiness() {
    assert_eq!(questions(&Ready), ["GET v1/console/health/readiness?", "GET v3/admin/core/state/readiness?"]);
    reads(
        &Ready,
        &[
            (V1, 200, "OK", "()"),
            (V1, 500, "", "fault"),
            (V1, 410, GONE, "no path"),
            (V1, 404, NO_V3, "no path"),
            (V3, 200, READY, "()"),
            (V3, 200, r#"{"code":30001,"message":"server is DOWN now","data":null}"#, "failed"),
        ],
    );
}

#[test]
fn logins() {
    assert_eq!(V1.login_paths(), ["v1/auth/login"]);
    assert_eq!(V3.login_paths(), ["v3/auth/user/login", "v1/auth/login"]);
    assert_eq!(
        text(&login(V3.login_paths()[0], "gray", "s3cret")),
        "POST v3/auth/user/login username=gray&password=s3cret"
    );
    let token = r#"{"accessToken":"eyJ.a.b","tokenTtl":18000,"globalAdmin":false,"username":"gray"}"#;
    let fault =
        r#"{"timestamp":"t","status":500,"error":"Internal Server Error","message":"No message available","path":"p"}"#;
    let denied = r#"{"timestamp":"t","status":403,"error":"Forbidden","message":"Access Denied","path":"p"}"#;
    let compatibility = "Handle API Compatibility failed, please see log for detail.";
    for (dialect, status, body, expect) in [
        (V1, 200, token, "in eyJ.a.b 18000"),
        (V3, 200, token, "in eyJ.a.b 18000"),
        (V1, 200, r#"{"accessToken":"AUTH_DISABLED"}"#, "in AUTH_DISABLED 0"),
        (V3, 200, r#"{"accessToken":"","tokenTtl":1}"#, "failed"),
        (V3, 200, "<html>", "failed"),
        // A wrong password at 3.0 and 3.1, by either path; an unknown user; both at 3.3.
        (V3, 500, fault, "doubtful"),
        (V3, 500, compatibility, "doubtful"),
        (V3, 403, denied, "refused"),
        (V1, 403, "unknown user!", "refused"),
        (V1, 401, "", "refused"),
        (V3, 429, "", "refused"),
        (V3, 404, NO_V3, "no path"),
        (V3, 410, GONE, "no path"),
        (V1, 405, "", "no path"),
        // What stands in front, and 2.x, do not say it like that.
        (V3, 500, "oops", "failed"),
        (V3, 502, fault, "failed"),
        (V1, 500, fault, "failed"),
    ] {
        let read = match read_login(dialect, answer(status, body)) {
            LoginReading::In(token) => format!("in {} {}", token.text, token.good_for),
            LoginReading::Refused(_) => "refused".into(),
            LoginReading::Doubtful(_) => "doubtful".into(),
            LoginReading::NoPath(_) => "no path".into(),
            LoginReading::Failed(_) => "failed".into(),
        };
        assert_eq!(read, expect, "{dialect:?} {status} {body}");
    }
    let LoginReading::In(token) = read_login(V3, answer(200, token)) else { panic!("let in") };
    assert!(!format!("{token:?}").contains("eyJ"), "a token is in no log");
}

#[test]
fn openness() {
    assert_eq!(
        questions(&Openness::of("gray-ns")),
        ["GET v1/ns/service/list?pageNo=1&pageSize=1&namespaceId=gray-ns", "GET v3/admin/core/state?"]
    );
    let state = |guarded: &str| {
        format!(
            r#"{{"code":0,"message":"success","data":{{"version":"3.1.0","auth_enabled":{guarded},"startup_mode":"standalone"}}}}"#
        )
    };
    reads(
        &Openness::of(""),
        &[
            (V1, 200, r#"{"count":0,"doms":[]}"#, "true"),
            (V1, 403, "", "denied"),
            (V3, 200, &state("\"false\""), "true"),
            (V3, 200, &state("\"true\""), "false"),
            (V3, 200, &state("false"), "true"),
            (V3, 200, &state("null"), "failed"),
            (V3, 403, NO_IDENTITY, "denied"),
        ],
    );
}

#[test]
fn disabled_or_gone() {
    let detail = Detail::of(["gray-ns", "DEFAULT_GROUP", "DEFAULT"], "user-app", ("10.0.0.7", "7202"));
    assert_eq!(
        questions(&detail),
        [
            "GET v1/ns/instance?serviceName=user-app&groupName=DEFAULT_GROUP&ip=10.0.0.7&port=7202&namespaceId=gray-ns\
             &clusterName=DEFAULT&cluster=DEFAULT",
            "GET v3/admin/ns/instance?serviceName=user-app&groupName=DEFAULT_GROUP&ip=10.0.0.7&port=7202\
             &namespaceId=gray-ns&clusterName=DEFAULT",
        ]
    );
    let public = Detail { namespace: "", ..detail };
    assert!(text(&public.question(V3)).contains("namespaceId=public&"), "v3 names it");
    assert!(text(&public.question(V1)).contains("namespaceId=&"), "v1 does not");
    let disabled =
        r#"{"code":0,"message":"success","data":{"ip":"10.0.0.7","port":7202,"enabled":false,"healthy":true}}"#;
    let gone = r#"{"code":20004,"message":"resource not found","data":"no matched ip found!"}"#;
    reads(
        &detail,
        &[
            (V1, 200, "{}", "true"),
            (V1, 404, "caused: no matched ip found!;", "false"),
            (V1, 400, "caused: no ips found for cluster DEFAULT", "false"),
            (V1, 500, "", "false"),
            (V1, 403, "", "denied"),
            // Another version by now: 3.0 and 3.1, then 3.2.
            (V1, 410, GONE, "no path"),
            (V1, 404, NO_V3, "no path"),
            (V3, 200, disabled, "true"),
            (V3, 404, gone, "false"),
            (V3, 403, NO_RIGHT, "denied"),
            (V3, 404, NO_V3, "no path"),
            (V3, 500, "", "fault"),
            (V3, 200, "<html>", "failed"),
        ],
    );
    assert_eq!(
        text(&Instances(detail).question(V3)),
        "GET v3/admin/ns/instance/list?serviceName=user-app&groupName=DEFAULT_GROUP&namespaceId=gray-ns&clusterName=DEFAULT"
    );
    let listed = |port: &str| {
        format!(
            r#"{{"code":0,"message":"success","data":[{{"ip":"10.0.0.1","port":7202}},{{"ip":"10.0.0.7","port":{port},"enabled":false}}]}}"#
        )
    };
    reads(
        &Instances(detail),
        &[
            (V3, 200, &listed("7202"), "true"),
            (V3, 200, &listed("7201"), "false"),
            (V3, 200, r#"{"code":0,"message":"success","data":[]}"#, "false"),
            (
                V3,
                404,
                r#"{"code":30000,"message":"service not exist","data":"service user-app is not found!"}"#,
                "false",
            ),
            (V3, 403, NO_RIGHT, "denied"),
            (V3, 200, r#"{"code":0,"message":"success","data":"ok"}"#, "failed"),
        ],
    );
}

#[test]
fn namespaces() {
    assert_eq!(questions(&Namespaces), ["GET v1/console/namespaces?", "GET v3/admin/core/namespace/list?"]);
    let list = r#"{"code":0,"message":"success","data":[{"namespace":"public","namespaceShowName":"public","quota":200,"type":0},{"namespace":"gray-ns","type":1}]}"#;
    let old =
        r#"{"code":200,"message":null,"data":[{"namespace":"","namespaceShowName":"public"},{"namespace":"gray-ns"}]}"#;
    reads(
        &Namespaces,
        &[
            (V1, 200, old, r#"["", "gray-ns"]"#),
            (V1, 200, "[]", "failed"),
            (V1, 410, GONE, "no path"),
            (V3, 200, list, r#"["public", "gray-ns"]"#),
            (V3, 403, NO_RIGHT, "denied"),
            (V3, 200, r#"{"code":0,"message":"success","data":[{}]}"#, "failed"),
        ],
    );
    assert_eq!(
        questions(&CreateNamespace("n")),
        [
            "POST v1/console/namespaces customNamespaceId=n&namespaceName=n&namespaceDesc=gray-chain",
            "POST v3/admin/core/namespace namespaceId=n&namespaceName=n&namespaceDesc=gray-chain",
        ]
    );
    reads(
        &CreateNamespace("n"),
        &[
            (V1, 200, "true", "true"),
            (V1, 200, "false", "false"),
            (V3, 200, r#"{"code":0,"message":"success","data":true}"#, "true"),
            (V3, 400, r#"{"code":22002,"message":"namespace already exist","data":null}"#, "failed"),
            (V3, 403, NO_RIGHT, "denied"),
        ],
    );
}

#[test]
fn documents() {
    let place = DocumentPlace::new("", "DEFAULT_GROUP", "a.yaml");
    assert_eq!(
        questions(&ReadDocument(place)),
        [
            "GET v1/cs/configs?tenant=&group=DEFAULT_GROUP&dataId=a.yaml",
            "GET v3/admin/cs/config?namespaceId=public&groupName=DEFAULT_GROUP&dataId=a.yaml",
        ]
    );
    let none =
        r#"{"code":20004,"message":"resource not found","data":"Config not exist, please publish Config first."}"#;
    reads(
        &ReadDocument(place),
        &[
            (V1, 200, "a: 1\n", r#""a: 1\n""#),
            (V1, 404, "config data not exist", "absent"),
            (V1, 403, "", "denied"),
            (V1, 410, GONE, "no path"),
            (V3, 200, r#"{"code":0,"message":"success","data":{"dataId":"a.yaml","content":"a: 1\n"}}"#, r#""a: 1\n""#),
            (V3, 404, none, "absent"),
            // As the client's API says it.
            (V3, 200, r#"{"code":20004,"message":"resource not found","data":null}"#, "absent"),
            (V3, 403, NO_IDENTITY, "denied"),
            (V3, 404, NO_V3, "no path"),
            (V3, 200, r#"{"code":0,"message":"success","data":null}"#, "failed"),
            (V3, 400, "caused: Required parameter 'dataId' type String is not present;", "failed"),
        ],
    );
    let place = DocumentPlace::new("n", "g", "a.yaml");
    assert_eq!(
        questions(&WriteDocument(place, "a: 1")),
        [
            "POST v1/cs/configs tenant=n&group=g&dataId=a.yaml&content=a: 1&type=yaml",
            "POST v3/admin/cs/config namespaceId=n&groupName=g&dataId=a.yaml&content=a: 1&type=yaml",
        ]
    );
    reads(
        &WriteDocument(place, ""),
        &[
            (V1, 200, "true", "true"),
            (V1, 200, "false", "false"),
            (V1, 500, "caused: Derby", "fault"),
            (V3, 200, r#"{"code":0,"message":"success","data":true}"#, "true"),
            (V3, 500, r#"{"code":30000,"message":"server error","data":"caused"}"#, "fault"),
            (V3, 403, NO_RIGHT, "denied"),
        ],
    );
}

#[test]
fn gray_publishes() {
    let (place, addresses) = (DocumentPlace::new("n", "g", "a.properties"), ["10.0.0.7", "2001:db8::7"]);
    let addresses = addresses.map(|address| address.parse().expect("an address"));
    assert_eq!(
        questions(&WriteBeta { place, text: "a=2", addresses: &addresses }),
        [
            "POST v1/cs/configs tenant=n&group=g&dataId=a.properties&content=a=2&type=properties \
             betaIps: 10.0.0.7,2001:db8::7",
            "POST v3/admin/cs/config namespaceId=n&groupName=g&dataId=a.properties&content=a=2&type=properties \
             betaIps: 10.0.0.7,2001:db8::7",
        ]
    );
    assert_eq!(
        questions(&ReadBeta(place)),
        [
            "GET v1/cs/configs?tenant=n&group=g&dataId=a.properties&beta=true",
            "GET v3/admin/cs/config/beta?namespaceId=n&groupName=g&dataId=a.properties",
        ]
    );
    assert!(questions(&StopBeta(place)).iter().all(|question| question.starts_with("DELETE v")));
    let beta = r#"{"code":200,"message":"query beta ok","data":{"id":"1","dataId":"a","content":"a=2","betaIps":"10.0.0.7,10.0.0.8"}}"#;
    let ruled = r#"{"code":0,"data":{"content":"a=2","grayName":"beta","grayRule":"{\"type\":\"beta\",\"version\":\"1.0.0\",\"expr\":\"10.0.0.7\",\"priority\":2}"}}"#;
    let named = r#"{"code":0,"data":{"content":"a=2","betaIps":"10.0.0.7"}}"#;
    let (of_two, of_one) =
        (r#"Beta { text: "a=2", addresses: "10.0.0.7,10.0.0.8" }"#, r#"Beta { text: "a=2", addresses: "10.0.0.7" }"#);
    reads(
        &ReadBeta(place),
        &[
            (V1, 200, beta, of_two),
            (V1, 200, r#"{"code":200,"message":"query beta ok","data":null}"#, "absent"),
            (V1, 200, r#"{"code":500,"message":"query beta fail","data":null}"#, "failed"),
            (V1, 200, "a: 1", "failed"),
            (V1, 403, "", "denied"),
            (V3, 200, ruled, of_one),
            (V3, 200, named, of_one),
            (V3, 404, r#"{"code":20004,"message":"resource not found","data":"Config is not in beta."}"#, "absent"),
            (V3, 200, r#"{"code":0,"data":{"content":"a=2"}}"#, "failed"),
            (V3, 403, NO_RIGHT, "denied"),
        ],
    );
    reads(
        &StopBeta(place),
        &[
            (V1, 200, r#"{"code":200,"message":"stop beta ok","data":true}"#, "true"),
            (V1, 500, "caused: Derby", "fault"),
            (V3, 200, r#"{"code":0,"message":"success","data":true}"#, "true"),
        ],
    );
}
