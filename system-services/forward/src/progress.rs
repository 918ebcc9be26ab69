//! The position up to which the receiver has everything, kept across restarts.

use crate::place::{Place, Step};
use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Data that the other end's kernel has acknowledged may still be lost with the program there. Only data acknowledged
/// at least this long ago, over a connection that is still up, counts as received; the rest is resent over the next
/// one.
const SETTLES: Duration = Duration::from_secs(2);

/// Messages sent within this many bytes of the connection form one entry: a full buffer of the kernel (4 MiB,
/// `net.ipv4.tcp_wmem`) is a few hundred entries.
const TOGETHER: u64 = 16 << 10;

/// Messages acknowledged within this time form one entry: each datagram counts as acknowledged at once, and there may
/// be hundreds of thousands of them before the first settles.
const MOMENT: Duration = Duration::from_millis(100);

/// The receiver's progress.
#[derive(Debug)]
pub(crate) struct Progress {
    path: PathBuf,
    received: Place,
    /// Sent and not yet acknowledged, by where on the connection it ends; oldest first.
    sent: VecDeque<Together<u64>>,
    /// Acknowledged, by time; oldest first.
    taken: VecDeque<Together<Instant>>,
}

/// Messages that form one entry.
#[derive(Debug)]
struct Together<At> {
    /// Where or when its first part was.
    first: At,
    /// The same for its last part.
    last: At,
    /// How far it reaches.
    step: Step,
}

/// All of `entries`, as one.
fn merged<At>(entries: impl Iterator<Item = Together<At>>) -> Option<Step> {
    entries.map(|entry| entry.step).reduce(|mut step, later| {
        step.add(later);
        step
    })
}

impl<At: Copy> Together<At> {
    /// Adds what is up to `step` to the last entry of `all` if it `belongs` with that entry's start, otherwise as
    /// a new entry.
    fn add(all: &mut VecDeque<Self>, at: At, step: Step, belongs: impl Fn(At) -> bool) {
        match all.back_mut() {
            Some(together) if belongs(together.first) => {
                together.last = at;
                together.step.add(step);
            }
            _ => all.push_back(Self {
                first: at,
                last: at,
                step,
            }),
        }
    }
}

impl Progress {
    /// The progress that an earlier run stored in `path`; from the beginning if there is none.
    pub(crate) fn open(path: PathBuf) -> Self {
        let kept = fs::read(&path).ok();
        let received = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self {
            path,
            received: received.unwrap_or_default(),
            sent: VecDeque::new(),
            taken: VecDeque::new(),
        }
    }

    /// Where a new connection begins to send.
    pub(crate) fn begin(&mut self) -> &Place {
        self.sent.clear();
        self.taken.clear();
        &self.received
    }

    /// Notes that everything up to `step` was sent with the first `bytes` of the connection.
    pub(crate) fn sent(&mut self, step: Step, bytes: u64) {
        Together::add(&mut self.sent, bytes, step, |first| {
            bytes - first < TOGETHER
        });
    }

    /// Notes that the first `bytes` of the connection were acknowledged at `now`.
    pub(crate) fn taken(&mut self, bytes: u64, now: Instant) {
        let count = self.sent.partition_point(|sent| sent.last <= bytes);
        if let Some(step) = merged(self.sent.drain(..count)) {
            Together::add(&mut self.taken, now, step, |first| now - first < MOMENT);
        }
    }

    /// Notes that the connection is up at `now`.
    pub(crate) fn settle(&mut self, now: Instant) {
        let settled = |taken: &Together<Instant>| now - taken.last >= SETTLES;
        let count = self.taken.partition_point(settled);
        if let Some(step) = merged(self.taken.drain(..count)) {
            self.keep(step);
        }
    }

    /// Counts everything acknowledged as received, because the connection was closed cleanly.
    pub(crate) fn finish(&mut self) {
        if let Some(step) = merged(self.taken.drain(..)) {
            self.keep(step);
        }
    }

    /// Whether something was acknowledged that does not count as received yet.
    pub(crate) fn is_pending(&self) -> bool {
        !self.taken.is_empty()
    }

