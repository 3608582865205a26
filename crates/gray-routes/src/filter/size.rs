//! `RequestSize`, `RequestHeaderSize`: how long what a client sends may be.

use http::HeaderName;

use super::name;
use crate::{definition::Definition, text::quoted};

/// `RequestHeaderSize`: the longest header field that a request may have. Mirrors `RequestHeaderSizeGatewayFilterFactory`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldLimit {
    /// Bytes of a name and all values under it, together.
    max: u64,
    /// The field of the answer that says which are too long.
    pub error_name: HeaderName,
}

impl FieldLimit {
    /// What is said of the fields that are too long, if there are any.
    pub fn excess<'f, I: Iterator<Item = (&'f str, &'f [u8])>>(&self, fields: impl Fn() -> I) -> Option<String> {
        let mut said = String::new();
        for (place, (name, _)) in fields().enumerate() {
            let is_it = |(other, _): &(&str, &[u8])| name.eq_ignore_ascii_case(other);
            if fields().take(place).any(|field| is_it(&field)) {
                continue;
            }
            let values: usize = fields().filter(is_it).map(|(_, value)| value.len()).sum();
            let size = name.len() + values;
            if size as u64 > self.max {
                said.push_str(&format!(" Request Header/s size for '{name}' is {size}B."));
            }
        }
        let max = self.max;
        (!said.is_empty()).then(|| format!("Request Header/s size is larger than permissible limit ({max}B).{said}"))
    }

    pub(super) fn read(definition: &Definition<'_>) -> Option<Self> {
        let [max, error_name] = definition.bind([("maxSize", &["size"]), ("errorHeaderName", &[])], 0)?;
        let max = max.map_or(Some(16_000), |max| max.convert(data_size))?;
        let error_name = error_name
            .map_or(Some(HeaderName::from_static("errormessage")), |error_name| error_name.convert(name::written))?;
        Some(Self { max, error_name })
    }
}

/// Spring's `DataSize`: `5MB`, `500KB`, a bare number is bytes. Multiples of 1024.
pub(super) fn data_size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => Some(0),
        "KB" => Some(10),
        "MB" => Some(20),
        "GB" => Some(30),
        _ => None,
    };
    let size = number.parse::<u64>().ok().zip(scale).and_then(|(number, scale)| number.checked_mul(1 << scale));
    size.ok_or_else(|| format!("expected a size such as 5MB, 500KB or 1000 (bytes), found {}", quoted(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_counts_with_all_its_values() {
        let limit = FieldLimit { max: 5, error_name: HeaderName::from_static("errormessage") };
        let fields = |fields: &'static [(&'static str, &'static [u8])]| limit.excess(|| fields.iter().copied());
        assert_eq!(fields(&[("a", b"1234"), ("b", b"")]), None);
        let said = fields(&[("a", b"12"), ("bb", b"1234"), ("A", b"345"), ("c", b"1")]).expect("two are too long");
        assert_eq!(
            said,
            "Request Header/s size is larger than permissible limit (5B). Request Header/s size for 'a' is 6B. Request \
             Header/s size for 'bb' is 6B."
        );
    }
}
