//! Links, addresses and routes over rtnetlink.

use crate::network::Report;
use crate::plan::network::{Link, Step};
use futures_util::StreamExt;
use futures_util::TryStreamExt;
use nix::libc;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use rtnetlink::packet_route::link::{
    LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteType,
};
use rtnetlink::{Error, Handle, LinkUnspec, MulticastGroup, RouteMessageBuilder};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tare_config::RESOLVER_ADDRESSES;
use tokio::sync::mpsc::UnboundedSender;

/// The loopback link's index: the first link of every network namespace.
const LOOPBACK: u32 = 1;

/// The kernel's network, and what we have set in it.
pub(crate) struct Kernel {
    handle: Handle,
    /// Steps to revert once no plan names them.
    applied: BTreeSet<Step>,
    /// The MTU of each link before we changed it.
    mtus: BTreeMap<u32, u32>,
    /// MTUs that a link's driver has refused, by link.
    refused_mtus: BTreeSet<(u32, u32)>,
    /// The last error of each failed step, so that it is logged once.
    failures: BTreeMap<Step, String>,
}

/// A snapshot of the kernel's network.
struct Found {
    links: Vec<LinkMessage>,
    addresses: Vec<AddressMessage>,
    /// Default routes of the main table.
    routes: Vec<RouteMessage>,
}

impl Kernel {
    /// Connects, and sends to `changes` whenever a link, an address or a route is added, changed or removed.
    ///
    /// # Errors
    /// If there is no rtnetlink, or no descriptor left.
    pub(crate) fn open(changes: UnboundedSender<()>) -> io::Result<Self> {
        let groups = [
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv6Route,
        ];
        let (connection, handle, mut messages) = rtnetlink::new_multicast_connection(&groups)?;
        tokio::task::spawn_local(connection);
        tokio::task::spawn_local(async move {
            while let Some((message, _)) = messages.next().await {
                if is_change(&message) && changes.send(()).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            handle,
            applied: BTreeSet::new(),
            mtus: BTreeMap::new(),
            refused_mtus: BTreeSet::new(),
            failures: BTreeMap::new(),
        })
    }

    /// Brings the loopback link up; the kernel gives it 127.0.0.1 and ::1. Adds the resolvers of containers.
    pub(crate) async fn loopback_up(&self) -> Result<(), Error> {
        self.handle
            .link()
            .set(LinkUnspec::new_with_index(LOOPBACK).up().build())
            .execute()
            .await?;
        for address in RESOLVER_ADDRESSES {
            let addresses = self.handle.address();
            let mut add = addresses.add(LOOPBACK, address.into(), 32).replace();
            // With a wider scope, the kernel would use it as source address on links that have none.
            add.message_mut().header.scope = AddressScope::Host;
            add.execute().await?;
        }
        Ok(())
    }

    /// Reports the kernel's current network.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub(crate) async fn report(&self) -> Result<Report, Error> {
        let found = self.find().await?;
        let links: BTreeSet<Link> = found.links.iter().filter_map(hardware_link).collect();
        let carrier = |link: &&LinkMessage| link.header.flags.contains(LinkFlags::LowerUp);
        let carriers = found.links.iter().filter(carrier);
        let carriers = carriers.filter_map(hardware_link).map(|link| link.name);
        Ok(Report {
            carriers: carriers.collect(),
            addresses: global_addresses(&links, &found.addresses),
            routed: !found.routes.is_empty(),
            links,
        })
    }

