//! How many may be connected at a time, and who has to go for the next.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use tokio::sync::oneshot::{Receiver, Sender, channel};

/// A bounded number of seats.
pub(super) struct Seats {
    limit: usize,
    /// Counts what happens: the order is all that matters.
    clock: Cell<u64>,
    taken: RefCell<BTreeMap<u64, Guest>>,
}

struct Guest {
    /// Whether it is being answered.
    busy: bool,
    /// When that began or ended last.
    since: u64,
    /// Dropped when it has to go.
    _call_up: Sender<()>,
}

/// A seat, until it is dropped.
pub(super) struct Seat {
    number: u64,
    seats: Rc<Seats>,
}

impl Seats {
    pub(super) fn new(limit: usize) -> Rc<Self> {
        Rc::new(Self {
            limit,
            clock: Cell::new(0),
            taken: RefCell::default(),
        })
    }

    /// Takes a seat, where there is none left that of who has been idle the longest; where nobody is, of
    /// who is busy the longest. The receiver fails when this one has to go.
    pub(super) fn take(self: &Rc<Self>) -> (Seat, Receiver<()>) {
        let (call_up, called_up) = channel();
        let number = self.tick();
        let mut taken = self.taken.borrow_mut();
        if taken.len() >= self.limit {
            let longest = taken
                .iter()
                .min_by_key(|(_, guest)| (guest.busy, guest.since));
            let longest = longest.map(|(number, _)| *number);
            longest.and_then(|number| taken.remove(&number));
        }
        let guest = Guest {
            busy: false,
            since: number,
            _call_up: call_up,
        };
        taken.insert(number, guest);
        let seats = Rc::clone(self);
        (Seat { number, seats }, called_up)
    }

    fn tick(&self) -> u64 {
        self.clock.replace(self.clock.get() + 1)
    }
}

impl Seat {
    pub(super) fn set_busy(&self, busy: bool) {
        let since = self.seats.tick();
        if let Some(guest) = self.seats.taken.borrow_mut().get_mut(&self.number) {
            (guest.busy, guest.since) = (busy, since);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken.borrow_mut().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot::error::TryRecvError;

    /// Who of the three that have a seat goes for a fourth, after some of them were busy or idle.
    fn who_goes(history: &[(usize, bool)]) -> Vec<usize> {
        let seats = Seats::new(3);
        let mut guests: Vec<_> = (0..3).map(|_| seats.take()).collect();
        for (guest, busy) in history {
            guests[*guest].0.set_busy(*busy);
        }
        let _fourth = seats.take();
        let gone = |receiver: &mut Receiver<()>| receiver.try_recv() == Err(TryRecvError::Closed);
        (0..3).filter(|n| gone(&mut guests[*n].1)).collect()
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
            assert_eq!(who_goes(history), [want], "{history:?}");
        }
    }

    #[test]
    fn who_leaves_makes_room() {
        let seats = Seats::new(1);
        let (first, _) = seats.take();
        drop(first);
        let (_second, mut called_up) = seats.take();
        assert_eq!(called_up.try_recv(), Err(TryRecvError::Empty));
        let (_third, _) = seats.take();
        assert_eq!(called_up.try_recv(), Err(TryRecvError::Closed));
    }
}
