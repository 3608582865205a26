//! The file with the CAs of instances.

use std::fs;

use super::*;
use crate::client::tests::secure::{certificate, secure};

#[tokio::test]
async fn the_cas_of_instances_are_followed() {
    let (registry, (acceptor, ca), (_, other)) = (Watchful::new(), certificate("127.0.0.1"), certificate("127.0.0.1"));
    registry.inner.set("user-app", vec![secure(acceptor, "V1").await]);
    let control = ControlPlane { registry: Arc::clone(&registry) as _, config: in_order() as _, disk: None };
    let args = args(&["--upstream-ca", other.path().to_str().expect("UTF-8")]);
    let mut gray = GrayService::start_on(control, "hello-app", 1, &args).await.expect("starts");
    let client = gray.client("user-app").expect("builds");
    let service = serve(gray, Router::new());
    until(service.port, 200, "true").await;
    let error = client.get("/who").send().await.expect_err("another CA");
    assert!(matches!(error, ClientError::Connect { .. }), "{error}");

    // What is not a certificate changes nothing; the right one does.
    fs::write(other.path(), "nothing").expect("written");
    fs::copy(ca.path(), other.path()).expect("copied");
    let answered = timeout(LIMIT, async {
        while client.get("/who").send().await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(answered.await.is_ok(), "not read again");
    service.stop().await;
}

#[tokio::test]
async fn a_file_that_is_not_there_is_wrong_usage() {
    let (registry, config) = (Watchful::new(), in_order());
    let control = ControlPlane { registry: registry as _, config: config as _, disk: None };
    let args = args(&["--upstream-ca", "/nowhere/ca.pem"]);
    let error = GrayService::start_on(control, "hello-app", 1, &args).await.expect_err("no such file");
    assert!(error.to_string().starts_with("--upstream-ca /nowhere/ca.pem: cannot be read"), "{error}");
    assert_eq!(format!("{:?}", exit_code(&error)), format!("{:?}", std::process::ExitCode::from(WRONG_USAGE)));
}
