//! Bytes that are not text, and texts that were ruined on the way.

/// What to do about all of them.
const REMEDY: &str = "save and publish the document as UTF-8";

/// Decodes a document.
///
/// # Errors
/// What it seems to be, and where it stops being UTF-8.
pub fn decode(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(format!("line 1: not UTF-8 but UTF-16 (it begins with a byte order mark); {REMEDY}"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        format!("line {}: not UTF-8 (GBK, perhaps); {REMEDY}", line(good))
    })
}

/// Where a text shows that it was not decoded as it should have been, and why; `None` when it does not.
pub(super) fn fault(text: &str) -> Option<(u32, String)> {
    let (at, what) = text.char_indices().find_map(|(at, c)| match c {
        // A YAML parser takes it for the end: what follows would be lost without a word.
        '\0' => Some((at, "a NUL character, as UTF-16 text read as UTF-8 has them")),
        '\u{fffd}' => Some((at, "U+FFFD, which stands for bytes that could not be decoded (GBK, perhaps)")),
        _ => None,
    })?;
    let line = u32::try_from(line(&text.as_bytes()[..at])).unwrap_or(u32::MAX);
    Some((line, format!("the text holds {what}; {REMEDY}")))
}

fn line(before: &[u8]) -> usize {
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Documents;

    #[test]
    fn what_is_not_utf8_says_what_it_seems_to_be() {
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        for (bytes, expect) in [
            (utf16("\u{feff}a: 1"), "line 1: not UTF-8 but UTF-16"),
            (vec![0xfe, 0xff, 0, b'a'], "line 1: not UTF-8 but UTF-16"),
            // 杭州 in GBK.
            (b"a: 1\nb: \xba\xbc\xd6\xdd".to_vec(), "line 2: not UTF-8 (GBK, perhaps); save"),
        ] {
            let error = decode(bytes).expect_err(expect);
            assert!(error.starts_with(expect), "{error}");
        }
        assert_eq!(decode("\u{feff}a: 杭州".into()).as_deref(), Ok("\u{feff}a: 杭州"));
    }

    #[test]
    fn a_text_that_was_ruined_on_the_way_is_no_document() {
        for (text, expect) in [
            ("a\0:\0 \0x\0", "a.yaml:1: the text holds a NUL character"),
            ("a: 1\n\0b: 2", "a.yaml:2: the text holds a NUL character"),
            ("a: 1\n# \u{fffd}\u{fffd}\n", "a.yaml:2: the text holds U+FFFD"),
        ] {
            let problems = Documents::parse(&[("a.yaml", text)], &|_| None).expect_err(expect);
            assert!(problems.to_string().starts_with(expect), "{problems}");
        }
    }
}
