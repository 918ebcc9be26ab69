//! The client of RFC 2131, section 4.4, as a pure state machine.
//!
//! Times are relative to the start of the program. Every wait is an instant in the state, so one
//! call of [`deadline`] tells the loop how long to sleep.

use crate::message::{Ask, FOR_EVER, Reply, ReplyKind, Terms};
use std::net::Ipv4Addr;
use std::time::Duration;
use tare_config::Lease;

/// Requests sent for an offer before the client starts over.
const REQUEST_TRIES: u32 = 4;
/// The longest wait between tries (RFC 2131, section 4.1), in seconds.
const WAIT_MAX: u64 = 64;
/// The shortest wait between tries to renew (RFC 2131, section 4.4.5).
const RENEW_WAIT_MIN: Duration = Duration::from_secs(60);
/// How long the client waits after a refusal before it starts over, so that it does not loop on a
/// server that refuses everything it offers.
const REFUSED_WAIT: Duration = Duration::from_secs(10);

/// The client's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// Looks for a server.
    Selecting(Exchange),
    /// Has accepted an offer and waits for the acknowledgement.
    Requesting(Exchange, Terms),
    /// Has a lease.
    Bound(Held),
    /// Asks the lease's server for an extension.
    Renewing(Exchange, Held),
    /// Asks any server for an extension.
    Rebinding(Exchange, Held),
}

/// One transaction: a message that is resent until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exchange {
    pub xid: u32,
    started: Duration,
    /// When the message was last sent; a lease counts from here (section 4.4.1).
    sent: Duration,
    tries: u32,
    next: Duration,
}

/// A lease that was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    terms: Terms,
    since: Duration,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The deadline has passed.
    Timer,
    /// A server answered.
    Reply(Reply),
    /// The link's carrier came up.
    Carrier,
}

/// What the caller has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Broadcast `ask` on the link or, if `to` is set, send it from `ask`'s address to that server.
    Send {
        ask: Ask,
        xid: u32,
        secs: u16,
        to: Option<Ipv4Addr>,
    },
    /// Report a new or renewed lease to PID 1.
    Bound(Lease),
    /// Tell PID 1 that the lease is gone.
    Lost,
}

impl Exchange {
    /// A transaction whose first message is sent at `at`.
    fn new(xid: u32, at: Duration) -> Self {
        Self {
            xid,
            started: at,
            sent: at,
            tries: 0,
            next: at,
        }
    }

    /// The exchange after its message was sent at `now`; the next one is due after `wait`.
    fn sent(self, now: Duration, wait: Duration) -> Self {
        Self {
            sent: now,
            tries: self.tries + 1,
            next: now + wait,
            ..self
        }
    }

    /// 1, 2, 4 … 64 seconds, plus or minus up to a quarter of a second so that machines that start
    /// together do not ask together. RFC 2131, section 4.1, starts at 4, too long for a boot.
    fn backoff(self) -> Duration {
        let seconds = 1 << self.tries.min(6);
        let jitter = u64::from(self.xid.rotate_left(self.tries) % 500);
        Duration::from_millis(seconds.min(WAIT_MAX) * 1000 - 250 + jitter)
    }

    fn send(self, ask: Ask, now: Duration, to: Option<Ipv4Addr>) -> Action {
        let secs = now.saturating_sub(self.started).as_secs();
        Action::Send {
            ask,
            xid: self.xid,
            secs: u16::try_from(secs).unwrap_or(u16::MAX),
            to,
        }
    }
}

impl Held {
    fn at(&self, after: Duration) -> Option<Duration> {
        (self.terms.lease.lease_seconds != FOR_EVER).then(|| self.since + after)
    }

    fn renews(&self) -> Option<Duration> {
        self.at(self.terms.renew)
    }

    fn rebinds(&self) -> Option<Duration> {
        self.at(self.terms.rebind)
    }

    fn expires(&self) -> Option<Duration> {
        self.at(Duration::from_secs(self.terms.lease.lease_seconds.into()))
    }

    fn ask(&self) -> Ask {
        Ask::Renew {
            address: self.terms.lease.address,
        }
    }

    /// Half the time until `end`, at least a minute but not beyond `end` (section 4.4.5).
    fn wait(now: Duration, end: Duration) -> Duration {
        let remains = end.saturating_sub(now);
        (remains / 2).max(RENEW_WAIT_MIN).min(remains)
    }
}

/// A client that sends its first message at once.
pub(crate) fn start(xid: u32, now: Duration) -> State {
    State::Selecting(Exchange::new(xid, now))
}

