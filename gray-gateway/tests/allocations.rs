//! What a request must not do on its way from the client's bytes to those that are sent: counted by an allocator that counts.

use allocation_counter::measure;
use gray_document::Documents;
use gray_gateway::{proxy::head_reader, route::RouteTable};
use gray_rules::RequestFacts;
use http::HeaderMap;

#[test]
fn a_head_is_read_decided_and_written_without_an_allocation() {
    let (mut read, mut out) = (head_reader(), Vec::with_capacity(1 << 12));
    for head in [
        "GET /api/order/N0001?full=1 HTTP/1.1\r\nHost: shop.example.com\r\nCookie: session=0123; theme=dark\r\n\r\n",
        "GET /api/x HTTP/1.1\r\nHost: shop.example.com\r\nGray: gray-996\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
        "GET /api/x HTTP/1.1\r\nHost: shop.example.com\r\nBaggage: a=b;p=q, gray%2Dlane=x\r\nbaggage: c=d,nonsense\r\n\r\n",
        "POST /api/x HTTP/1.1\r\nHost: shop.example.com\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
    ] {
        let mut passes = || {
            out.clear();
            read(head.as_bytes(), &mut out)
        };
        // What a connection keeps of its host, and a worker of its lanes, is made once.
        assert!(passes(), "{head}");
        let counted = measure(|| assert!(passes()));
        assert_eq!(counted.count_total, 0, "{counted:?} {head}");
    }
}

#[test]
fn a_route_is_found_without_an_allocation() {
    let text = "spring.cloud.gateway.routes:
- { id: path, uri: 'lb://a', predicates: ['Path=/api/{x}/orders/**'] }
- { id: host, uri: 'lb://a', predicates: ['Host=*.t1.example.com', 'Path=/{x:[a-z]+}/**'] }
- { id: around, uri: 'lb://a', predicates: ['Path=/{x:(?!admin).*}/around'] }
";
    let documents = Documents::parse(&[("routes", text)], &|_| None).expect("well formed");
    let table = RouteTable::read(&documents.root());
    let headers = HeaderMap::new();
    for (path, host) in [("/api/7/orders/1", "shop.example.com"), ("/x/y", "www.t1.example.com"), ("/7/around", "h")] {
        let request = RequestFacts { path, host: Some(host), ..RequestFacts::new(&headers) };
        let find = || table.find(&request).is_ok_and(|route| route.is_some());
        // What a thread keeps for searches is made once.
        assert!(find(), "{path}");
        let counted = measure(|| assert!(find()));
        assert_eq!(counted.count_total, 0, "{counted:?} {path}");
    }
}