    /// Applies those of `steps` that are not in effect, and reverts earlier ones that `steps` does not contain. A
    /// step that fails is reported and left for the next call. Returns whether none did.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub(crate) async fn apply(&mut self, steps: &[Step]) -> Result<bool, Error> {
        let found = self.find().await?;
        let names = found.names();
        let wanted: BTreeSet<Step> = steps.iter().cloned().collect();
        self.failures.retain(|step, _| wanted.contains(step));
        for gone in self
            .applied
            .difference(&wanted)
            .cloned()
            .collect::<Vec<_>>()
        {
            self.applied.remove(&gone);
            let result = self.unset(&gone, &wanted).await;
            self.note("cannot remove", &gone, &names, result);
        }
        let mut complete = true;
        for step in steps {
            if !found.has(step) {
                let result = self.set(step, &found).await;
                complete &= result.is_ok();
                self.note("cannot set", step, &names, result);
            }
            self.applied.insert(step.clone());
        }
        Ok(complete)
    }

    async fn find(&self) -> Result<Found, Error> {
        let mut routes = Vec::new();
        for message in [
            RouteMessageBuilder::<Ipv4Addr>::new().build(),
            RouteMessageBuilder::<Ipv6Addr>::new().build(),
        ] {
            let mut all = Box::pin(self.handle.route().get(message).execute());
            while let Some(route) = all.try_next().await? {
                if is_default(&route) {
                    routes.push(route);
                }
            }
        }
        Ok(Found {
            links: self.handle.link().get().execute().try_collect().await?,
            addresses: self.handle.address().get().execute().try_collect().await?,
            routes,
        })
    }

    async fn set(&mut self, step: &Step, found: &Found) -> Result<(), Error> {
        match step {
            Step::Up { index, mtu } => {
                if let Some(mtu) = mtu {
                    if let Some(before) = found.mtu(*index) {
                        self.mtus.entry(*index).or_insert(before);
                    }
                    self.set_mtu(*index, *mtu, &found.names()).await;
                }
                if let Some(name) = found.names().get(index) {
                    accept_advertisements(name);
                }
                let up = LinkUnspec::new_with_index(*index).up().build();
                self.handle.link().set(up).execute().await
            }
            Step::Address {
                index,
                address,
                prefix,
            } => {
                self.handle
                    .address()
                    .add(*index, *address, *prefix)
                    .replace()
                    .execute()
                    .await
            }
            Step::DefaultRoute { index, gateway } => {
                let route = self.handle.route().add(default_route(*index, *gateway));
                route.replace().execute().await
            }
        }
    }

    /// A link with another MTU is better than none: not every card supports every MTU.
    async fn set_mtu(&mut self, index: u32, mtu: u32, names: &BTreeMap<u32, &str>) {
        let link = LinkUnspec::new_with_index(index).mtu(mtu).build();
        if let Err(error) = self.handle.link().set(link).execute().await {
            if self.refused_mtus.insert((index, mtu)) {
                let (name, why) = (name(index, names), why(&error));
                log::warn!("network: cannot set MTU {mtu} of {name}: {why}");
            }
        }
    }

    /// Reverts an address, a route or an MTU; a link stays up.
    async fn unset(&mut self, step: &Step, wanted: &BTreeSet<Step>) -> Result<(), Error> {
        match step {
            Step::Up { index, .. } => {
                let sized = |step: &Step| matches!(step, Step::Up { index: other, mtu: Some(_) } if other == index);
                match self.mtus.get(index) {
                    Some(mtu) if !wanted.iter().any(sized) => {
                        let link = LinkUnspec::new_with_index(*index).mtu(*mtu).build();
                        let set = self.handle.link().set(link).execute().await;
                        self.mtus.remove(index);
                        set.or_else(gone)
                    }
                    _ => Ok(()),
                }
            }
            Step::Address { index, address, .. } => self.remove_address(*index, *address).await,
            Step::DefaultRoute { index, gateway } => {
                let route = self.handle.route().del(default_route(*index, *gateway));
                route.execute().await.or_else(gone)
            }
        }
    }

    async fn remove_address(&self, index: u32, address: IpAddr) -> Result<(), Error> {
        let addresses = self.handle.address();
        let mut all = addresses.get().set_link_index_filter(index).execute();
        while let Some(message) = all.try_next().await? {
            if address_of(&message) == Some(address) {
                return self.handle.address().del(message).execute().await;
            }
        }
        Ok(())
    }

    /// Reports a failure unless it is the same as the last one of this step.
    fn note(
        &mut self,
        what: &str,
        step: &Step,
        names: &BTreeMap<u32, &str>,
        result: Result<(), Error>,
    ) {
        match result {
            Ok(()) => drop(self.failures.remove(step)),
            Err(error) => {
                let text = format!("{what} {}: {}", described(step, names), why(&error));
                if self.failures.insert(step.clone(), text.clone()).as_ref() != Some(&text) {
                    log::warn!("network: {text}");
                }
            }
        }
    }
}

