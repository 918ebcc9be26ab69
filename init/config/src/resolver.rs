//! What containers have in place of the machine's resolvers.

use std::net::Ipv4Addr;

/// The resolvers of containers. A container's `resolv.conf` is written when it starts, but the machine's resolvers may
/// come later and change. So containers name these addresses of the loopback link, which PID 1 sets, and `tare-engine`
/// has the kernel send what they ask there to the machine's resolvers of the moment. There are three, as many as the C
/// library uses (`MAXNS`, resolv.conf(5)). They are link-local (RFC 3927), so that no network has them.
pub const RESOLVER_ADDRESSES: [Ipv4Addr; 3] = [
    Ipv4Addr::new(169, 254, 53, 1),
    Ipv4Addr::new(169, 254, 53, 2),
    Ipv4Addr::new(169, 254, 53, 3),
];
