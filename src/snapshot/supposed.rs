//! A snapshot that nobody is served by: one that was just built in, and perhaps one that is in force; the first
//! with upstreams that stand as they do in the second, out.
//!
//! How they stand is copied, as it goes over to another process. So whoever asks what would become of a
//! request changes nothing of what requests see. What is under way is not copied: nobody is full.

use super::Snapshot;
use crate::clock::Moment;
use crate::upstream::{Address, DialAddress, Proof};

/// Where names lead that nobody has looked up. Nothing is ever dialled there.
const SOMEWHERE: DialAddress = DialAddress::Socket(std::net::SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
    0,
));

impl Snapshot {
    /// Has upstreams stand as they do in what was `seen`. Those that are not there are taken for well, as all
    /// are if nothing was seen, and a name that was not looked up there for one upstream.
    pub fn suppose(&mut self, seen: Option<&Snapshot>, now: Moment) {
        if let Some(seen) = seen {
            self.take_over(&seen.carry(now), now);
        }
        for service in &mut self.services {
            let known = seen.and_then(|seen| seen.service(&service.name));
            for pool in &mut service.pools {
                let known = known.and_then(|known| known.pool(&pool.name));
                let known = known.map_or(&[][..], |known| known.members.list());
                for member in pool.members.list() {
                    let name = &member.upstream.name;
                    if !known.iter().any(|known| known.upstream.name == *name) {
                        member.upstream.set_proof(Proof::Up, now);
                    }
                }
                let is_new =
                    |name: &Address| seen.is_none_or(|seen| !seen.resolved.contains_key(name));
                pool.members.lead_names_to(&SOMEWHERE, is_new);
                pool.assess(&service.stability, now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;
    use crate::config::Config;
    use crate::snapshot::{Blueprint, RunTime};
    use crate::split::Secret;
    use crate::upstream::BreakerOrder;

    fn built(upstreams: &str) -> Snapshot {
        let text = format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\n[services.shop]\nhealth = {{ http = \
             {{ path = \"/\" }} }}\n[services.shop.pools]\nblue.upstreams = [{upstreams}]\n"
        );
        let (config, run_time) = (Config::parse(&text).unwrap().0, RunTime::default());
        let (config, secret, now) = (Arc::new(config), Secret([1; 16]), Instant::now());
        Snapshot::build(&Blueprint { config, run_time: &run_time, secret, now }, None)
    }

    fn why(snapshot: &Snapshot) -> Vec<Option<crate::balance::NotTaken>> {
        let members = snapshot.services[0].pools[0].members.list();
        members.iter().map(|member| member.not_well()).collect()
    }

    const NOW: Moment = Moment::from_micros(100_000_000);

    #[test]
    fn upstreams_stand_as_they_did_and_new_ones_are_well() {
        use crate::balance::NotTaken::{Refusing, Unproven};
        let seen = built(r#""192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:80""#);
        let members = seen.services[0].pools[0].members.list();
        members[0].upstream.set_proof(Proof::Up, NOW);
        members[0].upstream.note_refused(NOW);
        members[1].upstream.set_proof(Proof::Up, NOW);
        let before = format!("{seen:?}");
        let mut next = built(r#""192.0.2.1:80", "192.0.2.3:80", "192.0.2.4:80", "app.test:80""#);
        next.suppose(Some(&seen), NOW);
        assert_eq!(why(&next), [Some(Refusing), Some(Unproven), None, None]);
        // Nothing is shared.
        let next = &next.services[0].pools[0];
        next.members.list()[2].upstream.breaker.set_order(BreakerOrder::Open, NOW);
        next.members.list()[2].upstream.note_breaker(NOW);
        assert_eq!(format!("{seen:?}"), before);
    }

    #[test]
    fn where_nothing_was_seen_all_are_well() {
        let mut next = built(r#""192.0.2.1:80", "app.test:80""#);
        assert!(why(&next).iter().all(Option::is_some));
        next.suppose(None, NOW);
        assert_eq!(why(&next), [None, None]);
    }
}
