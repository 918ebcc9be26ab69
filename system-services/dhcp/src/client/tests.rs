use super::*;

const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 15);
const RENEW: Ask = Ask::Renew { address: ADDRESS };
const REQUEST: Ask = Ask::Request {
    address: ADDRESS,
    server: SERVER,
};

fn terms(lease_seconds: u32) -> Terms {
    let seconds = |count: u32| Duration::from_secs(count.into());
    Terms {
        lease: Lease {
            address: ADDRESS,
            prefix: 24,
            gateway: None,
            dns: Vec::new(),
            search: Vec::new(),
            ntp: Vec::new(),
            hostname: None,
            mtu: None,
            lease_seconds,
        },
        server: SERVER,
        renew: seconds(lease_seconds / 2),
        rebind: seconds(lease_seconds / 8 * 7),
    }
}

/// A client and a clock in milliseconds.
struct Bench {
    state: State,
    now: u64,
}

impl Bench {
    fn new() -> Self {
        Self {
            state: start(250, Duration::ZERO),
            now: 0,
        }
    }

    fn event(&mut self, event: Event) -> Vec<Action> {
        let now = Duration::from_millis(self.now);
        let (state, actions) = step(self.state.clone(), event, now, 1000);
        self.state = state;
        actions
    }

    /// Advances the time to the next deadline.
    fn timer(&mut self) -> Vec<Action> {
        let deadline = deadline(&self.state).unwrap();
        self.now = u64::try_from(deadline.as_millis()).unwrap();
        self.event(Event::Timer)
    }

    fn reply(&mut self, kind: ReplyKind) -> Vec<Action> {
        let xid = xid(&self.state).unwrap_or_default();
        self.event(Event::Reply(Reply { xid, kind }))
    }

    /// Takes a lease of `lease_seconds` at second 0.
    fn bound(lease_seconds: u32) -> Self {
        let mut bench = Self::new();
        bench.timer();
        bench.reply(ReplyKind::Offer(terms(lease_seconds)));
        bench.reply(ReplyKind::Ack(terms(lease_seconds)));
        bench
    }
}

fn sends(ask: Ask, xid: u32, secs: u16, to: Option<Ipv4Addr>) -> Vec<Action> {
    vec![Action::Send { ask, xid, secs, to }]
}

#[test]
fn a_lease_in_four_packets_without_a_wait() {
    let mut bench = Bench::new();
    assert_eq!(bench.timer(), sends(Ask::Discover, 250, 0, None));
    let offer = bench.reply(ReplyKind::Offer(terms(3600)));
    assert_eq!(offer, sends(REQUEST, 250, 0, None));
    let ack = bench.reply(ReplyKind::Ack(terms(3600)));
    assert_eq!(ack, [Action::Bound(terms(3600).lease)]);
    assert_eq!(bench.now, 0);
}

#[test]
fn questions_are_repeated_ever_more_rarely() {
    let mut bench = Bench::new();
    let mut sent = Vec::new();
    for _ in 0..9 {
        bench.timer();
        sent.push(bench.now);
    }
    let waits: Vec<u64> = sent.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (wait, want) in waits.iter().zip([1, 2, 4, 8, 16, 32, 64, 64]) {
        assert!(wait.abs_diff(want * 1000) <= 250, "{wait} ms for {want} s");
    }
}

#[test]
fn an_offer_that_is_never_confirmed_is_given_up() {
    let mut bench = Bench::new();
    bench.timer();
    bench.reply(ReplyKind::Offer(terms(3600)));
    for secs in [1, 2, 6] {
        assert_eq!(bench.timer(), sends(REQUEST, 250, secs, None));
    }
    assert_eq!(bench.timer(), sends(Ask::Discover, 1000, 0, None));
}

#[test]
fn a_lease_is_renewed_then_rebound_then_lost() {
    let mut bench = Bench::bound(800);
    // T1 = 400 s, T2 = 700 s: half the time until T2, at least a minute.
    for second in [400, 550, 625, 685] {
        let actions = bench.timer();
        assert_eq!(bench.now, second * 1000);
        assert_eq!(
            actions,
            sends(RENEW, 1000, (second - 400) as u16, Some(SERVER))
        );
    }
    for second in [700, 760] {
        let actions = bench.timer();
        assert_eq!(bench.now, second * 1000);
        assert_eq!(actions, sends(RENEW, 1000, (second - 400) as u16, None));
    }
    let mut want = sends(Ask::Discover, 1000, 0, None);
    want.insert(0, Action::Lost);
    assert_eq!(bench.timer(), want);
    assert_eq!(bench.now, 800_000);
}

#[test]
fn a_renewal_counts_from_its_request() {
    let mut bench = Bench::bound(800);
    bench.timer();
    bench.now += 3000;
    assert_eq!(
        bench.reply(ReplyKind::Ack(terms(1000))),
        [Action::Bound(terms(1000).lease)]
    );
    assert_eq!(deadline(&bench.state), Some(Duration::from_secs(400 + 500)));
}

#[test]
fn a_lease_for_ever_has_no_deadline() {
    assert_eq!(deadline(&Bench::bound(FOR_EVER).state), None);
}

#[test]
fn a_refusal_ends_the_lease() {
    let mut bench = Bench::bound(800);
    bench.timer();
    assert_eq!(bench.reply(ReplyKind::Nak)[0], Action::Lost);
}

#[test]
fn a_refused_request_is_not_repeated_at_once() {
    let mut bench = Bench::new();
    bench.timer();
    bench.reply(ReplyKind::Offer(terms(3600)));
    assert_eq!(bench.reply(ReplyKind::Nak), []);
    assert_eq!(deadline(&bench.state), Some(REFUSED_WAIT));
}

#[test]
fn a_carrier_restarts_the_search_only() {
    let mut bench = Bench::new();
    for _ in 0..5 {
        bench.timer();
    }
    assert_eq!(
        bench.event(Event::Carrier),
        sends(Ask::Discover, 1000, 0, None)
    );
    let mut bench = Bench::bound(800);
    assert_eq!(bench.event(Event::Carrier), []);
}

#[test]
fn what_does_not_fit_changes_nothing() {
    let offer = || ReplyKind::Offer(terms(3600));
    let asked = || {
        let mut bench = Bench::new();
        bench.timer();
        bench
    };
    for (mut bench, reply, why) in [
        (
            asked(),
            Reply {
                xid: 9,
                kind: offer(),
            },
            "another's answer",
        ),
        (
            asked(),
            Reply {
                xid: 250,
                kind: ReplyKind::Ack(terms(60)),
            },
            "an early ACK",
        ),
        (
            asked(),
            Reply {
                xid: 250,
                kind: ReplyKind::Nak,
            },
            "an early NAK",
        ),
        (
            Bench::bound(800),
            Reply {
                xid: 250,
                kind: ReplyKind::Nak,
            },
            "a late NAK",
        ),
    ] {
        let before = bench.state.clone();
        assert_eq!(bench.event(Event::Reply(reply)), [], "{why}");
        assert_eq!(bench.state, before, "{why}");
    }
}
