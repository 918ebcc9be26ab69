//! The process that talks to the kernel about the network: it applies PID 1's plan, and reports the current state.

pub(crate) use super::process::NAME;
use super::process::{line, received};
use crate::effect::netlink::Kernel;
use crate::kmsg;
use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

/// Changes within this time are handled as one: starting a container causes a dozen.
const SETTLE: Duration = Duration::from_millis(100);
/// The kernel drops answers when there is no room for them. After this long, a new process starts with a new socket.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The wait before failed steps are tried again, if nothing changes before.
const RETRY: Duration = Duration::from_secs(10);

/// The main function of the process. Its standard input is the socket to PID 1.
pub(crate) fn main() -> ExitCode {
    // If this fails, there is nowhere to report it.
    let _ = kmsg::init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let served = runtime.and_then(|runtime| LocalSet::new().block_on(&runtime, serve()));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("network: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> io::Result<()> {
    let stream: std::os::unix::net::UnixStream = io::stdin().as_fd().try_clone_to_owned()?.into();
    stream.set_nonblocking(true)?;
    let (read, mut write) = UnixStream::from_std(stream)?.into_split();
    let mut lines = BufReader::new(read).lines();
    let (sender, mut changes) = unbounded_channel();
    let mut kernel = Kernel::open(sender)?;
    if let Err(error) = kernel.loopback_up().await {
        log::error!("network: loopback: {error}");
    }
    let mut plan = Vec::new();
    let mut reported = None;
    let mut complete = true;
    loop {
        let look = async {
            complete = kernel.apply(&plan).await?;
            kernel.report().await
        };
        let report = timeout(TIMEOUT, look).await?.map_err(io::Error::other)?;
        if reported.as_ref() != Some(&report) {
            write.write_all(&line(&report)).await?;
            reported = Some(report);
        }
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) => plan = received(Ok(Some(line)))?,
                // PID 1 has closed its end.
                None => return Ok(()),
            },
            changed = settled(&mut changes) => changed?,
            () = sleep(RETRY), if !complete => {}
        }
    }
}

/// Waits for a change, and for others that come with it.
async fn settled(changes: &mut UnboundedReceiver<()>) -> io::Result<()> {
    let ended = || io::Error::other("the connection to the kernel has ended");
    changes.recv().await.ok_or_else(ended)?;
    sleep(SETTLE).await;
    while changes.try_recv().is_ok() {}
    Ok(())
}
