//! `x-forwarded.*` and `forwarded.enabled`: which fields tell an instance where a request comes from.

use gray_document::Section;

/// One of the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginField {
    /// `Forwarded`
    Forwarded,
    /// `X-Forwarded-For`
    For,
    /// `X-Forwarded-Proto`
    Proto,
    /// `X-Forwarded-Host`
    Host,
    /// `X-Forwarded-Port`
    Port,
    /// `X-Forwarded-Prefix`
    Prefix,
}

/// `X-Forwarded-*`, and what their keys begin with.
const SWITCHES: [(OriginField, &str); 5] = [
    (OriginField::For, "for"),
    (OriginField::Proto, "proto"),
    (OriginField::Host, "host"),
    (OriginField::Port, "port"),
    (OriginField::Prefix, "prefix"),
];

/// Which of the fields the gateway writes, and of which it believes what a trusted hop says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardedFields {
    written: u8,
    continued: u8,
}

impl Default for ForwardedFields {
    fn default() -> Self {
        Self { written: u8::MAX, continued: u8::MAX }
    }
}

impl ForwardedFields {
    /// Whether there is nothing that is not written.
    pub fn are_all(self) -> bool {
        self == Self::default()
    }

    /// Whether the gateway writes this one. What strangers say in it is not passed on either way.
    pub fn writes(self, field: OriginField) -> bool {
        self.written & bit(field) != 0
    }

    /// Whether what a trusted hop says in it counts beside what the gateway says, and is not replaced (`*-append`).
    pub fn continues(self, field: OriginField) -> bool {
        self.continued & bit(field) != 0
    }

    /// Reads both sections.
    pub(crate) fn read(x_forwarded: &Section<'_>, forwarded: &Section<'_>) -> Self {
        let mut fields = Self::default();
        let all = x_forwarded.bool("enabled").unwrap_or(true);
        for (field, name) in SWITCHES {
            let one = x_forwarded.bool(&format!("{name}-enabled")).unwrap_or(true);
            if !(all && one) {
                fields.written &= !bit(field);
            }
            if x_forwarded.bool(&format!("{name}-append")) == Some(false) {
                fields.continued &= !bit(field);
            }
        }
        if forwarded.bool("enabled") == Some(false) {
            fields.written &= !bit(OriginField::Forwarded);
        }
        fields
    }
}

fn bit(field: OriginField) -> u8 {
    1 << field as u8
}

#[cfg(test)]
mod tests {
    use gray_document::Documents;

    use super::*;
    use crate::RouteTable;

    #[test]
    fn switches() {
        use OriginField::{For, Forwarded, Host, Port, Prefix, Proto};
        const ALL: [OriginField; 6] = [Forwarded, For, Proto, Host, Port, Prefix];
        for (text, off, replaced) in [
            ("x-forwarded.order: 1", &[][..], &[][..]),
            ("x-forwarded.enabled: false", &[For, Proto, Host, Port, Prefix], &[]),
            ("xForwarded: { forEnabled: false, prefix_enabled: false }", &[For, Prefix], &[]),
            ("x-forwarded: { for-append: false, proto-append: true, hostAppend: false }", &[], &[For, Host]),
            ("server.webflux.forwarded.enabled: false", &[Forwarded], &[]),
            ("forwarded.enabled: true", &[], &[]),
        ] {
            let text = format!("spring.cloud.gateway.{text}");
            let documents = Documents::parse(&[("g.yaml", &text)], &|_| None).expect("well formed");
            let fields = RouteTable::read(&documents.root()).forwarded_fields();
            for field in ALL {
                assert_eq!(fields.writes(field), !off.contains(&field), "{text}: {field:?}");
                assert_eq!(fields.continues(field), !replaced.contains(&field), "{text}: {field:?}");
            }
            let problems: Vec<_> = documents.take_problems().iter().map(ToString::to_string).collect();
            assert!(problems.iter().all(|problem| problem.contains("order")), "{text}: {problems:?}");
        }
    }
}
