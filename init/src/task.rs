//! Tasks of PID 1's loop that end with their owner.

use crate::event::Event;
use std::future::Future;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::sleep;

/// A task that ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Task(JoinHandle<()>);

impl Task {
    pub(crate) fn spawn(work: impl Future<Output = ()> + 'static) -> Self {
        Self(spawn_local(work))
    }

    /// Sends `event` after `wait`.
    pub(crate) fn after(
        wait: Duration,
        event: impl Into<Event>,
        events: &UnboundedSender<Event>,
    ) -> Self {
        let (event, events) = (event.into(), events.clone());
        Self::spawn(async move {
            sleep(wait).await;
            let _ = events.send(event);
        })
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
