//! What a change of the network means to the machine.

use super::{Configured, DHCP, Host, NETWORK_PATIENCE};
use crate::clock::since_boot;
use crate::network::PATIENCE;
use crate::supervisor::Event;
use crate::timeline::NETWORK;
use std::time::Duration;
use tare_config::service::Condition;
use tokio::time::timeout;

/// Where the kernel did not answer, it is asked again after this long.
const PAUSE: Duration = Duration::from_secs(1);

impl Host {
    /// Sets the links, and tells who must know what came of it.
    pub(super) async fn refresh_network(&mut self) {
        if self.configured == Configured::No {
            return;
        }
        self.end_leases();
        let refresh = self.network.refresh(&self.machine);
        let Ok(outlook) = timeout(PATIENCE, refresh).await else {
            log::error!("network: the kernel does not answer");
            self.timers.kernel = Some(self.after(PAUSE, Event::NetworkChanged));
            return;
        };
        self.write(vec![outlook.addresses]);
        self.supervisor.set_arguments(DHCP, outlook.dhcp);
        if outlook.online {
            self.network_online();
        }
    }

    /// Forgets what leases that are over said, and looks again when the next one is.
    fn end_leases(&mut self) {
        let (ended, next) = self.network.end_leases();
        self.timers.lease = next.map(|wait| self.after(wait, Event::NetworkChanged));
        if ended {
            self.write_facts();
        }
    }

    fn network_online(&mut self) {
        self.timers.network = None;
        self.timeline.stage_ended(NETWORK, since_boot());
        self.supervisor.set(Condition::NetworkOnline);
    }

    /// What waits for the network goes on without: the network may come later, or never.
    pub(super) fn network_late(&mut self) {
        if !self.supervisor.holds(&Condition::NetworkOnline) {
            log::warn!(
                "network: no way out after {} s; going on",
                NETWORK_PATIENCE.as_secs()
            );
            self.network_online();
        }
    }
}
