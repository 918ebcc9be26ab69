//! Rate limits: a token bucket per service.

use std::collections::BTreeMap;
use std::time::Duration;

/// How many claimed names get a bucket of their own, limited so that a writer gains nothing by claiming many. PID 1
/// is one such name, as are the few services that have to write to the kernel's log.
const CLAIMS: usize = 16;
/// The name of the bucket that all others share; no writer has an empty name.
const OTHERS: &str = "";
/// A line counts as one plus its length divided by this, in bytes.
const LINE: usize = 1024;

/// The limit for every writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Lines per second in the long run; 0 means no limit.
    pub(crate) lines: u32,
    /// Lines at once.
    pub(crate) burst: u32,
}

/// One bucket per writer.
#[derive(Debug)]
pub(crate) struct Buckets {
    rate: Rate,
    buckets: BTreeMap<String, Bucket>,
    claimed: usize,
}

/// What a writer may still write: one token per line, counted in nanoseconds of filling so that none is lost to
/// rounding.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: Rate,
    tokens: u64,
    filled: Duration,
}

impl Buckets {
    pub(crate) fn new(rate: Rate) -> Self {
        Self {
            rate,
            buckets: BTreeMap::new(),
            claimed: 0,
        }
    }

    /// Lines per second.
    pub(crate) fn rate(&self) -> u32 {
        self.rate.lines
    }

    /// The bucket of `writer` as it is at `now`.
    pub(crate) fn of(&mut self, writer: &str, now: Duration) -> &mut Bucket {
        let rate = self.rate;
        let bucket = self.buckets.entry(writer.to_owned());
        let bucket = bucket.or_insert_with(|| Bucket::full(rate, now));
        bucket.fill(now);
        bucket
    }

    /// The bucket of a writer that claims to be `writer`.
    pub(crate) fn of_claimed(&mut self, writer: &str, now: Duration) -> &mut Bucket {
        if self.buckets.contains_key(writer) {
            return self.of(writer, now);
        }
        if self.claimed == CLAIMS {
            return self.of(OTHERS, now);
        }
        self.claimed += 1;
        self.of(writer, now)
    }
}

impl Bucket {
    /// The nanoseconds that one token takes to fill.
    fn cost(&self) -> u64 {
        1_000_000_000 / u64::from(self.rate.lines.max(1))
    }

    fn full(rate: Rate, now: Duration) -> Self {
        let mut bucket = Self {
            rate,
            tokens: 0,
            filled: now,
        };
        bucket.tokens = bucket.cost() * u64::from(rate.burst);
        bucket
    }

    fn fill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.filled).as_nanos();
        let most = self.cost() * u64::from(self.rate.burst);
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        self.tokens = self.tokens.saturating_add(passed).min(most);
        self.filled = now;
    }

    /// Whether a line of `length` bytes may be written.
    pub(crate) fn take(&mut self, length: usize) -> bool {
        if self.rate.lines == 0 {
            return true;
        }
        let price = self.cost() * (1 + (length / LINE) as u64);
        let may = self.tokens >= price;
        self.tokens -= if may { price } else { 0 };
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `lines` lines may be written at `millis`.
    fn taken(buckets: &mut Buckets, writer: &str, millis: u64, lines: usize) -> usize {
        let bucket = buckets.of(writer, Duration::from_millis(millis));
        (0..lines).filter(|_| bucket.take(80)).count()
    }

    #[test]
    fn a_burst_then_the_rate_each_for_itself() {
        let rate = Rate {
            lines: 10,
            burst: 100,
        };
        let mut buckets = Buckets::new(rate);
        for (writer, millis, lines, want) in [
            ("a", 0, 150, 100),
            ("b", 0, 50, 50),
            ("a", 50, 9, 0),
            ("a", 100, 9, 1),
            ("a", 1_100, 99, 10),
            // Never more than the burst, however long the writer was silent.
            ("a", 1_000_000, 999, 100),
            ("b", 1_000_000, 999, 100),
        ] {
            assert_eq!(
                taken(&mut buckets, writer, millis, lines),
                want,
                "{writer} {millis}"
            );
        }
    }

    #[test]
    fn claiming_many_names_gains_nothing() {
        let mut buckets = Buckets::new(Rate { lines: 1, burst: 2 });
        let now = Duration::ZERO;
        assert!(buckets.of("a", now).take(1));
        let claims = (0..1000).map(|number| format!("b-{number}"));
        let may = |name: &String| buckets.of_claimed(name, now).take(1);
        assert_eq!(claims.filter(may).count(), CLAIMS + 2);
        assert_eq!(buckets.buckets.len(), CLAIMS + 2);
        // Names that have a bucket keep theirs.
        let more = ["a", "a", "b-0", "b-0", "c"].map(|name| buckets.of_claimed(name, now).take(1));
        assert_eq!(more, [true, false, true, false, false]);
    }

    #[test]
    fn a_long_line_counts_as_several_and_no_limit_is_none() {
        let mut buckets = Buckets::new(Rate { lines: 1, burst: 4 });
        let bucket = buckets.of("a", Duration::ZERO);
        assert_eq!(
            [3000, 3000, 10].map(|length| bucket.take(length)),
            [true, false, true]
        );
        let mut buckets = Buckets::new(Rate { lines: 0, burst: 1 });
        assert_eq!(taken(&mut buckets, "a", 0, 10_000), 10_000);
    }
}
