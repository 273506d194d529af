//! Calendar days, for decisions that expire.

use std::fmt;
use std::str::FromStr;

/// A day of the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// A day; `None` where the calendar has no such day.
    #[must_use]
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let is_leap = (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
        let n_days = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if is_leap => 29,
            2 => 28,
            _ => return None,
        };
        ((1..=n_days).contains(&day) && year <= 9999).then_some(Self { year, month, day })
    }

    /// The day in UTC so many seconds after the beginning of 1970; the last day there is where that is too late.
    #[must_use]
    pub fn of_unix_time(seconds: u64) -> Self {
        let mut days = seconds / 86_400;
        for year in 1970..=9999 {
            for month in 1..=12 {
                let n_days = (28..=31).rev().find(|day| Self::new(year, month, *day).is_some()).unwrap_or(28);
                if days < u64::from(n_days) {
                    let day = u8::try_from(days + 1).unwrap_or(n_days);
                    return Self { year, month, day };
                }
                days -= u64::from(n_days);
            }
        }
        Self { year: 9999, month: 12, day: 31 }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl FromStr for Date {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = || {
            let (year, rest) = text.split_once('-')?;
            let (month, day) = rest.split_once('-')?;
            let is_digits = |it: &str, n: usize| it.len() == n && it.bytes().all(|it| it.is_ascii_digit());
            if !is_digits(year, 4) || !is_digits(month, 2) || !is_digits(day, 2) {
                return None;
            }
            Self::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
        };
        parsed().ok_or_else(|| format!("`{text}` is no day, expected one like 2027-01-31"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_and_written_and_those_that_are_not_are_refused() {
        for text in ["2027-01-31", "2024-02-29", "0001-12-01"] {
            assert_eq!(text.parse::<Date>().unwrap().to_string(), text);
        }
        for text in ["2027-02-29", "1900-02-29", "2027-13-01", "2027-1-1", "+027-01-01", "2027-01-00", "soon", ""] {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
        assert!("2026-12-31".parse::<Date>() < "2027-01-01".parse::<Date>());
    }

    #[test]
    fn seconds_become_the_day_they_are_in() {
        // As `date -u -d @N +%F` has them.
        let days = [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_795_392_000, "2026-11-23"),
            (1_795_391_999, "2026-11-22"),
        ];
        for (seconds, day) in days {
            assert_eq!(Date::of_unix_time(seconds).to_string(), day);
        }
        assert_eq!(Date::of_unix_time(u64::MAX).to_string(), "9999-12-31");
    }
}