impl Found {
    fn names(&self) -> BTreeMap<u32, &str> {
        let name = |link| name_of(link).map(|name| (link.header.index, name));
        self.links.iter().filter_map(name).collect()
    }

    /// Whether `step` is already in effect.
    fn has(&self, step: &Step) -> bool {
        match step {
            Step::Up { index, mtu } => {
                let mut links = self.links.iter();
                let link = links.find(|link| link.header.index == *index);
                let is_up = link.is_some_and(|link| link.header.flags.contains(LinkFlags::Up));
                let accepts = self
                    .names()
                    .get(index)
                    .is_none_or(|name| accepts_advertisements(name));
                is_up && accepts && mtu.is_none_or(|mtu| self.mtu(*index) == Some(mtu))
            }
            Step::Address {
                index,
                address,
                prefix,
            } => self.addresses.iter().any(|message| {
                message.header.index == *index
                    && message.header.prefix_len == *prefix
                    && address_of(message) == Some(*address)
            }),
            Step::DefaultRoute { index, gateway } => self.routes.iter().any(|route| {
                let has = |wanted: &RouteAttribute| route.attributes.contains(wanted);
                has(&RouteAttribute::Oif(*index))
                    && has(&RouteAttribute::Priority(*index))
                    && has(&RouteAttribute::Gateway(RouteAddress::from(*gateway)))
            }),
        }
    }

    fn mtu(&self, index: u32) -> Option<u32> {
        let link = self.links.iter().find(|link| link.header.index == index)?;
        link.attributes
            .iter()
            .find_map(|attribute| match attribute {
                LinkAttribute::Mtu(mtu) => Some(*mtu),
                _ => None,
            })
    }
}

/// Router advertisements are followed even if the machine forwards IPv6, which it does as soon as a container has a
/// network with it (`accept_ra`, Documentation/networking/ip-sysctl.rst).
const EVEN_IF_FORWARDING: &str = "2";

fn accept_ra(link: &str) -> String {
    format!("/proc/sys/net/ipv6/conf/{link}/accept_ra")
}

/// True also on a kernel without IPv6.
fn accepts_advertisements(link: &str) -> bool {
    let value = std::fs::read_to_string(accept_ra(link));
    value.map_or(true, |value| value.trim_end() == EVEN_IF_FORWARDING)
}

fn accept_advertisements(link: &str) {
    if let Err(error) = std::fs::write(accept_ra(link), EVEN_IF_FORWARDING) {
        log::debug!("network: {}: {error}", accept_ra(link));
    }
}

/// The name of the link `index`, which may be gone.
fn name(index: u32, names: &BTreeMap<u32, &str>) -> String {
    let name = names.get(&index).map(|name| (*name).to_owned());
    name.unwrap_or_else(|| format!("link {index}"))
}

/// `step` in words.
fn described(step: &Step, names: &BTreeMap<u32, &str>) -> String {
    match step {
        Step::Up { index, .. } => format!("{} up", name(*index, names)),
        Step::Address {
            index,
            address,
            prefix,
        } => format!("address {address}/{prefix} of {}", name(*index, names)),
        Step::DefaultRoute { index, gateway } => {
            let name = name(*index, names);
            format!("default route through {gateway} on {name}")
        }
    }
}

/// The kernel's error text, without the library's.
fn why(error: &Error) -> String {
    match error {
        Error::NetlinkError(message) => message.to_io().to_string(),
        other => other.to_string(),
    }
}

/// Every address of the given links that is neither link-local nor loopback: name and `ADDRESS/PREFIX`.
fn global_addresses(links: &BTreeSet<Link>, messages: &[AddressMessage]) -> Vec<(String, String)> {
    let names: BTreeMap<u32, &str> = links
        .iter()
        .map(|link| (link.index, link.name.as_str()))
        .collect();
    let global = |message: &AddressMessage| {
        let name = names.get(&message.header.index)?;
        let address = address_of(message).filter(|address| !is_link_local(address))?;
        Some((
            (*name).to_owned(),
            format!("{address}/{}", message.header.prefix_len),
        ))
    };
    messages.iter().filter_map(global).collect()
}

