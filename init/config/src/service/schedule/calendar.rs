//! Calendar expressions: the commonly used part of `systemd.time(7)`. All times are UTC, the host's only time zone.

use super::date::{Date, weekday};
use super::field::{Field, decimal};
use serde::{Deserialize, Serialize};

const SECONDS_OF_DAY: i64 = 86_400;
/// The last year that `*` matches, and the last one searched for a next time.
const LAST_YEAR: u16 = 2199;

/// Words for common expressions (`systemd.time(7)`).
pub(crate) const WORDS: [(&str, &str); 9] = [
    ("minutely", "*-*-* *:*:00"),
    ("hourly", "*-*-* *:00:00"),
    ("daily", "*-*-* 00:00:00"),
    ("weekly", "Mon *-*-* 00:00:00"),
    ("monthly", "*-*-01 00:00:00"),
    ("quarterly", "*-01/3-01 00:00:00"),
    ("semiannually", "*-01/6-01 00:00:00"),
    ("yearly", "*-01-01 00:00:00"),
    ("annually", "*-01-01 00:00:00"),
];

pub(crate) const WEEKDAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// Calendar times: `[WEEKDAYS] [[YEAR-]MONTH-DAY] [HOUR:MINUTE[:SECOND]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Calendar {
    text: String,
    weekdays: Field,
    years: Field,
    months: Field,
    days: Field,
    hours: Field,
    minutes: Field,
    seconds: Field,
}

impl Calendar {
    /// The first of these times after `after`, both in seconds since 1970; `None` if there are no more.
    #[must_use]
    pub fn next(&self, after: i64) -> Option<i64> {
        let first = after.max(0) / SECONDS_OF_DAY;
        let days = (first..).take_while(|day| Date::of(*day).year <= i64::from(LAST_YEAR));
        let mut times = days.filter(|day| self.has_day(*day)).filter_map(|day| {
            let begin = day * SECONDS_OF_DAY;
            self.first_time_after(after - begin)
                .map(|time| begin + time)
        });
        times.next()
    }

    fn has_day(&self, day: i64) -> bool {
        let date = Date::of(day);
        let year = u16::try_from(date.year).unwrap_or(0);
        self.weekdays.has(weekday(day))
            && self.years.has(year)
            && self.months.has(date.month)
            && self.days.has(date.day)
    }

    /// The first time of a day after `after`, in seconds since midnight.
    fn first_time_after(&self, after: i64) -> Option<i64> {
        let minutes = self
            .hours
            .iter()
            .flat_map(|hour| self.minutes.iter().map(move |minute| hour * 60 + minute));
        let mut times =
            minutes.flat_map(|minute| self.seconds.iter().map(move |second| minute * 60 + second));
        times.find(|time| *time > after)
    }
}

impl TryFrom<String> for Calendar {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let word = WORDS.iter().find(|(word, _)| *word == text);
        let calendar = parse(word.map_or(&*text, |(_, expression)| expression), &text)
            .ok_or_else(|| why_not(&text))?;
        match calendar.next(0) {
            Some(_) => Ok(calendar),
            None => Err(format!("`{text}` never comes")),
        }
    }
}

fn why_not(text: &str) -> String {
    // No calendar expression has so many words.
    if text.starts_with('@') || text.split_whitespace().count() == 5 {
        return format!(
            "`{text}` is as in crontab(5): here, write `03:30` for `30 3 * * *`, `Mon 03:30` for `30 3 * * 1`, `*:0/5` for \
             `*/5 * * * *`, `daily` for `@daily`"
        );
    }
    format!("`{text}` is not a schedule: write `15m`, `daily` or `Mon *-*-* 03:00`")
}

