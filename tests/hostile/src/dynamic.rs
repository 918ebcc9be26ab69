//! DHCP: what a server sends, and what the service makes of it for PID 1.

use crate::client::{self, Action, Event, State};
use crate::message::{self, Mac};
use crate::{datagram, report};
use std::time::Duration;
use tare_config::LeaseReport;

/// The hardware address that packets of the corpus are for.
const MAC: Mac = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

/// A packet on a link that asks for a lease, and the message in one. What is granted is a lease for PID 1 or not, and ends.
pub fn dhcp(bytes: &[u8]) {
    let messages = [Some(bytes), datagram::payload(bytes)];
    for message in messages.into_iter().flatten() {
        let Some(reply) = message::decode(message, MAC) else {
            continue;
        };
        let (mut state, _) = client::step(
            client::start(reply.xid, Duration::ZERO),
            Event::Timer,
            Duration::ZERO,
            1,
        );
        // An offer is accepted, and the same terms are granted then.
        for reply in [reply.clone(), acknowledged(reply)] {
            let (next, actions) = client::step(state, Event::Reply(reply), Duration::ZERO, 2);
            actions.iter().for_each(told);
            state = next;
        }
        run(state);
    }
}

fn acknowledged(mut reply: message::Reply) -> message::Reply {
    if let message::ReplyKind::Offer(terms) = reply.kind {
        reply.kind = message::ReplyKind::Ack(terms);
    }
    reply
}

/// Time goes by. Each step is later than the one before, or the client would ask without end.
fn run(mut state: State) {
    let mut now = Duration::ZERO;
    for fresh in 3..40 {
        let Some(deadline) = client::deadline(&state) else {
            return;
        };
        now = now.max(deadline);
        let (next, actions) = client::step(state, Event::Timer, now, fresh);
        assert!(client::deadline(&next).is_none_or(|next| next > now));
        actions.iter().for_each(told);
        state = next;
    }
}

/// What PID 1 is told fits its datagram, and it reads it.
fn told(action: &Action) {
    if let Action::Bound(granted) = action {
        let told = LeaseReport {
            interface: "interface-name-".to_owned(),
            lease: granted.clone(),
        };
        let json = serde_json::to_string(&told).expect("a lease has a JSON form");
        assert!(json.len() < 4096 - 64, "{json}");
        lease(json.as_bytes());
    }
}

/// A report of the service `dhcp` to PID 1.
pub fn lease(bytes: &[u8]) {
    let now = Duration::from_secs(u32::MAX.into());
    let Ok(json) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok((lease, _)) = report::read(json, now) {
        assert!(lease.address.address.is_ipv4() && (1..=32).contains(&lease.address.prefix));
        assert!(lease.mtu.is_none_or(|mtu| mtu.0 >= 576));
    }
}
