//! The status of the machine and its services as text for Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>): `GET /metrics`.
//!
//! - [`http`]: the part of HTTP that this needs, with limits
//! - [`metrics`]: converts PID 1's answers to that text, pure

#![forbid(unsafe_code)]

mod http;
mod metrics;

use sd_notify::NotifyState;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tare_config::machine::Metrics;
use tare_control::{CallError, Client, Method};

/// The machine's configuration of this service.
const CONFIGURATION: &str = "/run/config/metrics.json";
/// PID 1's socket for status.
const SOCKET: &str = "/run/tare/tare.sock";
/// How many requests are answered at a time; any more are dropped.
const AT_A_TIME: usize = 8;
/// The time between two tries to listen: the address may come with a lease.
const AGAIN: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let metrics: Metrics = serde_json::from_slice(&fs::read(CONFIGURATION)?)?;
    let Some(address) = metrics.listen else {
        return Err(io::Error::other("metrics.listen is not set"));
    };
    let listener = listen(address);
    sd_notify::notify(&[NotifyState::Ready])?;
    let busy = Arc::new(());
    loop {
        let (stream, _) = listener.accept()?;
        // This function holds one itself.
        if Arc::strong_count(&busy) > AT_A_TIME {
            continue;
        }
        let guest = Arc::clone(&busy);
        thread::spawn(move || {
            // The client is gone, or too slow.
            let _ = http::answer(stream, || page(Path::new(SOCKET)));
            drop(guest);
        });
    }
}

fn listen(address: std::net::SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address) {
            Ok(listener) => return listener,
            Err(error) => eprintln!("listen on {address}: {error}"),
        }
        thread::sleep(AGAIN);
    }
}

/// The page for PID 1's current status.
fn page(socket: &Path) -> Result<String, CallError> {
    let mut client = Client::connect(socket)?;
    let machine = client.call(&Method::GetStatus {})?;
    let services = client.call(&Method::ListServices {})?;
    Ok(metrics::text(&machine, &services))
}
