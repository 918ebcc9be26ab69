//! One link: its sockets and its client's state.

use crate::client::{self, Action, Event, State};
use crate::datagram;
use crate::lease::name;
use crate::message::{self, Ask, CLIENT_PORT, Mac, SERVER_PORT};
use sd_notify::NotifyState;
use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, Type};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;
use std::{fs, mem};
use tare_config::{Lease, LeaseReport};

/// `ETH_P_IP` of linux/if_ether.h: frames that carry IPv4.
const IPV4_FRAMES: u16 = 0x0800;

/// The machine's name, written by PID 1; sent to the server for its records.
const HOSTNAME: &str = "/run/host/hostname";

/// A link that is served.
pub(crate) struct Link {
    name: String,
    mac: Mac,
    /// Receives replies before the link has an address, IPv4 headers included.
    packets: Socket,
    /// Bound to port 68: sends renewals and keeps the kernel from rejecting the replies.
    renewals: Socket,
    everyone: SockAddr,
    carrier: bool,
    next_look: Duration,
    state: State,
}

impl Link {
    /// Opens the sockets of the link `name`. The client sends its first message at the first
    /// [`Link::tick`].
    ///
    /// # Errors
    /// If there is no such Ethernet link or a capability is missing.
    pub(crate) fn open(name: &str) -> io::Result<Self> {
        let mac = parse_mac(&attribute(name, "address")?)
            .ok_or_else(|| io::Error::other("not an Ethernet link"))?;
        let index = attribute(name, "ifindex")?
            .parse()
            .map_err(io::Error::other)?;
        Ok(Self {
            name: name.to_owned(),
            mac,
            packets: packet_socket(index)?,
            renewals: renewal_socket(name)?,
            everyone: link_address(index, [0xff; 6]),
            carrier: has_carrier(name),
            next_look: Duration::ZERO,
            state: client::start(random(), Duration::ZERO),
        })
    }

    /// When [`Link::tick`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let look = self.waits_for_carrier().then_some(self.next_look);
        client::deadline(&self.state).into_iter().chain(look).min()
    }

    /// Does what is due at `now`.
    pub(crate) fn tick(&mut self, now: Duration) {
        if self.waits_for_carrier() && self.next_look <= now {
            self.look_for_carrier(now);
        }
        self.step(Event::Timer, now);
    }

    /// Handles every packet that has arrived.
    pub(crate) fn receive(&mut self, now: Duration) {
        let mut packet = [0; 2048];
        while let Ok(length) = (&self.packets).read(&mut packet) {
            let message = datagram::payload(&packet[..length]);
            let reply = message.and_then(|message| message::decode(message, self.mac));
            if let Some(reply) = reply {
                self.step(Event::Reply(reply), now);
            }
        }
    }

    /// A link may get its carrier seconds after it is set up. Messages sent before that are lost,
    /// and by then the next one may be a minute away.
    fn waits_for_carrier(&self) -> bool {
        !self.carrier && matches!(self.state, State::Selecting(_))
    }

    fn look_for_carrier(&mut self, now: Duration) {
        self.next_look = now + crate::CARRIER_INTERVAL;
        self.carrier = has_carrier(&self.name);
        if self.carrier {
            self.step(Event::Carrier, now);
        }
    }

    fn step(&mut self, event: Event, now: Duration) {
        let before = mem::replace(&mut self.state, client::start(0, now));
        let (state, actions) = client::step(before, event, now, random());
        self.state = state;
        for action in actions {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Send { ask, xid, secs, to } => self.send(ask, xid, secs, to),
            Action::Bound(lease) => self.bound(&lease),
            Action::Lost => {
                eprintln!("{}: lease lost", self.name);
                crate::tell(&[NotifyState::Custom(&format!(
                    "X_TARE_LEASE_LOST={}",
                    self.name
                ))]);
            }
        }
    }

    /// Sends a message. A failure does not affect the client: a link without a carrier refuses
    /// packets, and the next try is already scheduled.
    fn send(&mut self, ask: Ask, xid: u32, secs: u16, to: Option<Ipv4Addr>) {
        let sent = message::encode(ask, self.mac, hostname().as_deref(), xid, secs)
            .map_err(io::Error::other)
            .and_then(|payload| match to {
                Some(server) => self.unicast(&payload, server),
                None => self.broadcast(&payload, ask),
            });
        match sent {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NetworkDown => self.carrier = false,
            Err(error) => eprintln!("{}: send: {error}", self.name),
        }
    }

    fn unicast(&self, payload: &[u8], server: Ipv4Addr) -> io::Result<usize> {
        let server = SocketAddrV4::new(server, SERVER_PORT);
        self.renewals.send_to(payload, &server.into())
    }

    fn broadcast(&self, payload: &[u8], ask: Ask) -> io::Result<usize> {
        let source = match ask {
            Ask::Renew { address } => address,
            Ask::Discover | Ask::Request { .. } => Ipv4Addr::UNSPECIFIED,
        };
        let packet = datagram::broadcast(source, payload);
        self.packets.send_to(&packet, &self.everyone)
    }

    fn bound(&self, lease: &Lease) {
        let report = LeaseReport {
            interface: self.name.clone(),
            lease: lease.clone(),
        };
        match serde_json::to_string(&report) {
            Ok(json) => {
                eprintln!("lease: {json}");
                crate::tell(&[NotifyState::Custom(&format!("X_TARE_LEASE={json}"))]);
            }
            Err(error) => eprintln!("{}: lease: {error}", self.name),
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.packets.as_fd()
    }
}

