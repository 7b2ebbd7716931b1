//! SRV records (RFC 2782): records and the addresses of their targets in, weighted answers out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use hickory_resolver::proto::rr::rdata::SRV;

/// Records by priority, the lowest first. A target of `.` says that there is no such service.
pub(super) fn by_priority(records: impl IntoIterator<Item = SRV>) -> Vec<Vec<SRV>> {
    let mut groups: BTreeMap<u16, Vec<SRV>> = BTreeMap::new();
    let usable = |record: &SRV| !record.target.is_root() && record.port != 0;
    for record in records.into_iter().filter(usable) {
        groups.entry(record.priority).or_default().push(record);
    }
    groups.into_values().collect()
}

/// A record whose target has been looked up.
#[derive(Clone, Debug)]
pub(super) struct Host {
    /// As in the record; 0 takes part with the least there is.
    pub weight: u16,
    /// As in the record.
    pub port: u16,
    /// Maybe none.
    pub addresses: BTreeSet<IpAddr>,
}

/// The sockets of hosts with their weights. A host's weight is shared by its addresses, so that
/// one known by IPv4 and IPv6 counts no more than its neighbour.
pub(super) fn weigh(hosts: &[Host]) -> BTreeMap<SocketAddr, u16> {
    let heaviest = hosts.iter().map(|host| u64::from(host.weight.max(1))).max().unwrap_or(1);
    // A common multiple of the numbers of addresses makes the shares whole numbers.
    let counts = hosts.iter().map(|host| host.addresses.len() as u64).filter(|&count| count > 0);
    let room = u64::from(u16::MAX) / heaviest;
    let scale = counts.fold(1, |all, count| lcm(all, count).min(room));
    let mut sockets = BTreeMap::new();
    for host in hosts {
        let whole = u64::from(host.weight.max(1)) * scale;
        for &ip in &host.addresses {
            let share = (whole / host.addresses.len() as u64).max(1) as u16;
            let weight: &mut u16 = sockets.entry(SocketAddr::new(ip, host.port)).or_default();
            *weight = weight.saturating_add(share);
        }
    }
    sockets
}

fn lcm(a: u64, b: u64) -> u64 {
    let (mut gcd, mut rest) = (a, b);
    while rest != 0 {
        (gcd, rest) = (rest, gcd % rest);
    }
    a / gcd.max(1) * b
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::rr::Name;

    fn host(weight: u16, port: u16, addresses: &[&str]) -> Host {
        Host { weight, port, addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect() }
    }

    fn weighed(hosts: &[Host]) -> Vec<(String, u16)> {
        weigh(hosts).into_iter().map(|(socket, weight)| (socket.to_string(), weight)).collect()
    }

    #[test]
    fn weights_stay_as_they_are_and_none_is_zero() {
        let hosts = [host(70, 80, &["192.0.2.1"]), host(0, 81, &["192.0.2.2"])];
        assert_eq!(
            weighed(&hosts),
            [("192.0.2.1:80".to_string(), 70), ("192.0.2.2:81".to_string(), 1)]
        );
        assert_eq!(weighed(&[host(5, 80, &[])]), []);
    }

    #[test]
    fn a_host_with_two_addresses_counts_no_more_than_one_with_one() {
        let both = host(10, 80, &["192.0.2.1", "2001:db8::1"]);
        let hosts = [both.clone(), host(10, 80, &["192.0.2.2"])];
        let weights: Vec<u16> = weigh(&hosts).into_values().collect();
        assert_eq!(weights, [10, 20, 10]);
        // Where there is no room for whole shares they are as near as can be.
        let hosts = [Host { weight: 65_535, ..both }, host(65_535, 80, &["192.0.2.2"])];
        let weights: Vec<u16> = weigh(&hosts).into_values().collect();
        assert_eq!(weights, [32_767, 65_535, 32_767]);
    }

    #[test]
    fn records_for_the_same_place_add_up() {
        let hosts = [host(10, 80, &["192.0.2.1"]), host(5, 80, &["192.0.2.1"])];
        assert_eq!(weighed(&hosts), [("192.0.2.1:80".to_string(), 15)]);
    }

    #[test]
    fn priorities_come_in_order_and_without_what_names_no_place() {
        let record = |priority, port, target: &str| {
            SRV::new(priority, 1, port, Name::from_ascii(target).unwrap())
        };
        let groups = by_priority([
            record(20, 80, "b."),
            record(10, 80, "a."),
            record(10, 0, "c."),
            record(0, 80, "."),
            record(20, 81, "d."),
        ]);
        let targets: Vec<Vec<String>> = groups
            .iter()
            .map(|group| group.iter().map(|record| record.target.to_ascii()).collect())
            .collect();
        assert_eq!(targets, [vec!["a."], vec!["b.", "d."]]);
    }
}
