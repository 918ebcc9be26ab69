//! The time between clone and exec of a service, in which PID 1 does other things.

use super::event::Event;
use crate::effect::readable::readable;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;
use tare_container::Starting;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;

/// How long a child may take to become its program.
const LAUNCH_PATIENCE: Duration = Duration::from_secs(30);

/// Waits until a child has become its program, or has told why not, and passes that on.
pub(super) async fn report(
    service: String,
    run: u64,
    starting: Starting,
    events: UnboundedSender<Event>,
) {
    let result = match until_reported(&starting).await {
        Ok(()) => starting.finish(LAUNCH_PATIENCE),
        // The kernel has no memory for that wait: this one blocks, but it is bounded.
        Err(_) => starting.wait(LAUNCH_PATIENCE),
    };
    let _ = events.send(Event::Launched {
        service,
        run,
        result,
    });
}

async fn until_reported(starting: &Starting) -> io::Result<()> {
    let report = readable(starting.as_fd())?;
    // Late is told from done by what can be read.
    let _ = timeout(LAUNCH_PATIENCE, report.readable()).await;
    Ok(())
}