/// When [`Event::Timer`] is due; `None` for an infinite lease.
pub(crate) fn deadline(state: &State) -> Option<Duration> {
    match state {
        State::Selecting(exchange) | State::Requesting(exchange, _) => Some(exchange.next),
        State::Bound(held) => held.renews(),
        State::Renewing(exchange, held) => held.rebinds().map(|end| end.min(exchange.next)),
        State::Rebinding(exchange, held) => held.expires().map(|end| end.min(exchange.next)),
    }
}

/// The transaction that a reply must belong to.
fn xid(state: &State) -> Option<u32> {
    match state {
        State::Bound(_) => None,
        State::Selecting(exchange)
        | State::Requesting(exchange, _)
        | State::Renewing(exchange, _)
        | State::Rebinding(exchange, _) => Some(exchange.xid),
    }
}

/// The state and actions that follow `event` at `now`; `fresh` is a random number for a new
/// transaction.
pub(crate) fn step(state: State, event: Event, now: Duration, fresh: u32) -> (State, Vec<Action>) {
    match event {
        Event::Timer => timer(state, now, fresh),
        Event::Reply(reply) if xid(&state) == Some(reply.xid) => {
            answered(state, reply.kind, now, fresh)
        }
        Event::Carrier if matches!(state, State::Selecting(_)) => {
            timer(start(fresh, now), now, fresh)
        }
        Event::Reply(_) | Event::Carrier => (state, Vec::new()),
    }
}

fn timer(state: State, now: Duration, fresh: u32) -> (State, Vec<Action>) {
    if deadline(&state).is_none_or(|deadline| now < deadline) {
        return (state, Vec::new());
    }
    match state {
        State::Selecting(exchange) => discover(exchange, now),
        State::Requesting(exchange, _) if exchange.tries >= REQUEST_TRIES => {
            discover(Exchange::new(fresh, now), now)
        }
        State::Requesting(exchange, offer) => request(exchange, offer, now),
        State::Bound(held) => extend(Exchange::new(fresh, now), held, now, fresh),
        State::Renewing(exchange, held) | State::Rebinding(exchange, held) => {
            extend(exchange, held, now, fresh)
        }
    }
}

fn discover(exchange: Exchange, now: Duration) -> (State, Vec<Action>) {
    let action = exchange.send(Ask::Discover, now, None);
    let state = State::Selecting(exchange.sent(now, exchange.backoff()));
    (state, vec![action])
}

fn request(exchange: Exchange, offer: Terms, now: Duration) -> (State, Vec<Action>) {
    let ask = Ask::Request {
        address: offer.lease.address,
        server: offer.server,
    };
    let action = exchange.send(ask, now, None);
    let state = State::Requesting(exchange.sent(now, exchange.backoff()), offer);
    (state, vec![action])
}

/// Asks for an extension: the lease's server until T2, then any server until the lease ends, then
/// starts over.
fn extend(exchange: Exchange, held: Held, now: Duration, fresh: u32) -> (State, Vec<Action>) {
    let (Some(rebinds), Some(expires)) = (held.rebinds(), held.expires()) else {
        return (State::Bound(held), Vec::new());
    };
    if now >= expires {
        return lost(Exchange::new(fresh, now), now);
    }
    if now >= rebinds {
        let action = exchange.send(held.ask(), now, None);
        let exchange = exchange.sent(now, Held::wait(now, expires));
        return (State::Rebinding(exchange, held), vec![action]);
    }
    let action = exchange.send(held.ask(), now, Some(held.terms.server));
    let exchange = exchange.sent(now, Held::wait(now, rebinds));
    (State::Renewing(exchange, held), vec![action])
}

/// Reports that the lease has ended and starts over at once.
fn lost(exchange: Exchange, now: Duration) -> (State, Vec<Action>) {
    let (state, mut actions) = discover(exchange, now);
    actions.insert(0, Action::Lost);
    (state, actions)
}

fn answered(state: State, reply: ReplyKind, now: Duration, fresh: u32) -> (State, Vec<Action>) {
    match (state, reply) {
        (State::Selecting(exchange), ReplyKind::Offer(offer)) => {
            request(Exchange::new(exchange.xid, now), offer, now)
        }
        (
            State::Requesting(exchange, _)
            | State::Renewing(exchange, _)
            | State::Rebinding(exchange, _),
            ReplyKind::Ack(terms),
        ) => bound(terms, exchange.sent),
        (State::Requesting(..), ReplyKind::Nak) => (start(fresh, now + REFUSED_WAIT), Vec::new()),
        (State::Renewing(..) | State::Rebinding(..), ReplyKind::Nak) => {
            lost(Exchange::new(fresh, now), now)
        }
        (state, _) => (state, Vec::new()),
    }
}

fn bound(terms: Terms, since: Duration) -> (State, Vec<Action>) {
    let action = Action::Bound(terms.lease.clone());
    (State::Bound(Held { terms, since }), vec![action])
}

#[cfg(test)]
mod tests;
