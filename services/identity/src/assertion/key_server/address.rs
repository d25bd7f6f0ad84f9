//! Which network addresses keys may be fetched from.
//!
//! Whoever may name an address to a server can let it knock at doors that only that server reaches:
//! its own loopback, its neighbours, its cloud's metadata. So only addresses of the public Internet
//! are connected to, and what counts is the address of the connection, never the name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// Where keys may be fetched from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// From the public Internet alone, over https.
    Public,
    /// From anywhere, also over http: for development, and for shops in one's own network.
    Anywhere,
}

impl Reach {
    /// Returns whether a connection to the address may be opened.
    pub(super) fn covers(self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::Anywhere, _) => true,
            (Self::Public, IpAddr::V4(address)) => {
                !NOT_PUBLIC_V4.iter().any(|net| net.contains(&address))
            }
            (Self::Public, IpAddr::V6(address)) => {
                UNICAST_V6.contains(&address)
                    && !NOT_PUBLIC_V6.iter().any(|net| net.contains(&address))
            }
        }
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix_length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix_length)
}

const fn v6(a: u16, b: u16, prefix_length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix_length)
}

/// The blocks that are not globally reachable, by IANA's registry of special-purpose addresses.
const NOT_PUBLIC_V4: [Ipv4Net; 15] = [
    v4(0, 0, 0, 0, 8),
    v4(10, 0, 0, 0, 8),
    // Carriers' shared addresses, among them a cloud's metadata.
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    // Link-local, among them most clouds' metadata.
    v4(169, 254, 0, 0, 16),
    v4(172, 16, 0, 0, 12),
    v4(192, 0, 0, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(192, 88, 99, 0, 24),
    v4(192, 168, 0, 0, 16),
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    // Multicast, reserved, broadcast.
    v4(224, 0, 0, 0, 3),
    // A cloud's own services, on an address that looks public.
    v4(168, 63, 129, 16, 32),
];

/// All global unicast addresses; loopback, unique local, link-local, multicast and IPv4 in disguise
/// lie outside.
const UNICAST_V6: Ipv6Net = v6(0x2000, 0, 3);

/// What lies inside, and leads elsewhere: protocol assignments with Teredo, documentation, 6to4.
const NOT_PUBLIC_V6: [Ipv6Net; 4] = [
    v6(0x2001, 0, 23),
    v6(0x2001, 0x0db8, 32),
    v6(0x2002, 0, 16),
    v6(0x3fff, 0, 20),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str, is_public: bool) {
        let parsed = address.parse().unwrap();
        assert_eq!(Reach::Public.covers(parsed), is_public, "{address}");
        assert!(Reach::Anywhere.covers(parsed), "{address}");
    }

    #[test]
    fn only_the_public_internet_is_reached() {
        for address in [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001::1",
        ] {
            check(address, true);
        }
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.0.1",
            "198.19.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:1.1.1.1",
            "64:ff9b::7f00:1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
        ] {
            check(address, false);
        }
    }
}
