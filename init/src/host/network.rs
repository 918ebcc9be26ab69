//! What a change of the network means to the machine.

use super::{DHCP, Host, NETWORK_PATIENCE};
use crate::clock::since_boot;
use crate::timeline::NETWORK;
use tare_config::service::Condition;

impl Host {
    /// Sets the links, and tells who must know what came of it.
    pub(super) async fn refresh_network(&mut self) {
        if !self.configured {
            return;
        }
        let outlook = self.network.refresh(&self.machine).await;
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
