//! gRPC through an egress: it is the target, and `:authority` is the service.

use http::Request;

use super::egress;
use crate::h2::{H2Backend, empty, field};

#[tokio::test]
async fn a_service_is_called_over_http2_as_its_client_does() {
    let (v1, v2) = (H2Backend::echo("V1").await, H2Backend::echo("V2").await);
    let gateway = egress(&[("user-app", vec![v1.instance("V1"), v2.instance("V2")])], &[]);
    let mut client = gateway.h2().await;
    for (headers, backend, name) in
        [(&[][..], &v1, "V1"), (&[("gray", "GRAY")], &v2, "V2"), (&[("gray-lane", "r;n;-;*=version:V2")], &v2, "V2")]
    {
        for authority in ["user-app".to_owned(), v1.address.to_string()] {
            let mut request = Request::builder().method("POST").uri(format!("http://{authority}/pkg.Users/Get"));
            for (name, value) in headers.iter().chain(&[("te", "trailers"), ("content-type", "application/grpc")]) {
                request = request.header(*name, *value);
            }
            let answer = client.send(request.body(empty()).expect("a request")).await;
            assert_eq!((answer.status(), answer.text()), (200, name), "{authority} {headers:?}");
            let seen = backend.last();
            assert_eq!((seen.uri.path(), field(&seen.headers, "te")), ("/pkg.Users/Get", "trailers"));
            assert_eq!(seen.uri.authority().map(ToString::to_string), Some(backend.address.to_string()));
            assert_eq!(field(&seen.headers, "gray-caller"), "order-app@V1");
        }
    }
    let request = Request::builder().uri("http://elsewhere/x").body(empty()).expect("a request");
    assert_eq!(client.send(request).await.status(), 403);
}