/// A packet socket that receives answers to port 68 on the link `index` and nothing else.
fn packet_socket(index: i32) -> io::Result<Socket> {
    // Without a protocol the socket receives nothing until it is bound; by then its filter is in
    // place.
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, None)?;
    socket.attach_filter(&datagram::filter())?;
    socket.set_nonblocking(true)?;
    socket.bind(&link_address(index, [0; 6]))?;
    Ok(socket)
}

/// A UDP socket on port 68 of the link `name` that drops what it receives: the packet socket
/// receives it too.
fn renewal_socket(name: &str) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind_device(Some(name.as_bytes()))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    const RETURN_NOTHING: SockFilter = SockFilter::new(0x06, 0, 0, 0);
    socket.attach_filter(&[RETURN_NOTHING])?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, CLIENT_PORT).into())?;
    Ok(socket)
}

/// The `sockaddr_ll` (packet(7)) of IPv4 frames to `mac` on the link `index`.
fn link_address(index: i32, mac: Mac) -> SockAddr {
    let mut address = [0; 8];
    address[..mac.len()].copy_from_slice(&mac);
    let link = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: IPV4_FRAMES.to_be(),
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: mac.len() as u8,
        sll_addr: address,
    };
    let mut storage = socket2::SockAddrStorage::zeroed();
    // SAFETY: a `SockAddrStorage` may be viewed as any system `sockaddr_*`, and every byte pattern
    // is a valid `sockaddr_ll`.
    *unsafe { storage.view_as::<libc::sockaddr_ll>() } = link;
    // SAFETY: the storage holds a complete `sockaddr_ll` of the given length.
    unsafe { SockAddr::new(storage, mem::size_of::<libc::sockaddr_ll>() as u32) }
}

/// A file of `/sys/class/net/NAME`, trimmed.
fn attribute(name: &str, file: &str) -> io::Result<String> {
    let text = fs::read_to_string(format!("/sys/class/net/{name}/{file}"))?;
    Ok(text.trim().to_owned())
}

/// Whether the link is up and has a carrier; reading the file fails while it is down.
fn has_carrier(name: &str) -> bool {
    attribute(name, "carrier").is_ok_and(|carrier| carrier == "1")
}

fn hostname() -> Option<String> {
    fs::read_to_string(HOSTNAME)
        .ok()
        .and_then(|text| name(text.trim()))
}

/// `52:54:00:12:34:56`; `None` for all zeros, which links without hardware show.
fn parse_mac(text: &str) -> Option<Mac> {
    let bytes: Option<Vec<u8>> = text
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).ok())
        .collect();
    bytes?.try_into().ok().filter(|mac| *mac != [0; 6])
}

/// A number that other hosts on the link cannot predict.
fn random() -> u32 {
    RandomState::new().build_hasher().finish() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs() {
        for (text, want) in [
            ("52:54:00:12:34:56", Some([0x52, 0x54, 0, 0x12, 0x34, 0x56])),
            ("00:00:00:00:00:00", None),
            ("52:54:00:12:34", None),
            ("", None),
        ] {
            assert_eq!(parse_mac(text), want, "{text:?}");
        }
    }
}
