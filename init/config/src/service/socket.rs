//! Sockets that PID 1 holds for a service (`sd_listen_fds(3)`).

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// A socket. PID 1 opens it before the service runs and keeps it across restarts, so no connection is refused or lost
/// meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "RawSocket", into = "RawSocket")]
pub struct Socket {
    /// Its name in `LISTEN_FDNAMES`.
    pub name: String,
    /// Whether it receives connections or datagrams.
    pub typ: SocketType,
    /// Where it listens.
    pub address: SocketAddress,
    /// Permissions of a Unix socket, written in octal.
    pub mode: u32,
    /// Group of a Unix socket, by its number on the host.
    pub group: u32,
}

/// `SOCK_STREAM` or `SOCK_DGRAM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketType {
    /// Connections: TCP or Unix.
    Stream,
    /// Datagrams: UDP or Unix.
    Datagram,
}

/// Where a socket listens.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(
    untagged,
    expecting = "expected a port, `ADDRESS:PORT` or an absolute path"
)]
pub enum SocketAddress {
    /// A port on every address of the host, IPv4 and IPv6.
    Port(u16),
    /// A port on one address of the host.
    Internet(SocketAddr),
    /// A path in the container, inside a volume or shared mount of the service.
    Path(String),
}

/// A socket as written.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawSocket {
    #[serde(default = "unnamed")]
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<SocketAddress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    datagram: Option<SocketAddress>,
    #[serde(default = "mode")]
    mode: String,
    #[serde(default)]
    group: u32,
}

/// What `sd_listen_fds_with_names(3)` calls a socket without a name.
fn unnamed() -> String {
    "unknown".to_owned()
}

fn mode() -> String {
    "0660".to_owned()
}

impl TryFrom<RawSocket> for Socket {
    type Error = String;

    fn try_from(raw: RawSocket) -> Result<Self, String> {
        crate::text::name(&raw.name)?;
        let (typ, address) = match (raw.stream, raw.datagram) {
            (Some(address), None) => (SocketType::Stream, address),
            (None, Some(address)) => (SocketType::Datagram, address),
            _ => {
                return Err(format!(
                    "socket {} must name exactly one of stream, datagram",
                    raw.name
                ));
            }
        };
        if let SocketAddress::Path(path) = &address {
            super::mount::absolute(path.clone())?;
        }
        Ok(Self {
            name: raw.name,
            typ,
            address,
            mode: super::mount::permissions(&raw.mode, 0o777)?,
            group: raw.group,
        })
    }
}

impl From<Socket> for RawSocket {
    fn from(socket: Socket) -> Self {
        let (stream, datagram) = match socket.typ {
            SocketType::Stream => (Some(socket.address), None),
            SocketType::Datagram => (None, Some(socket.address)),
        };
        Self {
            name: socket.name,
            stream,
            datagram,
            mode: format!("{:04o}", socket.mode),
            group: socket.group,
        }
    }
}