/// Whether `route` is a default route of the main table that leads somewhere: an `unreachable` one does not.
fn is_default(route: &RouteMessage) -> bool {
    route.header.destination_prefix_length == 0
        && route.header.table == RouteHeader::RT_TABLE_MAIN
        && route.header.kind == RouteType::Unicast
}

/// The default route through `gateway` on the link `index`. The index is its metric too: of two routes with the same
/// metric, the second would replace the first (`ip-route(8)`). The link with the lowest index is preferred.
fn default_route(index: u32, gateway: IpAddr) -> RouteMessage {
    let mut route = match gateway {
        IpAddr::V4(gateway) => RouteMessageBuilder::<Ipv4Addr>::new()
            .gateway(gateway)
            .output_interface(index)
            .priority(index)
            .build(),
        IpAddr::V6(gateway) => RouteMessageBuilder::<Ipv6Addr>::new()
            .gateway(gateway)
            .output_interface(index)
            .priority(index)
            .build(),
    };
    // A lease may name a gateway outside its own network (RFC 3442 routes, /32 addresses).
    route.header.flags |= RouteFlags::Onlink;
    route
}

/// Ignores what is already gone: a route goes away with its link, and perhaps with its address.
fn gone(error: Error) -> Result<(), Error> {
    match &error {
        Error::NetlinkError(message)
            if [-libc::ESRCH, -libc::ENODEV].contains(&message.raw_code()) =>
        {
            Ok(())
        }
        _ => Err(error),
    }
}

fn is_change(message: &NetlinkMessage<RouteNetlinkMessage>) -> bool {
    use RouteNetlinkMessage::{DelAddress, DelLink, DelRoute, NewAddress, NewLink, NewRoute};
    matches!(
        &message.payload,
        // An overrun may have lost any of these.
        NetlinkPayload::InnerMessage(
            NewLink(_) | DelLink(_) | NewAddress(_) | DelAddress(_) | NewRoute(_) | DelRoute(_)
        ) | NetlinkPayload::Overrun(_)
    )
}

/// An Ethernet link that is not a software device: those name their kind in `IFLA_INFO_KIND`.
fn hardware_link(message: &LinkMessage) -> Option<Link> {
    let software = |attribute: &LinkAttribute| matches!(attribute, LinkAttribute::LinkInfo(infos) if infos.iter().any(|info| matches!(info, LinkInfo::Kind(_))));
    if message.header.link_layer_type != LinkLayerType::Ether
        || message.attributes.iter().any(software)
    {
        return None;
    }
    name_of(message).map(|name| Link {
        index: message.header.index,
        name: name.to_owned(),
    })
}

fn name_of(message: &LinkMessage) -> Option<&str> {
    message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.as_str()),
            _ => None,
        })
}

fn address_of(message: &AddressMessage) -> Option<IpAddr> {
    message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
}

fn is_link_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_loopback(),
        IpAddr::V6(address) => address.is_unicast_link_local() || address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtnetlink::packet_core::{DoneMessage, NetlinkHeader};

    #[test]
    fn a_lost_message_may_have_been_a_change() {
        let link = RouteNetlinkMessage::NewLink(LinkMessage::default());
        let question = RouteNetlinkMessage::GetLink(LinkMessage::default());
        for (payload, want) in [
            (NetlinkPayload::Overrun(Vec::new()), true),
            (NetlinkPayload::InnerMessage(link), true),
            (NetlinkPayload::InnerMessage(question), false),
            (NetlinkPayload::Noop, false),
            (NetlinkPayload::Done(DoneMessage::default()), false),
        ] {
            let message = NetlinkMessage::new(NetlinkHeader::default(), payload);
            assert_eq!(is_change(&message), want, "{message:?}");
        }
    }
}
