//! Which address a call is counted for.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use tonic::codegen::http::HeaderMap;

/// How much of an IPv6 address names a caller: he has all addresses of his network.
const IPV6_NETWORK: u128 = u128::MAX << 64;

/// Returns the address that a call is counted for: the peer's, or, where that is a proxy that we trust,
/// the one that it says it was called from, and so on. What stands further left in `x-forwarded-for`
/// than the first address that we do not trust was written by nobody we know.
pub(super) fn of_caller(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let values = headers.get_all("x-forwarded-for").iter().rev();
    let mut forwarded = values.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
    let mut address = peer.to_canonical();
    while trusted.iter().any(|network| network.contains(&address)) {
        match forwarded.next().and_then(parse) {
            Some(caller) => address = caller,
            None => break,
        }
    }
    network(address)
}

/// Reads an address, which some proxies write with a port.
fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = text
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & IPV6_NETWORK).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(peer: &str, forwarded: &[&str], trusted: &[&str], expected: &str) {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|text| text.parse().unwrap()).collect();
        let address = of_caller(peer.parse().unwrap(), &headers, &trusted);
        assert_eq!(address.to_string(), expected, "{peer} {forwarded:?}");
    }

    #[test]
    fn nobody_is_believed_unless_he_is_trusted() {
        check("203.0.113.7", &["198.51.100.1"], &[], "203.0.113.7");
        let elsewhere = &["10.0.0.0/8"];
        check("203.0.113.7", &["198.51.100.1"], elsewhere, "203.0.113.7");
    }

    #[test]
    fn behind_proxies_the_right_most_address_that_is_not_trusted_counts() {
        let proxies = &["10.0.0.0/8", "fd00::/8"];
        check("10.0.0.1", &["198.51.100.1"], proxies, "198.51.100.1");
        let forged = &["1.1.1.1, 198.51.100.1, 10.0.0.2"];
        check("10.0.0.1", forged, proxies, "198.51.100.1");
        // Two headers are one list.
        let split = &["1.1.1.1", "198.51.100.1", "fd00::2"];
        check("10.0.0.1", split, proxies, "198.51.100.1");
        check(
            "::ffff:10.0.0.1",
            &["198.51.100.1"],
            proxies,
            "198.51.100.1",
        );
        check("10.0.0.1", &["198.51.100.1:4711"], proxies, "198.51.100.1");
        check("10.0.0.1", &["[2001:db8::1]:4711"], proxies, "2001:db8::");
    }

    #[test]
    fn what_a_proxy_does_not_say_is_its_own() {
        let proxies = &["10.0.0.0/8"];
        check("10.0.0.1", &[], proxies, "10.0.0.1");
        check("10.0.0.1", &["198.51.100.1, unknown"], proxies, "10.0.0.1");
        check("10.0.0.1", &["198.51.100.1, é"], proxies, "10.0.0.1");
        check("10.0.0.1", &["10.0.0.9, 10.0.0.2"], proxies, "10.0.0.9");
    }

    #[test]
    fn an_ipv6_caller_is_his_network() {
        check("2001:db8:1:2:3:4:5:6", &[], &[], "2001:db8:1:2::");
        check("2001:db8:1:2::9", &[], &[], "2001:db8:1:2::");
        check("2001:db8:1:3::9", &[], &[], "2001:db8:1:3::");
    }
}
