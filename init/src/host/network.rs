//! What a change of the network means to the machine.

use super::{DHCP, Host, NETWORK_PATIENCE};
use crate::clock::since_boot;
use crate::supervisor::Event;
use crate::timeline::NETWORK;
use std::time::Duration;
use tare_config::service::Condition;
use tokio::time::timeout;

/// The kernel drops answers for which it has no room; then it is asked again after this long.
const KERNEL_PATIENCE: Duration = Duration::from_secs(10);

impl Host {
    /// Sets the links, and tells who must know what came of it.
    pub(super) async fn refresh_network(&mut self) {
        if !self.configured {
            return;
        }
        let refresh = self.network.refresh(&self.machine);
        let Ok(outlook) = timeout(KERNEL_PATIENCE, refresh).await else {
            log::error!("network: the kernel does not answer");
            self.later(KERNEL_PATIENCE, Event::NetworkChanged);
            return;
        };
        self.write(vec![outlook.addresses]);
        self.supervisor.set_arguments(DHCP, outlook.dhcp);
        if outlook.online {
            self.network_online();
        }
    }

    fn network_online(&mut self) {
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