    fn keep(&mut self, step: Step) {
        if !self.received.advance(step) {
            return;
        }
        let temporary = self.path.with_extension("new");
        let kept = serde_json::to_vec(&self.received)
            .map_err(Into::into)
            .and_then(|json| fs::write(&temporary, json))
            .and_then(|()| fs::rename(&temporary, &self.path));
        if let Err(error) = kept {
            // The next run resends what this one has sent.
            eprintln!("<4>{}: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use tare_engine_api::Mark;
    use tare_log_format::Position;

    fn position(offset: u64) -> Step {
        let file = "first line".to_owned();
        let boot = "3f2a90c1".to_owned();
        Step {
            log: Position { file, offset, boot },
            containers: BTreeMap::new(),
        }
    }

    /// Where something that is at `position` is received.
    fn place(offset: u64) -> Place {
        let mut place = Place::default();
        place.advance(position(offset));
        place
    }

    #[test]
    fn what_settles_is_kept_and_what_does_not_is_sent_again() {
        let name = format!("tare-forward-{}.json", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut progress = Progress::open(path.clone());
        assert_eq!(*progress.begin(), Place::default());
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        for seconds in 1..=5 {
            progress.sent(position(seconds), seconds);
            progress.taken(seconds, at(seconds));
            progress.settle(at(seconds));
        }
        assert!(progress.is_pending());
        assert_eq!(*Progress::open(path.clone()).begin(), place(3));
        assert_eq!(*progress.begin(), place(3));
        progress.sent(position(9), 1);
        progress.taken(1, at(9));
        progress.finish();
        assert_eq!(*Progress::open(path.clone()).begin(), place(9));
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_is_taken_late_is_taken_part_by_part() {
        let mut progress = Progress::open(PathBuf::from("/nowhere"));
        let mut now = Instant::now();
        for part in 1..=10 {
            progress.sent(position(part), part * TOGETHER);
        }
        for (bytes, want) in [
            (0, None),
            (TOGETHER - 1, None),
            (TOGETHER, Some(1)),
            (4 * TOGETHER + 5, Some(4)),
            (10 * TOGETHER, Some(10)),
        ] {
            progress.taken(bytes, now);
            now += MOMENT;
            let last = progress.taken.back().map(|taken| taken.step.log.offset);
            assert_eq!(last, want, "{bytes}");
        }
        assert_eq!((progress.sent.len(), progress.taken.len()), (0, 3));
    }

    #[test]
    fn containers_count_as_received_each_by_itself() {
        let name = format!("tare-forward-containers-{}.json", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut progress = Progress::open(path.clone());
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mark = |time| Some(Mark::at(time));
        // Sent together, acknowledged together, received together: none hides another.
        for (offset, id, mark) in [
            (1, "a", mark(1)),
            (1, "b", mark(2)),
            (2, "a", mark(3)),
            (2, "c", mark(4)),
            (3, "c", None),
        ] {
            let mut step = position(offset);
            step.containers.insert(id.to_owned(), mark);
            progress.sent(step, offset * TOGETHER);
            progress.taken(offset * TOGETHER, at(0));
        }
        progress.settle(at(2));
        let kept = Progress::open(path.clone()).begin().clone();
        let containers = [("a", 3), ("b", 2)].map(|(id, time)| (id.to_owned(), Mark::at(time)));
        assert_eq!((kept.log.offset, kept.containers), (3, containers.into()));
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_position_from_before_containers_counted_is_understood() {
        let old = r#"{"file":"first line","offset":5,"boot":"3f2a90c1"}"#;
        assert_eq!(serde_json::from_str::<Place>(old).unwrap(), place(5));
        assert_eq!(serde_json::to_string(&place(5)).unwrap(), old);
    }

    #[test]
    fn little_parts_count_together() {
        let mut progress = Progress::open(PathBuf::from("/nowhere"));
        for bytes in (0..4 << 20).step_by(100) {
            progress.sent(position(bytes), bytes);
        }
        assert!((200..300).contains(&progress.sent.len()));
        let ends = progress
            .sent
            .iter()
            .map(|sent| (sent.last, sent.step.log.offset));
        assert!(ends.clone().all(|(last, offset)| last == offset));
        let gaps = ends
            .clone()
            .zip(ends.skip(1))
            .map(|((one, _), (next, _))| next - one);
        assert!(gaps.max().is_some_and(|most| most <= TOGETHER + 100));
    }

    #[test]
    fn many_datagrams_count_together() {
        let name = format!("tare-forward-datagrams-{}.json", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut progress = Progress::open(path.clone());
        let start = Instant::now();
        let at = |datagram| start + Duration::from_micros(20) * datagram;
        for datagram in 0..100_000 {
            progress.sent(position(datagram.into()), 0);
            progress.taken(0, at(datagram));
            progress.settle(at(datagram));
        }
        assert_eq!((progress.sent.len(), progress.taken.len()), (0, 20));
        // No later than it may, and not much earlier.
        progress.settle(at(50_000) + SETTLES);
        assert_eq!(progress.received, place(49_999));
        progress.settle(at(99_998) + SETTLES);
        assert_eq!(progress.received, place(94_999));
        progress.settle(at(99_999) + SETTLES);
        assert_eq!(progress.received, place(99_999));
        fs::remove_file(path).unwrap();
    }
}
