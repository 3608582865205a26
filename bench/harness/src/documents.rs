//! The rules that the gateway has to judge by.

use std::fmt::Write as _;

/// A document of 100 rules, none of which matches what the load sends: 40 about a header that is there, 30 about the
/// client's address, 30 shares of clients that are too small to hold 127.0.0.1.
pub(crate) fn rules() -> String {
    let mut text =
        String::from("gray:\n  lanes: { canary: { services: { backend: V2 }, fallback: baseline } }\n  rules:\n");
    for index in 0..100 {
        let test = match index % 10 {
            0 | 3 | 6 | 9 => format!("when: {{ header.userNo: [U{index}a, U{index}b, U{index}c] }}"),
            1 | 4 | 7 => format!("when: {{ ip: [10.{index}.0.0/16, 192.0.2.{index}] }}"),
            _ => format!("share: {{ percent: 0.01, key: ip, salt: bench-{index} }}"),
        };
        // Writing to a string does not fail.
        let _written = writeln!(text, "    - {{ name: rule-{index}, {test}, lane: canary }}");
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_hundred_rules_of_three_kinds() {
        let text = super::rules();
        let count = |part: &str| text.matches(part).count();
        assert_eq!((count("header.userNo"), count(" ip: ["), count("share:")), (40, 30, 30));
    }
}
