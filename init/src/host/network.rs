//! What a change of the network means to the machine.

use super::{Configured, DHCP, Host, NETWORK_PATIENCE};
use crate::clock::since_boot;
use crate::supervisor::Event;
use crate::timeline::NETWORK;
use tare_config::service::Condition;

impl Host {
    /// Has the links set, and passes on what came of it.
    pub(super) fn refresh_network(&mut self) {
        if self.configured == Configured::No {
            return;
        }
        self.end_leases();
        let outlook = self.network.refresh(&self.machine);
        self.write(vec![outlook.addresses]);
        self.supervisor.set_arguments(DHCP, outlook.dhcp);
        if outlook.online {
            self.network_online();
        }
    }

    /// Forgets what leases that are over said, and looks again when the next one is.
    fn end_leases(&mut self) {
        let (ended, next) = self.network.end_leases();
        self.timers.lease = next.map(|wait| self.after(wait, Event::LeaseLate));
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
                "network: no default route after {} s, continuing",
                NETWORK_PATIENCE.as_secs()
            );
            self.network_online();
        }
    }
}
