//! DHCP messages (RFC 2131, section 2; options: RFC 2132): ours to bytes, a server's to types.

use crate::lease::{LIST_MAX, name};
use dhcproto::v4::{
    Decodable, DhcpOption, DhcpOptions, Encodable, Flags, Message, MessageType, Opcode, OptionCode,
};
use dhcproto::{Decoder, error::EncodeError};
use std::net::Ipv4Addr;
use std::time::Duration;
use tare_config::Lease;

pub(crate) use dhcproto::v4::{CLIENT_PORT, SERVER_PORT};

/// An Ethernet address.
pub(crate) type Mac = [u8; 6];

/// The shortest lease that is accepted, in seconds: with a shorter one a client does little but
/// renew.
const LEASE_MIN: u32 = 30;

/// An infinite lease (RFC 2131, section 3.3).
pub(crate) const FOR_EVER: u32 = u32::MAX;

/// The client's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Looks for servers.
    Discover,
    /// Accepts `address` as offered by `server`.
    Request { address: Ipv4Addr, server: Ipv4Addr },
    /// Asks to keep `address`: the server that granted it (RENEWING) or any server (REBINDING).
    Renew { address: Ipv4Addr },
}

/// A server's message to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub xid: u32,
    pub kind: ReplyKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReplyKind {
    Offer(Terms),
    Ack(Terms),
    Nak,
}

/// A lease, the server that granted it, and when to renew it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Terms {
    pub lease: Lease,
    pub server: Ipv4Addr,
    /// T1 and T2 of RFC 2131, section 4.4.5, counted from the request.
    pub renew: Duration,
    pub rebind: Duration,
}

/// Encodes a message of transaction `xid`, `secs` seconds after the first try.
///
/// # Errors
/// Never for these fields: they are all far below the limits of the format.
pub(crate) fn encode(
    ask: Ask,
    mac: Mac,
    hostname: Option<&str>,
    xid: u32,
    secs: u16,
) -> Result<Vec<u8>, EncodeError> {
    let unset = Ipv4Addr::UNSPECIFIED;
    let own = match ask {
        Ask::Renew { address } => address,
        Ask::Discover | Ask::Request { .. } => unset,
    };
    let mut message = Message::new_with_id(xid, own, unset, unset, unset, &mac);
    message
        .set_opcode(Opcode::BootRequest)
        .set_flags(Flags::default())
        .set_secs(secs)
        .set_opts(options(ask, mac, hostname));
    message.to_vec()
}

fn options(ask: Ask, mac: Mac, hostname: Option<&str>) -> DhcpOptions {
    let mut options = DhcpOptions::new();
    let kind = match ask {
        Ask::Discover => MessageType::Discover,
        Ask::Request { .. } | Ask::Renew { .. } => MessageType::Request,
    };
    options.insert(DhcpOption::MessageType(kind));
    if let Ask::Request { address, server } = ask {
        options.insert(DhcpOption::RequestedIpAddress(address));
        options.insert(DhcpOption::ServerIdentifier(server));
    }
    // The hardware type (1, Ethernet) and address: RFC 2132, section 9.14.
    options.insert(DhcpOption::ClientIdentifier([&[1], &mac[..]].concat()));
    options.insert(DhcpOption::MaxMessageSize(1472));
    options.insert(DhcpOption::ParameterRequestList(wanted()));
    if let Some(hostname) = hostname {
        options.insert(DhcpOption::Hostname(hostname.to_owned()));
    }
    options
}

/// The options requested from the server. Classless routes come before the router, as RFC 3442
/// demands.
fn wanted() -> Vec<OptionCode> {
    vec![
        OptionCode::SubnetMask,
        OptionCode::ClasslessStaticRoute,
        OptionCode::Router,
        OptionCode::DomainNameServer,
        OptionCode::Hostname,
        OptionCode::DomainName,
        OptionCode::InterfaceMtu,
        OptionCode::NtpServers,
        OptionCode::Renewal,
        OptionCode::Rebinding,
        OptionCode::DomainSearch,
    ]
}

/// Where options start: after the fixed fields and the magic cookie (RFC 2131, section 2).
const OPTIONS: usize = 240;

/// The message `bytes` with none but the options that are read, up to the first that is cut off. `dhcproto` panics on some that
/// nobody asked for, such as a client's name (option 81) of two bytes.
fn known(bytes: &[u8]) -> Option<Vec<u8>> {
    let (fixed, mut rest) = bytes.split_at_checked(OPTIONS)?;
    let mut read = wanted();
    read.extend([
        OptionCode::MessageType,
        OptionCode::ServerIdentifier,
        OptionCode::AddressLeaseTime,
    ]);
    let mut kept = fixed.to_vec();
    while let [code, after @ ..] = rest {
        let code = OptionCode::from(*code);
        let length = match (code, after) {
            (OptionCode::End, _) => break,
            (OptionCode::Pad, _) => 1,
            (_, [length, value @ ..]) if value.len() >= usize::from(*length) => {
                2 + usize::from(*length)
            }
            _ => break,
        };
        if read.contains(&code) {
            kept.extend(&rest[..length]);
        }
        rest = &rest[length..];
    }
    kept.push(OptionCode::End.into());
    Some(kept)
}

