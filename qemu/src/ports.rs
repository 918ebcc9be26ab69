//! Ports of the host that are forwarded to a guest.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result};

/// A TCP port on the host's loopback, forwarded to a port of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// On the host; 0 for a free port that QEMU picks when it starts.
    pub host: u16,
    /// In the guest.
    pub guest: u16,
}

/// `wanted` if it is free on the host's loopback, otherwise any free port.
///
/// It may be taken by the time it is used. If the number is not needed beforehand, forward from port 0.
///
/// # Errors
/// No port is free at all.
pub fn free_port(wanted: u16) -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    Ok(listener.local_addr()?.port())
}

/// Reads the forwards of QEMU's `info usernet`, whose table has no machine-readable form:
///
/// ```text
///   Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ
///   TCP[HOST_FORWARD]  12       127.0.0.1 40213       10.0.2.15    22     0     0
/// ```
pub(crate) fn parse_usernet(table: &str) -> Result<Vec<Forward>> {
    let rows = table
        .lines()
        .filter(|line| line.contains("TCP[HOST_FORWARD]"));
    rows.map(|row| parse_row(row).with_context(|| format!("unknown form of `info usernet`: {row}")))
        .collect()
}

fn parse_row(row: &str) -> Option<Forward> {
    let columns: Vec<_> = row.split_whitespace().collect();
    Some(Forward {
        host: columns.get(3)?.parse().ok()?,
        guest: columns.get(5)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwards_of_a_running_qemu() {
        let table = "Hub -1 (net0):\r\n  \
            Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n  \
            TCP[ESTABLISHED]   14       127.0.0.1 40213       10.0.2.15    22     0     0\r\n  \
            TCP[HOST_FORWARD]  12       127.0.0.1 40213       10.0.2.15    22     0     0\r\n";
        assert_eq!(
            parse_usernet(table).unwrap(),
            [Forward {
                host: 40213,
                guest: 22
            }]
        );
    }

    #[test]
    fn a_taken_port_is_replaced() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_ne!(free_port(port).unwrap(), port);
    }
}
