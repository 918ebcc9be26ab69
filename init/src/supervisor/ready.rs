//! Finding out that a service answers.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tare_config::service::Ready;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};

/// The first wait between two tries, and the longest.
///
/// The kernel tells nobody that a socket began to listen; a refused try on the same machine costs
/// microseconds.
const LEAST: Duration = Duration::from_millis(10);
const MOST: Duration = Duration::from_millis(500);

/// How long one try may take.
const TRY: Duration = Duration::from_secs(2);

/// Returns as soon as what `ready` names takes connections; at once if that is not how this
/// service becomes ready.
pub(super) async fn answers(ready: &Ready, pid: i32) {
    let mut wait = LEAST;
    while !timeout(TRY, connects(ready, pid)).await.unwrap_or(false) {
        sleep(wait).await;
        wait = (wait * 2).min(MOST);
    }
}

async fn connects(ready: &Ready, pid: i32) -> bool {
    match ready {
        Ready::Tcp(port) => TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, *port)))
            .await
            .is_ok(),
        Ready::Unix(path) => UnixStream::connect(format!("/proc/{pid}/root{path}"))
            .await
            .is_ok(),
        Ready::Started | Ready::Notify => true,
    }
}
