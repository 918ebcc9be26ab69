//! Days since 1970 and the Gregorian calendar.

/// A day of the Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Date {
    pub(super) year: i64,
    /// From 1.
    pub(super) month: u16,
    /// From 1.
    pub(super) day: u16,
}

/// Days before each month in a year that begins in March, so that the leap day is the last day.
const BEFORE_MONTH: [i64; 12] = [0, 31, 61, 92, 122, 153, 184, 214, 245, 275, 306, 337];
/// Days from 1 March 0 to 1 January 1970.
const EPOCH: i64 = 719_468;
const DAYS_OF_400_YEARS: i64 = 146_097;

impl Date {
    /// The date of a day counted from 1 January 1970.
    pub(super) fn of(days: i64) -> Self {
        let (era, day) = (
            (days + EPOCH).div_euclid(DAYS_OF_400_YEARS),
            (days + EPOCH).rem_euclid(DAYS_OF_400_YEARS),
        );
        // Leap days are not counted: one every fourth year, except every hundredth, except the last.
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let place = BEFORE_MONTH.partition_point(|before| *before <= day) - 1;
        let month = if place < 10 { place + 3 } else { place - 9 };
        Self {
            year: era * 400 + year + i64::from(month <= 2),
            month: u16::try_from(month).unwrap_or(0),
            day: u16::try_from(day - BEFORE_MONTH[place] + 1).unwrap_or(0),
        }
    }
}

/// The day of the week; Monday is 0.
pub(super) fn weekday(days: i64) -> u16 {
    // 1 January 1970 was a Thursday.
    u16::try_from((days + 3).rem_euclid(7)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        for (days, year, month, day, of_week) in [
            (0, 1970, 1, 1, 3),
            (-1, 1969, 12, 31, 2),
            (789, 1972, 2, 29, 1),
            (790, 1972, 3, 1, 2),
            (11_016, 2000, 2, 29, 1),
            (20_778, 2026, 11, 21, 5),
            (47_541, 2100, 3, 1, 0),
            (84_005, 2199, 12, 31, 1),
        ] {
            assert_eq!(Date::of(days), Date { year, month, day });
            assert_eq!(weekday(days), of_week, "{year}-{month}-{day}");
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut before = Date::of(-1);
        for days in 0..90_000 {
            let date = Date::of(days);
            let next_day = date.day == before.day + 1 && date.month == before.month;
            let next_month = date.day == 1 && before.day >= 28;
            assert!(next_day || next_month, "{before:?} {date:?}");
            before = date;
        }
    }
}
