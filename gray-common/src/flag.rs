//! Values of flags, with messages that say what is expected.

use std::ops::RangeInclusive;

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

#[cfg(test)]
mod tests {
    use super::*;

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
