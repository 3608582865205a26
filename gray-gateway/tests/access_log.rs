//! A line of the access log costs no allocation: counted by an allocator that counts.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use allocation_counter::measure;
use gray_gateway::proxy::{AccessLogFormat, End, Entry, LineWriter};
use http::Version;

#[test]
fn a_line_is_written_without_an_allocation() {
    let entry = Entry {
        began: Instant::now(),
        duration: Duration::from_micros(1234),
        client: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)),
        method: b"GET",
        target: b"/order-api/order/N0001?q=\"\xff\r\n",
        version: Version::HTTP_11,
        status: Some(200),
        sent: u64::MAX,
        received: 0,
        upstream: Some(Duration::from_micros(1200)),
        route: Some("order-app"),
        lane: Some("灰度"),
        rule: None,
        service: Some("order-app"),
        instance: Some("10.0.12.34:7100"),
        end: End::Complete,
        fault: None,
        request_id: Some(b"6f1c2d"),
    };
    for format in [AccessLogFormat::Text, AccessLogFormat::Json] {
        let (mut writer, mut lines) = (LineWriter::new(format), Vec::with_capacity(1 << 20));
        let allocated = measure(|| {
            for seconds in 0..200 {
                // Each in another second, from old to older.
                let began = entry.began.checked_sub(Duration::from_secs(seconds)).unwrap_or(entry.began);
                writer.write(&Entry { began, ..entry }, &mut lines);
                writer.write(&Entry { client: IpAddr::V6(Ipv6Addr::LOCALHOST), ..entry }, &mut lines);
            }
        });
        assert_eq!(
            (allocated.count_total, lines.iter().filter(|byte| **byte == b'\n').count()),
            (0, 400),
            "{format:?}"
        );
    }
}
