//! Who gets which lane, through the whole chain: header, address and user; an exact version; A/B; tagged instances.

use std::sync::Arc;

use anyhow::{Result, ensure};
use e2e_tests::{Lab, Recorder, Stage, documents::GATEWAY, eventually, request::Headers};
use serde_json::json;

/// The demo's own settings, without any rules: what they mean has not changed, on the wire neither.
pub(crate) async fn header_address_and_user_as_ever(_: Arc<Stage>) -> Result<()> {
    let mut lab = Lab::new("", "")?;
    let routes = "spring.cloud.gateway.routes: [{ id: order-app, uri: 'lb://order-app', predicates: ['Path=/order-api/**'], \
                  filters: ['StripPrefix=1'] }]";
    let gateway = "kerwin.tool.gray.gateway: { enabled: true, grayHeadKey: gray, grayHeadValue: gray-996, \
                   grayIPList: [10.9.0.0/16], grayUserNoList: [U0007], trustedHops: [127.0.0.1] }";
    lab.publish(GATEWAY, &format!("{gateway}\n{routes}\n"))?;
    let recorders = [Recorder::start("V1").await?, Recorder::start("V2").await?];
    for (recorder, version) in recorders.iter().zip(["V1", "V2"]) {
        lab.list("user-app", recorder.port, &json!({ "version": version }))?;
        lab.service("order-app", version, &[]).await?;
    }
    lab.gateway(&[]).await?;
    let gray: [Headers<'_>; 4] = [
        &[("gray", "gray-996")],
        &[("userNo", "U0007")],
        &[("X-Real-IP", "10.9.8.7")],
        &[("gray", "PROD"), ("userNo", "U0007")],
    ];
    for headers in gray {
        lab.takes("V2 V2", headers).await?;
        ensure!(recorders[1].last("gray") == ["GRAY"], "{:?}", recorders[1].last("gray"));
        let lane = recorders[1].last("gray-lane").concat();
        ensure!(lane.ends_with(";gray;-;*=version:V2|version:V1"), "{lane}");
        ensure!(recorders[1].last("gray-caller") == ["order-app@V2"], "{:?}", recorders[1].last("gray-caller"));
    }
    let ordinary: [Headers<'_>; 4] = [&[], &[("gray", "GRAY")], &[("userNo", "U0008")], &[("X-Real-IP", "10.8.8.7")]];
    for headers in ordinary {
        lab.takes("V1 V1", headers).await?;
        ensure!(recorders[0].last("gray") == ["PROD"], "{:?}", recorders[0].last("gray"));
    }
    // A caller that knows nothing of lanes: the tag alone decides, and travels alone.
    let url = format!("http://127.0.0.1:{}/order/N0001", lab.services[0].port);
    for (tag, user, recorder) in [("GRAY", "V2", &recorders[1]), ("PROD", "V1", &recorders[0])] {
        let answer = lab.http.get(&url, &[("gray", tag)]).await?.expect(200)?;
        ensure!(answer.versions() == Some(("V1".into(), user.into())), "{}", answer.text);
        ensure!(recorder.last("gray") == [tag] && recorder.last("gray-lane").is_empty(), "{tag} did not travel alone");
    }
    Ok(())
}

pub(crate) async fn an_exact_version_and_headers_that_travel(_: Arc<Stage>) -> Result<()> {
    let rules = "gray: { lanes: { exact: { select: { version: $header.versionId } } },
        rules: [{ name: exact, when: { header.versionId: { exists: true } }, lane: exact }] }";
    let mut lab = Lab::new("propagate: [token, X-Trace]", rules)?;
    let recorder = Recorder::start("V7").await?;
    lab.list("user-app", recorder.port, &json!({ "version": "V7" }))?;
    lab.service("user-app", "V1", &[]).await?;
    for version in ["V1", "V7"] {
        lab.service("order-app", version, &[]).await?;
    }
    lab.gateway(&[]).await?;
    let sent = [("versionId", "V7"), ("token", "secret"), ("x-trace", "a"), ("x-trace", "b"), ("cookie", "c=1")];
    lab.takes("V7 V7", &sent).await?;
    ensure!(recorder.last("token") == ["secret"], "{:?}", recorder.last("token"));
    ensure!(recorder.last("x-trace") == ["a", "b"], "{:?}", recorder.last("x-trace"));
    for name in ["cookie", "versionid"] {
        ensure!(recorder.last(name).is_empty(), "{name} is not listed, but arrived");
    }
    lab.takes("V7 V7", &[("versionId", "V7")]).await?;
    ensure!(recorder.last("token").is_empty(), "somebody else's token");
    let default: [Headers<'_>; 4] = [&[], &[("versionId", "V9")], &[("versionId", "")], &[("versionId", "V7|*")]];
    for headers in default {
        lab.takes("V1 V1", headers).await?;
    }
    Ok(())
}

pub(crate) async fn a_or_b_by_value_cookie_and_device(_: Arc<Stage>) -> Result<()> {
    let rules = "gray:
  baseline: { select: { v: ~ } }
  facts: { ab: [header.v, query.v] }
  lanes: { ab: { select: { v: $ab } }, vip: { select: { v: b } } }
  rules:
    - { name: ab, when: { ab: [a, b] }, lane: ab }
    - { name: vip, when: [{ cookie.vip: '1' }, { user-agent.os: android }], lane: vip }";
    let mut lab = Lab::new("", rules)?;
    for program in ["user-app", "order-app"] {
        for (version, metadata) in [("V1", ""), ("A", "v=a"), ("B", "v=b")] {
            let more: &[&str] = if metadata.is_empty() { &[] } else { &["--metadata", metadata] };
            lab.service(program, version, more).await?;
        }
    }
    lab.gateway(&[]).await?;
    let android = "Mozilla/5.0 (Linux; Android 14; Pixel 8) Mobile";
    let iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X)";
    let cases: [(&str, Headers<'_>); 9] = [
        ("A A", &[("v", "a")]),
        ("B B", &[("v", "b")]),
        ("V1 V1", &[("v", "c")]),
        ("V1 V1", &[]),
        ("B B", &[("cookie", "x=1; vip=1")]),
        ("V1 V1", &[("cookie", "vip=0")]),
        ("B B", &[("user-agent", android)]),
        ("V1 V1", &[("user-agent", iphone)]),
        // The first rule that matches.
        ("A A", &[("v", "a"), ("cookie", "vip=1")]),
    ];
    for (way, headers) in cases {
        lab.takes(way, headers).await?;
    }
    for (query, way) in [("?v=a", ("A", "A")), ("?x=1&v=b", ("B", "B")), ("?v=", ("V1", "V1"))] {
        let answer = lab.get(&format!("/order-api/order/N0001{query}"), &[]).await?.expect(200)?;
        ensure!(answer.versions() == Some((way.0.into(), way.1.into())), "{query}: {}", answer.text);
    }
    Ok(())
}

pub(crate) async fn users_on_tagged_instances_and_nobody_else(_: Arc<Stage>) -> Result<()> {
    let rules = "gray:
  baseline: { select: { gray-tag: ~ } }
  lanes: { tagged: { select: { gray-tag: true } } }
  facts: { uid: [header.uid, query.uid] }
  rules: [{ name: testers, when: { uid: [u1, u2, u3] }, lane: tagged }]";
    let mut lab = Lab::new("", rules)?;
    for program in ["user-app", "order-app"] {
        lab.service_in(program, "V1", &[], &[("GRAY_TAG", "false")]).await?;
        // No version that any setting names: the tag alone leads there.
        lab.service_in(program, "T1", &[], &[("GRAY_TAG", "true")]).await?;
    }
    lab.gateway(&[]).await?;
    for _ in 0..6 {
        lab.takes("V1 V1", &[]).await?;
        lab.takes("V1 V1", &[("uid", "u4")]).await?;
        lab.takes("T1 T1", &[("uid", "u2")]).await?;
    }
    // Without an instance of its own ordinary traffic gets none, rather than a gray one.
    for service in lab.services.iter_mut().filter(|service| service.version == "V1") {
        service.app.stop().await?;
    }
    eventually("ordinary traffic has nobody left", || async { lab.order(&[]).await?.expect(503).map(drop) }).await?;
    lab.takes("T1 T1", &[("uid", "u1")]).await?;
    lab.order(&[("uid", "u4")]).await?.expect(503).map(drop)
}