fn parse(expression: &str, text: &str) -> Option<Calendar> {
    let mut words = expression.split_whitespace().peekable();
    let weekdays = words
        .next_if(|word| word.starts_with(|c: char| c.is_ascii_alphabetic()))
        .unwrap_or("*");
    let date = words.next_if(|word| word.contains('-')).unwrap_or("*-*-*");
    let time = words.next_if(|word| word.contains(':')).unwrap_or("0:0:0");
    if words.next().is_some() || expression.trim().is_empty() {
        return None;
    }
    let date = parts(date, '-', |month_and_day| {
        ["*", month_and_day[0], month_and_day[1]]
    })?;
    let time = parts(time, ':', |hour_and_minute| {
        [hour_and_minute[0], hour_and_minute[1], "0"]
    })?;
    Some(Calendar {
        text: text.to_owned(),
        weekdays: Field::parse(weekdays, &(0..=6), weekday_number)?,
        years: Field::parse(date[0], &(1970..=LAST_YEAR), decimal)?,
        months: Field::parse(date[1], &(1..=12), decimal)?,
        days: Field::parse(date[2], &(1..=31), decimal)?,
        hours: Field::parse(time[0], &(0..=23), decimal)?,
        minutes: Field::parse(time[1], &(0..=59), decimal)?,
        seconds: Field::parse(time[2], &(0..=59), decimal)?,
    })
}

/// Splits `text` into three parts; `complete` adds the one that may be omitted.
fn parts<'a>(
    text: &'a str,
    separator: char,
    complete: impl Fn([&'a str; 2]) -> [&'a str; 3],
) -> Option<[&'a str; 3]> {
    let parts: Vec<&str> = text.split(separator).collect();
    match parts[..] {
        [first, second, third] => Some([first, second, third]),
        [first, second] => Some(complete([first, second])),
        _ => None,
    }
}

/// A weekday, by its full name or its first three letters.
fn weekday_number(text: &str) -> Option<u16> {
    let text = text.to_ascii_lowercase();
    let names = |name: &&str| **name == text || name[..3] == text;
    let place = WEEKDAYS.iter().position(names)?;
    u16::try_from(place).ok()
}

impl From<Calendar> for String {
    fn from(calendar: Calendar) -> Self {
        calendar.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21 06:30:15, a Saturday.
    const NOW: i64 = 1_795_242_615;

    #[test]
    fn the_next_time() {
        for (text, seconds) in [
            ("minutely", 45),
            ("hourly", 1785),
            ("daily", 17 * 3600 + 1785),
            ("06:30:15", 86_400),
            ("06:30:16", 1),
            ("*:0/15", 885),
            ("*:*:0/10", 5),
            ("Mon *-*-* 03:00", 86_400 + 20 * 3600 + 1785),
            ("Sat 06:30", 7 * 86_400 - 15),
            ("mon..Friday 00:00", 86_400 + 17 * 3600 + 1785),
            ("Sat,Sun", 17 * 3600 + 1785),
            ("*-12-01", 9 * 86_400 + 17 * 3600 + 1785),
            ("12-01 06:30:15", 10 * 86_400),
            ("monthly", 9 * 86_400 + 17 * 3600 + 1785),
            ("2028-02-29 06:30:15", 465 * 86_400),
        ] {
            let calendar = Calendar::try_from(text.to_owned()).unwrap();
            assert_eq!(
                calendar.next(NOW).map(|next| next - NOW),
                Some(seconds),
                "{text}"
            );
            assert_eq!(String::from(calendar), text);
        }
    }

    #[test]
    fn a_time_that_is_over_does_not_come() {
        let calendar = Calendar::try_from("2026-01-01".to_owned()).unwrap();
        assert_eq!(calendar.next(NOW), None);
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for text in [
            "",
            "dayly",
            "25:00",
            "1:60",
            "Mon Tue",
            "*-13-01",
            "03:00 Mon",
            "1",
            "Mo",
        ] {
            let want =
                format!("`{text}` is not a schedule: write `15m`, `daily` or `Mon *-*-* 03:00`");
            assert_eq!(Calendar::try_from(text.to_owned()), Err(want), "{text}");
        }
        for text in ["30 3 * * *", "@daily", "0 0 30 2 *"] {
            let want = format!(
                "`{text}` is as in crontab(5): here, write `03:30` for `30 3 * * *`, `Mon 03:30` for `30 3 * * 1`, `*:0/5` \
                 for `*/5 * * * *`, `daily` for `@daily`"
            );
            assert_eq!(Calendar::try_from(text.to_owned()), Err(want));
        }
        let never = Calendar::try_from("02-30".to_owned());
        assert_eq!(never, Err("`02-30` never comes".to_owned()));
    }
}
