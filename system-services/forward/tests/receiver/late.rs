//! A receiver that is always behind.

use crate::connection::Connection;
use crate::service::Service;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use nix::sys::socket::{setsockopt, sockopt};
use std::net::TcpListener;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Records that wait from the beginning: at a KiB each, more than the receiver's buffer holds.
const BACKLOG: u32 = 400;
const BUFFER: usize = 16 << 10;
/// The time between two records.
const STEP: Duration = Duration::from_millis(20);
/// How long records are written.
const LASTS: Duration = Duration::from_secs(10);
/// Records acknowledged this long before the end count as received: two seconds, the time in which the receiver reads
/// one entry, and slack for a busy machine.
const SETTLED: Duration = Duration::from_secs(6);
/// The receiver reads little at a time, so that it stays behind.
const CAPACITY: usize = 1024;

/// The number of the next message.
fn number_of(connection: &mut Connection) -> Result<u32> {
    let message = connection.message()?;
    let number = message.split_once("number ").context("no number")?.1;
    Ok(number.split(' ').next().unwrap_or_default().parse()?)
}

/// Writes and receives one record per step, so that the receiver stays as far behind as it was at first. Returns the
/// number it received last and the one that must count as received.
fn stay_behind(service: &Service, connection: &mut Connection, padding: &str) -> Result<[u32; 2]> {
    let started = Instant::now();
    let [mut last, mut settled] = [0; 2];
    for number in BACKLOG.. {
        service.write_padded(number..number + 1, padding)?;
        last = number_of(connection)?;
        if started.elapsed() < LASTS - SETTLED {
            settled = last;
        }
        if started.elapsed() > LASTS {
            break;
        }
        sleep(STEP);
    }
    Ok([last, settled])
}

#[test]
fn what_a_late_receiver_took_long_ago_is_not_sent_again() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    // Set before a client connects: a connection inherits the listener's buffer size.
    setsockopt(&listener, sockopt::RcvBuf, &BUFFER)?;
    let mut service = Service::new("forward-late")?;
    let to = format!("tcp://{}", listener.local_addr()?);
    service.configure(&to, None)?;
    let padding = format!(" {}", "x".repeat(1000));
    service.write_padded(0..BACKLOG, &padding)?;
    service.start()?;
    let mut connection = Connection::accept(&listener, CAPACITY)?;
    let [last, settled] = stay_behind(&service, &mut connection, &padding)?;
    service.end(Signal::SIGKILL)?;
    drop(connection);
    service.start()?;
    let first = number_of(&mut Connection::accept(&listener, CAPACITY)?)?;
    println!("received up to {last}, {settled} long ago; sent again from {first}");
    // Records that were never received are sent.
    ensure!((settled..=last + 1).contains(&first), "{first}");
    service.end(Signal::SIGKILL)?;
    service.remove()
}
