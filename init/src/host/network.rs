//! How the machine handles changes of the network.

use super::{Configured, DHCP, Host, NETWORK_PATIENCE};
use crate::clock::since_boot;
use crate::event::NetworkEvent;
use crate::timeline::NETWORK;
use tare_config::service::Condition;

impl Host {
    pub(super) fn take_network(&mut self, event: NetworkEvent) {
        match event {
            NetworkEvent::ColdPlugged => self.network.cold_plugged(),
            NetworkEvent::Changed(report) => {
                if self.network.reported(report) && self.configured != Configured::No {
                    self.write_facts();
                    // Its sockets are those of the link that has gone, even if there is another of the same name.
                    self.supervisor.set_arguments(DHCP, Vec::new());
                }
            }
            NetworkEvent::LeaseLate => {}
            NetworkEvent::Late => return self.network_late(),
        }
        self.refresh_network();
    }

    /// Configures the links, and passes on the result.
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

    /// Drops expired leases, and sets a timer for the next expiry.
    fn end_leases(&mut self) {
        let (ended, next) = self.network.end_leases();
        self.timers.lease = next.map(|wait| self.after(wait, NetworkEvent::LeaseLate));
        if ended {
            self.write_facts();
        }
    }

    fn network_online(&mut self) {
        self.timers.network = None;
        self.timeline.stage_ended(NETWORK, since_boot());
        self.supervisor.set(Condition::NetworkOnline);
    }

    /// Starts the services that wait for the network without it: it may come later, or never.
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
