//! Values of flags, with messages that say what is expected.

use std::{ops::RangeInclusive, time::Duration};

/// Reads a whole number within bounds, for `value_parser`. The number type is the other bound.
///
/// clap's own says `number would be zero for non-zero type`, or bounds such as `200..18446744073709551615`.
pub fn whole<T: TryFrom<u64>>(bounds: RangeInclusive<u64>) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = text.trim().parse::<u64>().ok().filter(|number| bounds.contains(number));
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| match (*bounds.start(), *bounds.end()) {
            (least, u64::MAX) => format!("expected a whole number, at least {least}"),
            (least, most) => format!("expected a whole number from {least} to {most}"),
        })
    }
}

/// Reads a length of time with its unit (`500ms`, `3s`, `2m`, `1h`; `0` needs none), for `value_parser`.
pub fn duration(least: Duration) -> impl Fn(&str) -> Result<Duration, String> + Clone {
    move |text| {
        let text = text.trim();
        if text != "0" && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!("a unit is missing: write `{text}ms` or `{text}s`"));
        }
        let read = gray_document::duration(text).ok_or("expected a length of time such as 500ms, 3s or 2m")?;
        if read < least { Err(format!("expected at least {least:?}")) } else { Ok(read) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_a_unit() {
        let read = duration(Duration::from_millis(200));
        for (text, expect) in [("200ms", 200), (" 3s", 3_000), ("2m", 120_000), ("1h", 3_600_000)] {
            assert_eq!(read(text), Ok(Duration::from_millis(expect)), "{text}");
        }
        assert_eq!(duration(Duration::ZERO)("0"), Ok(Duration::ZERO));
        assert_eq!(read("3000"), Err("a unit is missing: write `3000ms` or `3000s`".to_owned()));
        assert_eq!(read("0"), Err("expected at least 200ms".to_owned()));
        for text in ["", "s", "-1s", "1.5s", "3 weeks", "9999999999999999999999s", "x"] {
            assert_eq!(read(text), Err("expected a length of time such as 500ms, 3s or 2m".to_owned()), "{text}");
        }
    }

    #[test]
    fn numbers_out_of_bounds_are_told_the_bounds() {
        for (text, expect) in [("0", Ok(0)), (" 7 ", Ok(7)), ("10", Ok(10))] {
            assert_eq!(whole::<u32>(0..=10)(text), expect, "{text}");
        }
        for text in ["", "-1", "11", "1.5", "5%", "9e20", "x"] {
            assert_eq!(whole::<u32>(0..=10)(text), Err("expected a whole number from 0 to 10".to_owned()), "{text}");
        }
        assert_eq!(whole::<u64>(200..=u64::MAX)("0"), Err("expected a whole number, at least 200".to_owned()));
        assert_eq!(whole::<u64>(0..=u64::MAX)("18446744073709551615"), Ok(u64::MAX));
    }
}
