//! Bytes of a request: whatever they are, either nothing is sent on, or one head that all servers read in the same way.
#![no_main]

use std::cell::RefCell;

use gray_gateway::proxy::head_reader;
use libfuzzer_sys::fuzz_target;

type Read = Box<dyn FnMut(&[u8], &mut Vec<u8>) -> bool>;

thread_local! {
    static READER: RefCell<Read> = RefCell::new(Box::new(head_reader()));
}

fuzz_target!(|data: &[u8]| {
    let mut sent = Vec::new();
    if READER.with_borrow_mut(|read| read(data, &mut sent)) {
        judge(&sent);
    }
});

fn judge(sent: &[u8]) {
    let body = sent.windows(4).position(|end| end == b"\r\n\r\n").expect("an end");
    assert_eq!(body + 4, sent.len(), "one head and no more");
    let lines: Vec<&[u8]> = sent[..body].split(|byte| *byte == b'\n').collect();
    let mut count = [0; 5];
    for (place, line) in lines.iter().enumerate() {
        let line = if place + 1 < lines.len() { line.strip_suffix(b"\r").expect("CR LF") } else { line };
        assert!(!line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "a line is a line");
        if place == 0 {
            assert_eq!(line.iter().filter(|byte| **byte == b' ').count(), 2, "method, target, version");
            assert!(line.ends_with(b" HTTP/1.1"));
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':').expect("a name");
        let plain = |byte: &u8| if matches!(byte, b'_' | b'.') { b'-' } else { byte.to_ascii_lowercase() };
        let name: Vec<u8> = line[..colon].iter().map(plain).collect();
        assert!(!name.is_empty() && name[0] != b' ' && name[0] != b'\t', "no folded line");
        for (known, count) in
            [&b"gray"[..], b"host", b"content-length", b"transfer-encoding", b"x-forwarded-for"].iter().zip(&mut count)
        {
            *count += usize::from(name == *known);
        }
        assert!(!matches!(&*name, b"keep-alive" | b"proxy-connection" | b"proxy-authorization"), "ends here");
    }
    let [gray, host, length, coding, origin] = count;
    assert_eq!((gray, host, origin), (1, 1, 1), "ours, once");
    assert!(length + coding <= 1, "one length");
}
