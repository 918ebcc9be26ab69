//! A time server on the host, for the machine's `time` service (RFC 5905, section 7.3).

use anyhow::Result;
use std::cell::LazyCell;
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds from 1900 to 1970.
const ERA: u64 = 2_208_988_800;

pub(crate) struct Server {
    port: u16,
}

impl Server {
    /// Answers for as long as the test program runs.
    pub(crate) fn start() -> Result<Self> {
        Self::start_with(|| Duration::ZERO)
    }

    /// The same, but the clock shows `time` at the first request, or now if that is later.
    pub(crate) fn start_at(time: SystemTime) -> Result<Self> {
        Self::start_with(move || time.duration_since(SystemTime::now()).unwrap_or_default())
    }

    fn start_with(ahead: impl FnOnce() -> Duration + Send + 'static) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let port = socket.local_addr()?.port();
        thread::spawn(move || {
            let mut request = [0; 48];
            let ahead = LazyCell::new(ahead);
            while let Ok((length, peer)) = socket.recv_from(&mut request) {
                if length == request.len() {
                    let _ = socket.send_to(&answer(&request, *ahead), peer);
                }
            }
        });
        Ok(Self { port })
    }

    /// User-data that lets chronyd ask this server only; QEMU's host is 10.0.2.2.
    pub(crate) fn user_data(&self) -> String {
        let server = format!("server 10.0.2.2 port {} iburst", self.port);
        format!(
            "[services.time.process]\nargs = ['/usr/sbin/chronyd', '-d', '-U', '-F', '1', '{server}', \
             'makestep 1.0 3', 'rtcsync', 'port 0', 'cmdport 0', 'bindcmdaddress /', 'pidfile /']\n"
        )
    }
}

/// Version 4, mode "server", stratum 1, with a time that is `ahead`.
fn answer(request: &[u8; 48], ahead: Duration) -> [u8; 48] {
    let mut answer = [0; 48];
    answer[..4].copy_from_slice(&[0x24, 1, request[2], 0xec]);
    answer[12..16].copy_from_slice(b"TEST");
    let now = now(ahead);
    answer[16..24].copy_from_slice(&now);
    answer[24..32].copy_from_slice(&request[40..48]);
    answer[32..40].copy_from_slice(&now);
    answer[40..48].copy_from_slice(&now);
    answer
}

fn now(ahead: Duration) -> [u8; 8] {
    let since = (SystemTime::now() + ahead).duration_since(UNIX_EPOCH);
    let since = since.unwrap_or_default();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    (((since.as_secs() + ERA) << 32) | fraction).to_be_bytes()
}
