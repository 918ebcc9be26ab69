//! Sockets that PID 1 holds for services.

use crate::effect::readable::until_readable;
use crate::event::{Event, UnitEvent};
use crate::task::Task;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, SockaddrIn6, UnixAddr, bind, listen,
    setsockopt, socket, sockopt,
};
use nix::sys::stat::{Mode, umask};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tare_config::Service;
use tare_config::service::{Socket, SocketAddress, SocketType, Source};
use tare_container::paths;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;

/// Opens all sockets of `service`, in its order. The directories of its mounts must exist.
pub(crate) fn open_all(service: &Service) -> io::Result<Vec<OwnedFd>> {
    service
        .sockets
        .iter()
        .map(|socket| open(socket, service))
        .collect()
}

fn open(socket: &Socket, service: &Service) -> io::Result<OwnedFd> {
    let fd = match &socket.address {
        SocketAddress::Path(path) => {
            let path = host_path(path, service).ok_or(io::ErrorKind::NotFound)?;
            open_unix(socket, &path)?
        }
        SocketAddress::Port(port) => open_port(*port, socket.typ)?,
        SocketAddress::Internet(address) => open_internet(*address, socket.typ)?,
    };
    if socket.typ == SocketType::Stream {
        listen(&fd, Backlog::MAXALLOWABLE)?;
    }
    Ok(fd)
}

/// The path on the host of a path in the container.
fn host_path(path: &str, service: &Service) -> Option<PathBuf> {
    let (source, rest) = service.on_host(path)?;
    let folder = match source {
        Source::Volume(name) => paths::volume(name),
        Source::Shared(name) => paths::shared(name),
        Source::Host(_) | Source::Tmpfs(_) => return None,
    };
    Some(Path::new(&folder).join(rest))
}

fn new(family: AddressFamily, typ: SocketType) -> nix::Result<OwnedFd> {
    let typ = match typ {
        SocketType::Stream => SockType::Stream,
        SocketType::Datagram => SockType::Datagram,
    };
    // Blocking, as systemd hands them over by default (`NonBlocking=`, systemd.service(5)).
    socket(family, typ, SockFlag::SOCK_CLOEXEC, None)
}

/// The socket has its permissions from the start, and no symbolic link is followed.
fn open_unix(socket: &Socket, path: &Path) -> io::Result<OwnedFd> {
    let fd = new(AddressFamily::Unix, socket.typ)?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let before = umask(Mode::from_bits_truncate(0o777 & !socket.mode));
    let bound = bind(fd.as_raw_fd(), &UnixAddr::new(path)?);
    umask(before);
    bound?;
    lchown(path, None, Some(socket.group))?;
    Ok(fd)
}

/// Both families on one socket, or IPv4 alone on a kernel without IPv6.
fn open_port(port: u16, typ: SocketType) -> io::Result<OwnedFd> {
    let both = SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port));
    match open_internet(both, typ) {
        Err(error) if error.raw_os_error() == Some(nix::libc::EAFNOSUPPORT) => {
            open_internet(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), typ)
        }
        opened => opened,
    }
}

/// The address need not exist yet (`IP_FREEBIND`).
fn open_internet(address: SocketAddr, typ: SocketType) -> io::Result<OwnedFd> {
    let family = match address.ip() {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    let fd = new(family, typ)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    setsockopt(&fd, sockopt::IpFreebind, &true)?;
    if family == AddressFamily::Inet6 {
        setsockopt(&fd, sockopt::Ipv6V6Only, &!address.ip().is_unspecified())?;
    }
    match address {
        SocketAddr::V4(address) => bind(fd.as_raw_fd(), &SockaddrIn::from(address))?,
        SocketAddr::V6(address) => bind(fd.as_raw_fd(), &SockaddrIn6::from(address))?,
    }
    Ok(fd)
}

/// Sends one event when `socket` becomes readable, but not before `hold_off` is over.
pub(crate) fn watch(
    socket: &OwnedFd,
    service: &str,
    hold_off: Duration,
    events: &UnboundedSender<Event>,
) -> io::Result<Task> {
    let (socket, service, events) = (socket.try_clone()?, service.to_owned(), events.clone());
    Ok(Task::spawn(async move {
        sleep(hold_off).await;
        until_readable(socket).await;
        let _ = events.send(UnitEvent::SocketUsed { service }.into());
    }))
}

/// The variables that describe its sockets to the service (`sd_listen_fds(3)`), except for its process id.
pub(crate) fn environment(service: &Service) -> Vec<String> {
    if service.sockets.is_empty() {
        return Vec::new();
    }
    let names: Vec<&str> = service.sockets.iter().map(|socket| &*socket.name).collect();
    vec![
        format!("LISTEN_FDS={}", names.len()),
        format!("LISTEN_FDNAMES={}", names.join(":")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{FcntlArg, OFlag, fcntl};

    fn service(sockets: &str) -> Service {
        let text = format!(
            "description='x'\nprocess={{args=['/a']}}\nsockets=[{sockets}]\n\
             mounts=[{{shared='s',target='/run/s'}}]"
        );
        tare_config::parse("t", text.as_bytes()).unwrap()
    }

    #[test]
    fn a_service_knows_its_sockets_by_number_and_name() {
        let two = service("{stream=80,name='http'},{datagram='127.0.0.1:53'}");
        let want = ["LISTEN_FDS=2", "LISTEN_FDNAMES=http:unknown"];
        assert_eq!(environment(&two), want);
        assert_eq!(environment(&service("")), [""; 0]);
    }

    #[test]
    fn a_path_of_the_container_is_one_of_the_host() {
        let service = service("");
        for (path, want) in [
            ("/run/s/x.sock", Some("/run/tare/shared/s/x.sock")),
            ("/run/sx.sock", None),
            ("/run/s/", None),
            ("/tmp/x.sock", None),
        ] {
            let got = host_path(path, &service);
            assert_eq!(got.as_deref(), want.map(Path::new), "{path}");
        }
    }

    #[test]
    fn sockets_of_the_internet_listen() {
        for sockets in ["{stream=0}", "{stream='127.0.0.1:0'}", "{datagram=0}"] {
            let service = service(sockets);
            let opened = open_all(&service).unwrap();
            assert_eq!(opened.len(), 1, "{sockets}");
            let flags = fcntl(&opened[0], FcntlArg::F_GETFL).unwrap();
            assert_eq!(flags & OFlag::O_NONBLOCK.bits(), 0, "{sockets}");
        }
    }
}
