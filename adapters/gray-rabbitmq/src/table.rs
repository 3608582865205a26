//! Headers of AMQP messages. Text and bytes are what we read; values of other types stay as they are.

use gray_context::MessageHeaders;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};

/// The headers that are text or bytes.
pub(crate) fn read(table: Option<&FieldTable>) -> MessageHeaders {
    let fields = table.into_iter().flatten().filter_map(|(name, value)| {
        let bytes = match value {
            AMQPValue::LongString(text) => text.as_bytes(),
            AMQPValue::ShortString(text) => text.as_str().as_bytes(),
            AMQPValue::ByteArray(bytes) => bytes.as_slice(),
            _ => return None,
        };
        Some((name.as_str().to_owned(), bytes.to_vec()))
    });
    MessageHeaders(fields.collect())
}

/// The headers as AMQP carries them. Of two of the same spelling the last one counts; a name that is too long for AMQP is none.
pub(crate) fn write(headers: MessageHeaders) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in headers.0 {
        set(&mut table, name, value);
    }
    table
}

/// Gives one header a text.
pub(crate) fn set(table: &mut FieldTable, name: impl Into<String>, value: impl Into<LongString>) {
    if let Ok(name) = ShortString::try_new(name) {
        table.insert(name, AMQPValue::LongString(value.into()));
    }
}

/// The number in one of our headers; `None` if it is not a number.
pub(crate) fn number(table: Option<&FieldTable>, name: &str) -> u32 {
    let value = table.and_then(|table| table.inner().get(name));
    match value {
        Some(AMQPValue::LongString(text)) => {
            str::from_utf8(text.as_bytes()).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(fields in prop::collection::btree_map(".{0,300}", prop::collection::vec(any::<u8>(), 0..40), 0..8)) {
            let headers = MessageHeaders(fields.into_iter().collect());
            let mut expect = headers.clone();
            expect.0.retain(|(name, _)| name.len() <= 255);
            prop_assert_eq!(read(Some(&write(headers))), expect);
        }
    }

    #[test]
    fn numbers_are_text_and_other_types_are_none() {
        let mut table = FieldTable::default();
        set(&mut table, "gray-attempts", "3");
        table.insert("count".into(), AMQPValue::LongInt(3));
        assert_eq!(["gray-attempts", "count", "absent"].map(|name| number(Some(&table), name)), [3, 0, 0]);
        assert_eq!(read(Some(&table)).0, [("gray-attempts".to_owned(), b"3".to_vec())]);
        for text in ["", "-1", "99999999999999999999", "x"] {
            set(&mut table, "gray-attempts", text);
            assert_eq!(number(Some(&table), "gray-attempts"), 0, "{text}");
        }
    }
}
