//! The machine's network as it is now: links, leases, and what follows from them.

use crate::clock::since_boot;
use crate::effect::netlink;
use crate::plan;
use crate::plan::facts::{Fact, Leases};
use crate::plan::lease;
use crate::plan::network::Link;
use std::collections::BTreeSet;
use std::io;
use std::time::Duration;
use tare_config::Machine;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

/// Changes within this time are one: a container that starts makes a dozen.
const SETTLE: Duration = Duration::from_millis(100);

/// The kernel drops answers for which it has no room; PID 1 waits no longer than this for one.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

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
    /// Whether the links that were there at the boot are known: some have a driver that is a module.
    cold_plugged: bool,
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
            cold_plugged: false,
        })
    }

    /// The devices that were there at the boot have their modules.
    pub(crate) fn cold_plugged(&mut self) {
        self.cold_plugged = true;
    }

    /// Brings the loopback link up.
    pub(crate) async fn loopback_up(&self) {
        match timeout(PATIENCE, self.kernel.loopback_up()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log::error!("network: loopback: {error}"),
            Err(_) => log::error!("network: loopback: the kernel does not answer"),
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
        let dhcp = plan::network::dhcp_links(machine, &self.links);
        let addresses = self.kernel.addresses(&self.links).await.unwrap_or_default();
        Outlook {
            online: plan::network::is_online(&steps, &dhcp, self.cold_plugged),
            dhcp,
            addresses: plan::facts::addresses(&addresses),
        }
    }

    /// Takes a lease as the `dhcp` service reports it, for a link that wants one.
    pub(crate) fn lease(&mut self, machine: &Machine, json: &str) {
        match lease::read(json, since_boot()) {
            Ok((lease, _)) if !self.wants_lease(machine, &lease.interface) => {
                log::debug!("network: a lease for {:?} is of no use", lease.interface);
            }
            Ok((lease, complaints)) => {
                for complaint in complaints {
                    log::warn!("network: the lease of {}: {complaint}", lease.interface);
                }
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

    /// Forgets the leases that are over, in case `dhcp` cannot tell: one that starts anew knows of none. Whether there were
    /// any, and how long the next one lasts.
    pub(crate) fn end_leases(&mut self) -> (bool, Option<Duration>) {
        let now = since_boot();
        let over = lease::over(&self.leases, now);
        over.iter().for_each(|interface| self.lease_lost(interface));
        let next = lease::first_end(&self.leases).map(|end| end.saturating_sub(now));
        (!over.is_empty(), next)
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
