//! What outlives a change of the configuration: clients do not get their rates back by it.

mod support;

use std::{path::Path, time::Duration};

use gray_gateway::app::Application;
use tokio::time::timeout;

use support::args;

const LIMIT: Duration = Duration::from_secs(30);

/// A site that a client may ask for once, and then not for a quarter of an hour; and one more route.
fn publish(directory: &Path, site: &Path, burst: u32, other: &str) {
    let text = format!(
        "kerwin.tool.gray: {{ load: false }}
spring.cloud.gateway.routes:
- id: site
  uri: 'file://{}'
  predicates: ['Path=/site/**']
  filters: [StripPrefix=1, {{ name: RequestRateLimiter, args: {{ replenishRate: 1, burstCapacity: {burst}, requestedTokens: 900 }} }}]
- {{ id: {other}, uri: 'file:///nowhere', predicates: ['Path=/{other}'] }}
",
        site.display()
    );
    let hidden = directory.join(".hidden");
    std::fs::write(&hidden, text).expect("written");
    std::fs::rename(hidden, directory.join("gateway-app.yaml")).expect("in place");
}

#[tokio::test]
async fn a_new_configuration_does_not_fill_the_buckets() {
    let (directory, site) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    std::fs::write(site.path().join("a.txt"), "a").expect("written");
    publish(directory.path(), site.path(), 900, "one");
    let gateway = Application::build(&args(directory.path(), &[])).await.expect("starts");
    let http = reqwest::Client::builder().no_proxy().timeout(LIMIT).build().expect("builds");
    let status = async |path: &str| {
        let answer = http.get(format!("http://{}{path}", gateway.address())).send().await.expect("answered");
        answer.status().as_u16()
    };
    let knows = async |route: &str| {
        let known = timeout(LIMIT, async {
            loop {
                let answer =
                    http.get(format!("http://{}/status", gateway.admin_address())).send().await.expect("answered");
                let text = answer.text().await.expect("read");
                if text.contains(&format!("\"{route}\"")) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        known.await.unwrap_or_else(|_| panic!("never heard of {route}"));
    };
    knows("one").await;
    assert_eq!((status("/site/a.txt").await, status("/site/a.txt").await), (200, 429));
    publish(directory.path(), site.path(), 900, "two");
    knows("two").await;
    assert_eq!(status("/site/a.txt").await, 429, "another route does not reset the counters");
    publish(directory.path(), site.path(), 901, "three");
    knows("three").await;
    assert_eq!((status("/site/a.txt").await, status("/site/a.txt").await), (200, 429), "another limit is one");
}
