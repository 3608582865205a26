//! What stands in front: pages that follow the lane of their user, and TLS.

use std::{fs, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use e2e_tests::{Answer, Lab, Recorder, Stage, ports, request::Headers};
use reqwest::header::HeaderMap;
use rustls::{ClientConfig, RootCertStore, crypto::ring::default_provider, pki_types::ServerName};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// Headers, the page, the versions of both services, and the cookie that is set.
type Case = (Headers<'static>, &'static str, &'static str, Option<String>);

pub(crate) async fn page_cookie_and_backend_agree(_: Arc<Stage>) -> Result<()> {
    let rules = "gray: { cookie: release, lanes: { new: { select: V2, fallback: fail } },
        rules: [{ name: new, when: { header.x: '2' }, lane: new }] }";
    let mut lab = Lab::new("", rules)?;
    let (old, new) = (lab.directory("web/old")?, lab.directory("web/new")?);
    for (directory, page) in [(&old, "<old>"), (&new, "<new>")] {
        fs::write(directory.join("index.html"), page)?;
    }
    lab.routes(&format!(
        "spring.cloud.gateway.routes:
  - {{ id: order-app, uri: 'lb://order-app', predicates: ['Path=/order-api/**'], filters: ['StripPrefix=1'] }}
  - id: web
    uri: file://{}
    predicates: ['Path=/web/**']
    filters: ['StripPrefix=1']
    metadata: {{ lanes: {{ new: 'file://{}' }} }}",
        old.display(),
        new.display()
    ))?;
    for (program, version) in [("user-app", "V1"), ("user-app", "V2"), ("order-app", "V1"), ("order-app", "V2")] {
        lab.service(program, version, &[]).await?;
    }
    lab.gateway(&[]).await?;
    let told = |answer: &Answer| answer.header("set-cookie").map(str::to_owned);
    let set = |lane: &str| Some(format!("release={lane}; Path=/; SameSite=Lax"));
    let cases: [Case; 5] = [
        (&[], "<old>", "V1 V1", None),
        (&[("x", "2")], "<new>", "V2 V2", set("new")),
        (&[("x", "2"), ("cookie", "release=new")], "<new>", "V2 V2", None),
        // The cookie follows the lane and never leads it.
        (&[("cookie", "release=new")], "<old>", "V1 V1", set("baseline")),
        (&[("cookie", "release=baseline")], "<old>", "V1 V1", None),
    ];
    for (headers, page, way, cookie) in cases {
        let seen = lab.get("/web/", headers).await?.expect(200)?;
        ensure!(seen.text == page && told(&seen) == cookie, "{headers:?}: {} {:?}", seen.text, told(&seen));
        let seen = lab.order(headers).await?.expect(200)?;
        ensure!(told(&seen) == cookie, "the backend tells the same: {:?}", told(&seen));
        lab.takes(way, headers).await?;
    }
    Ok(())
}

/// A GET over TLS, on a connection of its own.
async fn https(tls: &TlsConnector, port: u16, path: &str, headers: &str) -> Result<Answer> {
    let socket = TcpStream::connect(("127.0.0.1", port)).await?;
    let mut stream = tls.connect(ServerName::try_from("localhost")?, socket).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    let text = String::from_utf8(bytes)?;
    let (head, body) = text.split_once("\r\n\r\n").with_context(|| format!("no answer: {text}"))?;
    let status = head.split(' ').nth(1).context("a status")?.parse()?;
    Ok(Answer { status, headers: HeaderMap::new(), text: body.to_owned() })
}

pub(crate) async fn https_in_and_http_out(_: Arc<Stage>) -> Result<()> {
    let mut lab = Lab::new("", "gray.rules: [{ name: two, when: { header.x: '2' }, lane: gray }]")?;
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let directory = lab.directory("tls")?;
    let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    fs::write(&certificate, signed.cert.pem())?;
    fs::write(&key, signed.signing_key.serialize_pem())?;
    let recorder = Recorder::start("V2").await?;
    lab.list("user-app", recorder.port, &json!({ "version": "V2" }))?;
    for (program, version) in [("user-app", "V1"), ("order-app", "V1"), ("order-app", "V2")] {
        lab.service(program, version, &[]).await?;
    }
    let [port] = ports::free()?;
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    lab.gateway(&["--tls-cert", &certificate, "--tls-key", &key, "--tls-port", &port.to_string()]).await?;

    let mut roots = RootCertStore::empty();
    roots.add(signed.cert.der().clone())?;
    let config = ClientConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tls = TlsConnector::from(Arc::new(config));
    for (headers, version) in [("", "V1"), ("x: 2\r\n", "V2")] {
        let answer = https(&tls, port, "/order-api/order/N0001", headers).await?.expect(200)?;
        ensure!(answer.versions() == Some((version.into(), version.into())), "{headers:?}: {}", answer.text);
    }
    ensure!(recorder.last("gray") == ["GRAY"], "the lane travels: {:?}", recorder.last("gray-lane"));
    // What a service behind it is told, in plain HTTP.
    https(&tls, port, "/user-api/user/U0001", "x: 2\r\n").await?.expect(200)?;
    ensure!(recorder.last("x-forwarded-proto") == ["https"], "{:?}", recorder.last("x-forwarded-proto"));
    // Both ports serve the same.
    lab.takes("V2 V2", &[("x", "2")]).await?;
    lab.get("/user-api/user/U0001", &[("x", "2")]).await?.expect(200)?;
    ensure!(recorder.last("x-forwarded-proto") == ["http"], "{:?}", recorder.last("x-forwarded-proto"));
    ensure!(lab.http.get(&format!("http://127.0.0.1:{port}/"), &[]).await.is_err(), "plain HTTP on the port for TLS");
    Ok(())
}
