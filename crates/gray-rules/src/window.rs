//! Windows of time: office hours, a launch day.

use jiff::{Timestamp, civil, tz::TimeZone};

/// Hours of some days of the week, in a time zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Time of day it begins; after `to` it reaches over midnight.
    pub from: civil::Time,
    /// Time of day it ends; not a part of it.
    pub to: civil::Time,
    /// The days on which it begins, Monday first.
    pub days: [bool; 7],
    /// Whose clock.
    pub zone: TimeZone,
}

impl Window {
    /// Whether it is open at this time, in Unix seconds.
    pub fn is_open(&self, now: u64) -> bool {
        let Some(now) = i64::try_from(now).ok().and_then(|now| Timestamp::from_second(now).ok()) else { return false };
        let local = now.to_zoned(self.zone.clone()).datetime();
        let today = usize::try_from(local.weekday().to_monday_zero_offset()).unwrap_or(0);
        let yesterday = (today + 6) % 7;
        let time = local.time();
        if self.from < self.to {
            return self.days[today] && (self.from..self.to).contains(&time);
        }
        (self.days[today] && time >= self.from) || (self.days[yesterday] && time < self.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_and_closed() {
        let time = |text: &str| text.parse::<civil::Time>().expect("time");
        let weekdays = [true, true, true, true, true, false, false];
        let zone = TimeZone::get("Asia/Shanghai").expect("known");
        let office = Window { from: time("09:00"), to: time("18:00"), days: weekdays, zone: zone.clone() };
        let night = Window { from: time("22:00"), to: time("06:00"), days: weekdays, zone };
        let cases = [
            ("2026-11-20T09:00:00+08:00", true, false),
            ("2026-11-20T17:59:59+08:00", true, false),
            ("2026-11-20T18:00:00+08:00", false, false),
            ("2026-11-20T23:00:00+08:00", false, true),
            ("2026-11-21T05:59:00+08:00", false, true), // Saturday, but it began on Friday
            ("2026-11-21T10:00:00+08:00", false, false),
            ("2026-11-23T05:00:00+08:00", false, false), // Monday before dawn belongs to Sunday
        ];
        for (at, in_office, at_night) in cases {
            let now = at.parse::<Timestamp>().expect("timestamp").as_second() as u64;
            assert_eq!((office.is_open(now), night.is_open(now)), (in_office, at_night), "{at}");
        }
        assert!(!office.is_open(u64::MAX));
    }
}
