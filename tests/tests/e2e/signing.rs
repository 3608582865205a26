//! Signed tags: a client that writes a lane itself is refused; and the path that authorised testers see.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use e2e_tests::{Lab, Stage, documents::COMMON, eventually, lab::common, request::Headers};

const FORGED: &str = "00000000;gray;t;*=version:V2";
const RULES: &str = "gray:
  lanes: { mixed: { services: { order-app: V2, user-app: V3 } } }
  rules:
    - { name: tester, when: { header.tester: secret }, lane: mixed, trace: true }
    - { name: others, when: { header.x: '2' }, lane: mixed }";

pub(crate) async fn a_forged_lane_is_refused_by_every_service(_: Arc<Stage>) -> Result<()> {
    let signing =
        |invalid: &str| format!("signing: {{ key: 'the secret of the chain', ttl: 60s, invalid: {invalid} }}");
    let lab = Lab::whole(&signing("refuse"), RULES).await?;
    lab.takes("V1 V1", &[]).await?;
    lab.takes("V2 V1", &[("x", "2")]).await?;
    // What a client writes is gone before anybody could judge it.
    let forged: Headers<'_> = &[("gray", "GRAY"), ("gray-lane", FORGED), ("gray-signature", "9999999999.00")];
    lab.takes("V1 V1", forged).await?;

    // In the order of their start: user-app V1 and V2, then order-app V1 and V2.
    let (user, order) = (lab.services[0].port, lab.services[2].port);
    let urls = [format!("http://127.0.0.1:{order}/order/N0001"), format!("http://127.0.0.1:{user}/user/U0001")];
    for url in &urls {
        for headers in [forged, &forged[..2], &forged[..1]] {
            lab.http.get(url, headers).await?.expect(403).context(url.clone())?;
        }
        // Health checks have no tag, and neither has a caller from outside of the chain.
        lab.http.get(url, &[]).await?.expect(200)?;
    }
    lab.publish(COMMON, &common(&signing("untagged")))?;
    let order = &urls[0];
    eventually("a forged tag counts as none", || async { lab.http.get(order, forged).await?.expect(200).map(drop) })
        .await?;
    let answer = lab.http.get(order, forged).await?.expect(200)?;
    ensure!(
        answer.versions() == Some(("V1".into(), "V1".into())),
        "order-app V1 calls its own version: {}",
        answer.text
    );
    Ok(())
}

/// Gray release off, tags signed and bad ones refused: every instance serves, no request is refused.
pub(crate) async fn switched_off_signed_tags_pass_every_hop(_: Arc<Stage>) -> Result<()> {
    let mut lab = Lab::new("signing: { key: 'the secret of the chain', invalid: refuse }", RULES)?;
    lab.publish(
        e2e_tests::documents::GATEWAY,
        "kerwin.tool.gray.gateway: { enabled: false }
spring.cloud.gateway.routes: [{ id: order-app, uri: 'lb://order-app', predicates: ['Path=/order-api/**'], filters: ['StripPrefix=1'] }]",
    )?;
    for (program, version) in [("user-app", "V1"), ("user-app", "V2"), ("order-app", "V1"), ("order-app", "V2")] {
        lab.service(program, version, &[]).await?;
    }
    lab.gateway(&[]).await?;
    lab.http.orders(lab.url()?, 40, &[("x", "2")]).await?.all_four()
}

pub(crate) async fn the_path_is_for_testers_alone(_: Arc<Stage>) -> Result<()> {
    let lab = Lab::whole("", RULES).await?;
    let answer = lab.order(&[("tester", "secret")]).await?.expect(200)?;
    let path = "order-app@V2:hit > user-app@V1:fallback";
    ensure!(answer.header("gray-path") == Some(path), "{:?}", answer.headers);
    let others: [Headers<'_>; 4] =
        [&[], &[("x", "2")], &[("tester", "guess")], &[("gray-lane", FORGED), ("gray", "GRAY"), ("gray-path", "x")]];
    for headers in others {
        let answer = lab.order(headers).await?.expect(200)?;
        ensure!(!answer.headers.contains_key("gray-path"), "{headers:?}: {:?}", answer.headers);
    }
    lab.takes("V2 V1", &[("x", "2")]).await
}
