//! A day in UTC, as the names of rotated log files have it.

use std::{
    fmt,
    ops::Range,
    str::FromStr,
    time::{Duration, SystemTime},
};

/// Days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Day(u64);

impl Day {
    /// The day that `time` is in; the first one for times before it.
    pub(crate) fn of(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self::of_unix_seconds(since.as_secs())
    }

    /// The day of a time in seconds since 1970.
    pub(crate) fn of_unix_seconds(seconds: u64) -> Self {
        Self(seconds / SECONDS)
    }

    /// Year, month and day, by H. Hinnant's `civil_from_days`: years begin in March, so that the leap day is last.
    fn civil(self) -> (u64, u64, u64) {
        let days = self.0 + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        (era * 400 + year_of_era + u64::from(month <= 2), month, day)
    }
}

const SECONDS: u64 = 86_400;

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// Not a day of the form `YYYY-MM-DD`.
#[derive(Debug)]
pub(crate) struct NotADay;

impl FromStr for Day {
    type Err = NotADay;

    fn from_str(text: &str) -> Result<Self, NotADay> {
        let number = |range| text.get::<Range<usize>>(range)?.parse::<u64>().ok();
        let parse = || {
            let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
            let year = if month <= 2 { year.checked_sub(1)? } else { year };
            let month_from_march = if month > 2 { month - 3 } else { month + 9 };
            let of_year = (153 * month_from_march + 2) / 5 + day.checked_sub(1)?;
            let of_era = year % 400 * 365 + year % 400 / 4 - year % 400 / 100 + of_year;
            (year / 400 * 146_097 + of_era).checked_sub(719_468).map(Self)
        };
        // What does not print as it reads is no day, such as the 31st of June.
        parse().filter(|day| day.to_string() == text).ok_or(NotADay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_the_names_of_the_calendar() {
        for (seconds, name) in [
            (0, "1970-01-01"),
            (86_399, "1970-01-01"),
            (86_400, "1970-01-02"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_735_603_200, "2024-12-31"),
            (1_785_542_400, "2026-08-01"),
            (4_107_542_400, "2100-03-01"),
        ] {
            let day = Day::of(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!(day.to_string(), name);
            assert_eq!(name.parse::<Day>().unwrap(), day, "{name}");
        }
        for days in 0..200_000 {
            assert_eq!(Day(days).to_string().parse::<Day>().unwrap().0, days);
        }
    }

    #[test]
    fn other_text_is_no_day() {
        for text in [
            "",
            "2026-06-31",
            "2026-13-01",
            "2026-00-10",
            "2026-02-00",
            "1969-12-31",
            "2026-1-1",
            "2026-01-01x",
        ] {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
        for text in ["2026_01_01", "+026-01-01", "2026-01-+1", "äää-äää-"] {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
    }
}
