//! Up to where the receiver has everything, kept over restarts.

use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tare_log::Position;

/// What a kernel at the other end has taken may still be lost with the program there: only what was taken so
/// long ago over a connection that lives counts as received, and the rest is sent again over the next one.
const SETTLES: Duration = Duration::from_secs(2);

/// How far the receiver is.
#[derive(Debug)]
pub(crate) struct Progress {
    path: PathBuf,
    received: Position,
    /// What has been taken, since when; the oldest first.
    taken: VecDeque<(Instant, Position)>,
}

impl Progress {
    /// As an earlier run kept it in `path`; from the beginning if there is none.
    pub(crate) fn open(path: PathBuf) -> Self {
        let kept = fs::read(&path).ok();
        let received = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self {
            path,
            received: received.unwrap_or_default(),
            taken: VecDeque::new(),
        }
    }

    /// Where a new connection begins.
    pub(crate) fn begin(&mut self) -> &Position {
        self.taken.clear();
        &self.received
    }

    /// Everything up to `position` has been taken at `now`.
    pub(crate) fn taken(&mut self, position: Position, now: Instant) {
        if self.taken.back().is_none_or(|(_, last)| *last != position) {
            self.taken.push_back((now, position));
        }
    }

    /// The connection lives at `now`.
    pub(crate) fn settle(&mut self, now: Instant) {
        let settled = |(since, _): &&(Instant, Position)| now - *since >= SETTLES;
        let count = self.taken.iter().take_while(settled).count();
        let last = self.taken.drain(..count).next_back();
        if let Some((_, position)) = last {
            self.keep(position);
        }
    }

    /// Everything that was taken counts as received: the connection was ended in good order.
    pub(crate) fn finish(&mut self) {
        if let Some((_, position)) = self.taken.pop_back() {
            self.taken.clear();
            self.keep(position);
        }
    }

    /// Whether something was taken that does not count as received yet.
    pub(crate) fn is_pending(&self) -> bool {
        !self.taken.is_empty()
    }

    fn keep(&mut self, position: Position) {
        if position == self.received {
            return;
        }
        self.received = position;
        let temporary = self.path.with_extension("new");
        let kept = serde_json::to_vec(&self.received)
            .map_err(Into::into)
            .and_then(|json| fs::write(&temporary, json))
            .and_then(|()| fs::rename(&temporary, &self.path));
        if let Err(error) = kept {
            // The next run sends again what this one has sent.
            eprintln!("<4>{}: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(offset: u64) -> Position {
        let file = "first line".to_owned();
        Position { file, offset }
    }

    #[test]
    fn what_settles_is_kept_and_what_does_not_is_sent_again() {
        let name = format!("tare-forward-{}.json", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut progress = Progress::open(path.clone());
        assert_eq!(*progress.begin(), Position::default());
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        for seconds in 1..=5 {
            progress.taken(position(seconds), at(seconds));
            progress.settle(at(seconds));
        }
        assert!(progress.is_pending());
        assert_eq!(*Progress::open(path.clone()).begin(), position(3));
        assert_eq!(*progress.begin(), position(3));
        progress.taken(position(9), at(9));
        progress.finish();
        assert_eq!(*Progress::open(path.clone()).begin(), position(9));
        fs::remove_file(path).unwrap();
    }
}
