//! The machine's network as it is now: links, leases, and what follows from them.

use crate::effect::netlink;
use crate::plan;
use crate::plan::facts::{Fact, Leases};
use crate::plan::network::{Lease, Link};
use std::collections::BTreeSet;
use std::io;
use std::time::Duration;
use tare_config::Machine;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Changes within this time are one: a container that starts makes a dozen.
const SETTLE: Duration = Duration::from_millis(100);

/// What a look at the network gives.
pub(crate) struct Outlook {
    /// The links that want a lease.
    pub(crate) dhcp: Vec<String>,
    /// Whether there is a way out, or none will come.
    pub(crate) online: bool,
    /// The machine's addresses.
    pub(crate) addresses: Fact,
}

/// The machine's network.
pub(crate) struct Network {
    kernel: netlink::Network,
    links: BTreeSet<Link>,
    pub(crate) leases: Leases,
}

impl Network {
    /// Connects; `changed` is called when something changed, at most every 100 ms.
    pub(crate) fn open(changed: impl Fn() -> bool + 'static) -> io::Result<Self> {
        let (sender, receiver): (UnboundedSender<()>, _) = unbounded_channel();
        let kernel = netlink::Network::open(sender)?;
        tokio::task::spawn_local(settle(receiver, changed));
        Ok(Self {
            kernel,
            links: BTreeSet::new(),
            leases: Leases::new(),
        })
    }

    /// Brings the loopback link up.
    pub(crate) async fn loopback_up(&self) {
        if let Err(error) = self.kernel.loopback_up().await {
            log::error!("network: loopback: {error}");
        }
    }

    /// Sets what configuration and leases say on the links that are there.
    pub(crate) async fn refresh(&mut self, machine: &Machine) -> Outlook {
        match self.kernel.links().await {
            Ok(links) => self.links = links,
            Err(error) => log::error!("network: links: {error}"),
        }
        let steps = plan::network::plan(machine, &self.links, &self.leases);
        self.kernel.apply(&steps).await;
        let addresses = self.kernel.addresses(&self.links).await.unwrap_or_default();
        Outlook {
            dhcp: plan::network::dhcp_links(machine, &self.links),
            online: plan::network::is_online(machine, &self.links, &steps),
            addresses: plan::facts::addresses(&addresses),
        }
    }

    /// Takes a lease as the `dhcp` service reports it, for a link that wants one.
    pub(crate) fn lease(&mut self, machine: &Machine, json: &str) {
        match serde_json::from_str::<Lease>(json) {
            Ok(lease) if !self.wants_lease(machine, &lease.interface) => {
                log::debug!("network: a lease for {:?} is of no use", lease.interface);
            }
            Ok(lease) => {
                log::info!("network: {} has {} by DHCP", lease.interface, lease.address);
                self.leases.insert(lease.interface.clone(), lease);
            }
            Err(error) => log::warn!("network: lease refused: {error}"),
        }
    }

    fn wants_lease(&self, machine: &Machine, interface: &str) -> bool {
        let links = plan::network::dhcp_links(machine, &self.links);
        links.iter().any(|link| link == interface)
    }

    /// Forgets a lease that has run out.
    pub(crate) fn lease_lost(&mut self, interface: &str) {
        if self.leases.remove(interface).is_some() {
            log::warn!("network: the lease of {interface} has run out");
        }
    }
}

async fn settle(mut changes: UnboundedReceiver<()>, changed: impl Fn() -> bool) {
    while changes.recv().await.is_some() && changed() {
        tokio::time::sleep(SETTLE).await;
        while changes.try_recv().is_ok() {}
        // What changed while we slept is seen by one more look.
        if !changed() {
            return;
        }
    }
}
