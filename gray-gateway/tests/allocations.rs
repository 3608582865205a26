//! What a request must not do on its way from the client's bytes to those that are sent: counted by an allocator that counts.

use allocation_counter::measure;
use gray_gateway::proxy::head_reader;

#[test]
fn a_head_is_read_decided_and_written_without_an_allocation() {
    let (mut read, mut out) = (head_reader(), Vec::with_capacity(1 << 12));
    for head in [
        "GET /api/order/N0001?full=1 HTTP/1.1\r\nHost: shop.example.com\r\nCookie: session=0123; theme=dark\r\n\r\n",
        "GET /api/x HTTP/1.1\r\nHost: shop.example.com\r\nGray: gray-996\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
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
