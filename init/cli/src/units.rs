//! Times and sizes for people.

/// A size with three digits: `12.3 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Rounding to three digits hides what an f64 cannot hold.
    let (mut value, mut unit) = (bytes as f64 / 1024.0, 0);
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = match value {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// Microseconds in the two largest units: `3 d 4 h`.
pub(crate) fn ago(micros: u64) -> String {
    let seconds = micros / 1_000_000;
    match seconds {
        0..10 => format!("{:.1} s", micros as f64 / 1e6),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// How long after `now` the moment `at` is, both in microseconds.
pub(crate) fn ahead(at: u64, now: u64) -> String {
    format!("in {}", ago(at.saturating_sub(now)))
}

/// Microseconds as seconds, to the millisecond: `1.234 s`.
pub(crate) fn seconds(micros: u64) -> String {
    format!("{:.3} s", micros as f64 / 1e6)
}

/// A service's text as one line that is safe to show on a terminal: without control characters.
pub(crate) fn harmless(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        for (size, want) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (10 << 10, "10.0 KiB"),
            (999 << 10, "999 KiB"),
            (1000 << 10, "0.98 MiB"),
            (64 << 20, "64.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(size), want);
        }
    }

    #[test]
    fn spans_of_time_have_two_units() {
        const SECOND: u64 = 1_000_000;
        for (micros, want) in [
            (0, "0.0 s"),
            (9_940_000, "9.9 s"),
            (59 * SECOND, "59 s"),
            (61 * SECOND, "1 min 1 s"),
            (3661 * SECOND, "1 h 1 min"),
            (90_000 * SECOND, "1 d 1 h"),
        ] {
            assert_eq!(ago(micros), want);
        }
        assert_eq!(seconds(1_234_567), "1.235 s");
    }

    #[test]
    fn what_services_say_moves_no_cursor() {
        assert_eq!(harmless("a\u{1b}[2J\tß"), "a\u{fffd}[2J\u{fffd}ß");
    }
}