/// A server's message to the client `mac`; `None` for anything else, and for anything malformed.
pub(crate) fn decode(bytes: &[u8], mac: Mac) -> Option<Reply> {
    let message = Message::decode(&mut Decoder::new(&known(bytes)?)).ok()?;
    // Checks the length first: dhcproto slices its 16 bytes by whatever length the packet claims.
    let ours = usize::from(message.hlen()) == mac.len() && message.chaddr() == mac;
    if message.opcode() != Opcode::BootReply || !ours {
        return None;
    }
    let kind = match message.opts().msg_type()? {
        MessageType::Offer => ReplyKind::Offer(terms(&message)?),
        MessageType::Ack => ReplyKind::Ack(terms(&message)?),
        MessageType::Nak => ReplyKind::Nak,
        _ => return None,
    };
    Some(Reply {
        xid: message.xid(),
        kind,
    })
}

/// The value of option `$name` of `$options`, if the server sent it.
macro_rules! option {
    ($options:expr, $name:ident) => {
        match $options.get(OptionCode::$name) {
            Some(DhcpOption::$name(value)) => Some(value),
            _ => None,
        }
    };
}

fn terms(message: &Message) -> Option<Terms> {
    let options = message.opts();
    let server = *option!(options, ServerIdentifier)?;
    let seconds = *option!(options, AddressLeaseTime)?;
    if seconds < LEASE_MIN {
        return None;
    }
    let renew = option!(options, Renewal).copied();
    let rebind = option!(options, Rebinding).copied();
    let (renew, rebind) = times(seconds, renew, rebind);
    Some(Terms {
        lease: lease(message.yiaddr(), seconds, options)?,
        server,
        renew,
        rebind,
    })
}

fn lease(address: Ipv4Addr, seconds: u32, options: &DhcpOptions) -> Option<Lease> {
    let mask = option!(options, SubnetMask).copied();
    Some(Lease {
        address,
        prefix: prefix_of(address, mask)?,
        gateway: gateway(options),
        dns: addresses(option!(options, DomainNameServer)),
        search: search(options),
        ntp: addresses(option!(options, NtpServers)),
        hostname: option!(options, Hostname).and_then(|text| name(text)),
        // 68 is the smallest MTU of IPv4 (RFC 791, section 3.2).
        mtu: option!(options, InterfaceMtu)
            .copied()
            .filter(|mtu| *mtu >= 68),
        lease_seconds: seconds,
    })
}

/// T1 and T2: the server's if they are in order, otherwise the defaults of RFC 2131, section 4.4.5.
fn times(lease: u32, renew: Option<u32>, rebind: Option<u32>) -> (Duration, Duration) {
    let default = (lease / 2, lease / 8 * 7);
    let (renew, rebind) = match (renew, rebind) {
        (Some(renew), Some(rebind)) if 0 < renew && renew < rebind && rebind < lease => {
            (renew, rebind)
        }
        (Some(renew), None) if 0 < renew && renew < default.1 => (renew, default.1),
        _ => default,
    };
    let seconds = |count: u32| Duration::from_secs(count.into());
    (seconds(renew), seconds(rebind))
}

/// The prefix length of `mask`, or of the class of `address` (RFC 791) without a mask; `None` if a host cannot have
/// that address or the mask is not contiguous.
fn prefix_of(address: Ipv4Addr, mask: Option<Ipv4Addr>) -> Option<u8> {
    let usable = !address.is_unspecified()
        && !address.is_multicast()
        && !address.is_broadcast()
        && !address.is_loopback();
    let prefix = match mask {
        Some(mask) => prefix(mask)?,
        None => match address.octets()[0] {
            0..128 => 8,
            128..192 => 16,
            _ => 24,
        },
    };
    usable.then_some(prefix)
}

fn prefix(mask: Ipv4Addr) -> Option<u8> {
    let bits = mask.to_bits();
    let ones = bits.leading_ones();
    let contiguous = ones + bits.trailing_zeros() >= u32::BITS && bits != 0;
    u8::try_from(ones).ok().filter(|_| contiguous)
}

/// The default route's gateway. If classless routes are given, the router option must be ignored
/// (RFC 3442).
fn gateway(options: &DhcpOptions) -> Option<Ipv4Addr> {
    let gateway = match option!(options, ClasslessStaticRoute) {
        Some(routes) => {
            let default = routes.iter().find(|(target, _)| target.prefix_len() == 0);
            default.map(|(_, gateway)| *gateway)
        }
        None => option!(options, Router).and_then(|routers| routers.first().copied()),
    };
    gateway.filter(|gateway| !gateway.is_unspecified())
}

fn addresses(list: Option<&Vec<Ipv4Addr>>) -> Vec<Ipv4Addr> {
    let usable = |address: &&Ipv4Addr| !address.is_unspecified() && !address.is_multicast();
    list.into_iter()
        .flatten()
        .filter(usable)
        .copied()
        .take(LIST_MAX)
        .collect()
}

/// The search list (RFC 3397), or the domain name if there is none.
fn search(options: &DhcpOptions) -> Vec<String> {
    match option!(options, DomainSearch) {
        Some(list) => {
            let names = list.iter().filter_map(|domain| name(&domain.to_ascii()));
            names.take(LIST_MAX).collect()
        }
        None => {
            let domain = option!(options, DomainName).and_then(|text| name(text));
            domain.into_iter().collect()
        }
    }
}

#[cfg(test)]
mod tests;
