//! Moments as people write and read them.

/// Unix seconds as people and programs read them: `2026-12-31T10:00:00Z`.
pub fn show_time(unix_seconds: u64) -> String {
    let time = i64::try_from(unix_seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(|| unix_seconds.to_string(), |time| time.to_string())
}

/// A moment as people and programs write it, as Unix seconds: `2026-12-31T18:00:00+08:00`, or the seconds themselves.
pub fn parse_time(text: &str) -> Option<u64> {
    let text = text.trim();
    let written = || text.parse::<jiff::Timestamp>().ok().and_then(|time| u64::try_from(time.as_second()).ok());
    text.parse().ok().or_else(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_either_way() {
        assert_eq!(parse_time("1796054400"), Some(1_796_054_400));
        assert_eq!(parse_time(" 2026-12-01T00:00:00+08:00"), Some(1_796_054_400));
        assert_eq!(show_time(1_796_054_400), "2026-11-30T16:00:00Z");
        assert_eq!(show_time(u64::MAX), u64::MAX.to_string());
        for text in ["", "-1", "tomorrow", "2026-12-01", "1960-01-01T00:00:00Z"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
