//! The time between clone and exec of a service, in which PID 1 does other things.

use super::event::Event;
use super::readable::readable;
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
    let result = match starting.as_fd().try_clone_to_owned().and_then(readable) {
        Ok(reported) => {
            let _ = timeout(LAUNCH_PATIENCE, reported.readable()).await;
            starting.finish(LAUNCH_PATIENCE)
        }
        // No descriptor left to wait with: the wait blocks, but it is bounded.
        Err(_) => starting.wait(LAUNCH_PATIENCE),
    };
    let _ = events.send(Event::Launched {
        service,
        run,
        result,
    });
}
