//! A receiver that accepts connections and closes them at once.

use crate::PATIENCE;
use crate::service::Service;
use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use std::net::TcpListener;
use std::thread::sleep;
use std::time::{Duration, Instant};

#[test]
fn a_receiver_that_ends_at_once_is_tried_less_and_less() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut service = Service::new("forward-fickle")?;
    let to = format!("tcp://{}", listener.local_addr()?);
    service.configure(&to, None)?;
    let started = Instant::now();
    service.start()?;
    for _ in 0..3 {
        drop(listener.accept()?);
    }
    let kept = listener.accept()?;
    // The service has waited for 1, 2 and 4 seconds.
    let waited = started.elapsed();
    while !service.said()?.contains("connected") {
        ensure!(started.elapsed() < PATIENCE, "{}", service.said()?);
        sleep(Duration::from_millis(50));
    }
    let want = format!("<4>{to}: the receiver has ended; trying again\n<5>{to}: connected\n");
    assert_eq!(service.said()?, want);
    ensure!(waited >= Duration::from_secs(7), "{waited:?}");
    drop(kept);
    service.end(Signal::SIGKILL)?;
    service.remove()
}
