//! How the machine and its services are, as text that Prometheus reads
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>): `GET /metrics`.
//!
//! - [`http`]: as much of HTTP as that takes, within bounds
//! - [`metrics`]: from PID 1's answers to the text, pure

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

/// The machine's section for this service.
const CONFIGURATION: &str = "/run/config/metrics.json";
/// PID 1's socket that tells how things are.
const SOCKET: &str = "/run/tare/tare.sock";
/// How many are answered at a time; who comes on top is not.
const AT_A_TIME: usize = 8;
/// Between two tries to listen: the address may come with a lease.
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
            // Who asked is gone, or too slow.
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

/// What PID 1 says now.
fn page(socket: &Path) -> Result<String, CallError> {
    let mut client = Client::connect(socket)?;
    let machine = client.call(&Method::GetStatus {})?;
    let services = client.call(&Method::ListServices {})?;
    Ok(metrics::text(&machine, &services))
}
