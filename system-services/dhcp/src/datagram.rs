//! The IPv4 and UDP headers around a message, for a link that has no address yet.

use crate::message::{CLIENT_PORT, SERVER_PORT};
use socket2::SockFilter;
use std::net::Ipv4Addr;

/// IPv4 header without options, bytes.
const IP_HEADER: usize = 20;
/// UDP header, bytes.
const UDP_HEADER: usize = 8;
/// IPv4's protocol number of UDP.
const UDP: u8 = 17;

/// A complete IPv4 packet from `source` to the broadcast address.
pub(crate) fn broadcast(source: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let udp_length = UDP_HEADER + payload.len();
    let mut packet = ip_header(source, IP_HEADER + udp_length);
    packet.extend(CLIENT_PORT.to_be_bytes());
    packet.extend(SERVER_PORT.to_be_bytes());
    packet.extend(length(udp_length));
    // No checksum: RFC 768 allows it over IPv4, and the link has its own.
    packet.extend([0, 0]);
    packet.extend(payload);
    packet
}

/// The IPv4 header of a packet of `total` bytes (RFC 791, section 3.1).
fn ip_header(source: Ipv4Addr, total: usize) -> Vec<u8> {
    let [high, low] = length(total);
    let mut header = vec![0x45, 0, high, low, 0, 0, 0, 0, 64, UDP, 0, 0];
    header.extend(source.octets());
    header.extend(Ipv4Addr::BROADCAST.octets());
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header
}

/// A length field; our messages are far below its limit.
fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes()
}

/// The Internet checksum (RFC 1071) of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks_exact(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The payload of an IPv4 packet to the DHCP client port; `None` for any other packet.
///
/// The UDP checksum is not verified: a virtual network card may leave it for later, and the message
/// is matched by transaction and hardware address anyway.
pub(crate) fn payload(packet: &[u8]) -> Option<&[u8]> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let is_udp = packet.first()? >> 4 == 4 && header >= IP_HEADER && *packet.get(9)? == UDP;
    let udp = packet.get(header..).filter(|_| is_udp)?;
    let field = |at: usize| Some(u16::from_be_bytes([*udp.get(at)?, *udp.get(at + 1)?]));
    let to_us = field(0)? == SERVER_PORT && field(2)? == CLIENT_PORT;
    udp.get(UDP_HEADER..usize::from(field(4)?))
        .filter(|_| to_us)
}

/// A classic BPF program that passes what [`payload`] accepts, so that the host's other traffic
/// does not wake this process. Offsets count from the IPv4 header.
pub(crate) fn filter() -> [SockFilter; 9] {
    // linux/bpf_common.h
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_HALF: u16 = 0x28;
    const LOAD_HALF_INDEXED: u16 = 0x48;
    const LOAD_X_HEADER_LENGTH: u16 = 0xb1;
    const JUMP_EQUAL: u16 = 0x15;
    const JUMP_ANY_SET: u16 = 0x45;
    const RETURN: u16 = 0x06;
    const FRAGMENT_OFFSET: u32 = 0x1fff;
    [
        SockFilter::new(LOAD_BYTE, 0, 0, 9),
        SockFilter::new(JUMP_EQUAL, 0, 6, u32::from(UDP)),
        SockFilter::new(LOAD_HALF, 0, 0, 6),
        SockFilter::new(JUMP_ANY_SET, 4, 0, FRAGMENT_OFFSET),
        SockFilter::new(LOAD_X_HEADER_LENGTH, 0, 0, 0),
        SockFilter::new(LOAD_HALF_INDEXED, 0, 0, 2),
        SockFilter::new(JUMP_EQUAL, 0, 1, u32::from(CLIENT_PORT)),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_as_rfc_791_says() {
        let packet = broadcast(Ipv4Addr::UNSPECIFIED, b"abcd");
        assert_eq!(
            packet,
            [
                &[0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0x7a, 0xce][..],
                &[0, 0, 0, 0, 255, 255, 255, 255],
                &[0, 68, 0, 67, 0, 12, 0, 0],
                b"abcd",
            ]
            .concat()
        );
        assert_eq!(checksum(&packet[..IP_HEADER]), 0);
    }

    /// An answer as a server sends it.
    fn answer() -> Vec<u8> {
        let mut packet = broadcast(Ipv4Addr::UNSPECIFIED, b"abcd");
        packet[20..24].copy_from_slice(&[0, 67, 0, 68]);
        packet
    }

    #[test]
    fn payloads() {
        let change = |at: usize, byte: u8| {
            let mut packet = answer();
            packet[at] = byte;
            packet
        };
        let with_options = {
            let mut packet = answer();
            packet[0] = 0x46;
            packet.splice(20..20, [1, 1, 1, 1]);
            packet
        };
        for (packet, want, why) in [
            (answer(), Some(&b"abcd"[..]), "an answer"),
            (with_options, Some(b"abcd"), "IP options"),
            ([answer(), vec![0; 9]].concat(), Some(b"abcd"), "padding"),
            (
                broadcast(Ipv4Addr::UNSPECIFIED, b"abcd"),
                None,
                "another client's question",
            ),
            (change(9, 6), None, "TCP"),
            (change(0, 0x65), None, "IPv6"),
            (change(0, 0x41), None, "a header too short"),
            (change(25, 200), None, "a length beyond the packet"),
            (change(25, 3), None, "a length below its own header"),
            (answer()[..24].to_vec(), None, "cut off"),
            (Vec::new(), None, "nothing"),
        ] {
            assert_eq!(payload(&packet), want, "{why}");
        }
    }
}
