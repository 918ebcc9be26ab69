//! Limits how many connections there are at a time, and evicts one for the next.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use tokio::sync::oneshot::{Receiver, Sender, channel};

/// The open connections, up to a limit.
pub(super) struct ConnectionLimit {
    limit: usize,
    /// A logical clock: only the order matters.
    clock: Cell<u64>,
    admitted: RefCell<BTreeMap<u64, Connection>>,
}

struct Connection {
    /// Whether it is being answered.
    busy: bool,
    /// When `busy` last changed.
    since: u64,
    /// Dropped when it is evicted.
    _evict: Sender<()>,
}

/// A connection's place under the limit, until it is dropped.
pub(super) struct Admission {
    number: u64,
    limit: Rc<ConnectionLimit>,
}

impl ConnectionLimit {
    pub(super) fn new(limit: usize) -> Rc<Self> {
        Rc::new(Self {
            limit,
            clock: Cell::new(0),
            admitted: RefCell::default(),
        })
    }

    /// Admits a connection. At the limit, evicts the one that has been idle the longest, or the longest-busy one if none is
    /// idle. The receiver fails when this one is evicted.
    pub(super) fn admit(self: &Rc<Self>) -> (Admission, Receiver<()>) {
        let (evict, evicted) = channel();
        let number = self.tick();
        let mut admitted = self.admitted.borrow_mut();
        if admitted.len() >= self.limit {
            let longest = admitted
                .iter()
                .min_by_key(|(_, connection)| (connection.busy, connection.since));
            let longest = longest.map(|(number, _)| *number);
            longest.and_then(|number| admitted.remove(&number));
        }
        let connection = Connection {
            busy: false,
            since: number,
            _evict: evict,
        };
        admitted.insert(number, connection);
        let limit = Rc::clone(self);
        (Admission { number, limit }, evicted)
    }

    fn tick(&self) -> u64 {
        self.clock.replace(self.clock.get() + 1)
    }
}

impl Admission {
    pub(super) fn set_busy(&self, busy: bool) {
        let since = self.limit.tick();
        if let Some(connection) = self.limit.admitted.borrow_mut().get_mut(&self.number) {
            (connection.busy, connection.since) = (busy, since);
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.limit.admitted.borrow_mut().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot::error::TryRecvError;

    /// Which of three connections are evicted for a fourth, after some of them were busy or idle.
    fn evicted(history: &[(usize, bool)]) -> Vec<usize> {
        let limit = ConnectionLimit::new(3);
        let mut three: Vec<_> = (0..3).map(|_| limit.admit()).collect();
        for (number, busy) in history {
            three[*number].0.set_busy(*busy);
        }
        let _fourth = limit.admit();
        let gone = |receiver: &mut Receiver<()>| receiver.try_recv() == Err(TryRecvError::Closed);
        (0..3)
            .filter(|number| gone(&mut three[*number].1))
            .collect()
    }

    #[test]
    fn the_longest_idle_goes() {
        for (history, want) in [
            (&[][..], 0),
            (&[(0, true)], 1),
            (&[(0, true), (0, false)], 1),
            (&[(0, true), (1, true)], 2),
            (&[(2, true), (0, true), (1, true)], 2),
        ] {
            assert_eq!(evicted(history), [want], "{history:?}");
        }
    }

    #[test]
    fn a_connection_that_ends_makes_room() {
        let limit = ConnectionLimit::new(1);
        let (first, _) = limit.admit();
        drop(first);
        let (_second, mut evicted) = limit.admit();
        assert_eq!(evicted.try_recv(), Err(TryRecvError::Empty));
        let (_third, _) = limit.admit();
        assert_eq!(evicted.try_recv(), Err(TryRecvError::Closed));
    }
}
