//! Links, addresses and routes over rtnetlink.

use crate::plan::network::{Link, Step};
use futures_util::StreamExt;
use futures_util::TryStreamExt;
use nix::libc;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkInfo, LinkLayerType, LinkMessage};
use rtnetlink::packet_route::route::{RouteFlags, RouteMessage};
use rtnetlink::{
    Error, Handle, LinkMessageBuilder, LinkUnspec, MulticastGroup, RouteMessageBuilder,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tokio::sync::mpsc::UnboundedSender;

/// The loopback link's index: the first link of every network namespace.
const LOOPBACK: u32 = 1;

/// The kernel's network, and what we have set of it.
pub(crate) struct Network {
    handle: Handle,
    applied: BTreeSet<Step>,
}

impl Network {
    /// Connects, and sends a word to `changes` whenever a link or an address comes, changes or goes.
    ///
    /// # Errors
    /// If there is no rtnetlink, or no descriptor left.
    pub(crate) fn open(changes: UnboundedSender<()>) -> io::Result<Self> {
        let groups = [
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
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
        })
    }

    /// Brings the loopback link up; the kernel gives it 127.0.0.1 and ::1.
    pub(crate) async fn loopback_up(&self) -> Result<(), Error> {
        self.handle
            .link()
            .set(LinkUnspec::new_with_index(LOOPBACK).up().build())
            .execute()
            .await
    }

    /// The Ethernet links that are no bridge, tunnel or container's end.
    pub(crate) async fn links(&self) -> Result<BTreeSet<Link>, Error> {
        let links: Vec<LinkMessage> = self.handle.link().get().execute().try_collect().await?;
        Ok(links.iter().filter_map(hardware_link).collect())
    }

    /// Sets what `steps` name and was not set before, removes what they no longer name. A step
    /// that fails is reported and tried again the next time.
    pub(crate) async fn apply(&mut self, steps: &[Step]) {
        let wanted: BTreeSet<Step> = steps.iter().cloned().collect();
        for gone in self
            .applied
            .difference(&wanted)
            .cloned()
            .collect::<Vec<_>>()
        {
            self.applied.remove(&gone);
            report("remove", &gone, self.unset(&gone).await);
        }
        for step in steps {
            if self.applied.contains(step) {
                continue;
            }
            let result = self.set(step).await;
            if result.is_ok() {
                self.applied.insert(step.clone());
            }
            report("set", step, result);
        }
    }

    async fn set(&self, step: &Step) -> Result<(), Error> {
        match step {
            Step::Up { index, mtu } => {
                let set = |link: LinkMessageBuilder<LinkUnspec>| {
                    self.handle.link().set(link.build()).execute()
                };
                let link = || LinkUnspec::new_with_index(*index);
                if let Some(mtu) = mtu {
                    if let Err(error) = set(link().mtu(*mtu)).await {
                        // Better a link with another size than none: not every card can do every one.
                        log::warn!("network: link {index}: MTU {mtu}: {error}");
                    }
                }
                set(link().up()).await
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

    /// Takes back an address or a route; a link stays up.
    async fn unset(&self, step: &Step) -> Result<(), Error> {
        match step {
            Step::Up { .. } => Ok(()),
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

    /// Every address of the given links that reaches beyond the link: name and `ADDRESS/PREFIX`.
    pub(crate) async fn addresses(
        &self,
        links: &BTreeSet<Link>,
    ) -> Result<Vec<(String, String)>, Error> {
        let names: BTreeMap<u32, &str> = links
            .iter()
            .map(|link| (link.index, link.name.as_str()))
            .collect();
        let messages: Vec<AddressMessage> =
            self.handle.address().get().execute().try_collect().await?;
        let global = |message: &AddressMessage| {
            let name = names.get(&message.header.index)?;
            let address = address_of(message).filter(|address| !is_link_local(address))?;
            Some((
                (*name).to_owned(),
                format!("{address}/{}", message.header.prefix_len),
            ))
        };
        Ok(messages.iter().filter_map(global).collect())
    }
}

/// The route of what has no other way, through `gateway` on the link `index`. The number is its metric, too: of two
/// routes with the same one the second would take the place of the first (`ip-route(8)`), and the first link goes first.
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

/// A route goes with its link, and may have gone with its address.
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

fn report(what: &str, step: &Step, result: Result<(), Error>) {
    match result {
        Ok(()) => log::debug!("network: {what} {step:?}"),
        Err(error) => log::warn!("network: {what} {step:?}: {error}"),
    }
}

fn is_change(message: &NetlinkMessage<RouteNetlinkMessage>) -> bool {
    use RouteNetlinkMessage::{DelAddress, DelLink, NewAddress, NewLink};
    matches!(
        &message.payload,
        // One that ran over may have lost any of them.
        NetlinkPayload::InnerMessage(NewLink(_) | DelLink(_) | NewAddress(_) | DelAddress(_))
            | NetlinkPayload::Overrun(_)
    )
}

/// A link of Ethernet type that no software made: those name their kind in `IFLA_INFO_KIND`.
fn hardware_link(message: &LinkMessage) -> Option<Link> {
    let software = |attribute: &LinkAttribute| matches!(attribute, LinkAttribute::LinkInfo(infos) if infos.iter().any(|info| matches!(info, LinkInfo::Kind(_))));
    if message.header.link_layer_type != LinkLayerType::Ether
        || message.attributes.iter().any(software)
    {
        return None;
    }
    message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(Link {
                index: message.header.index,
                name: name.clone(),
            }),
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
