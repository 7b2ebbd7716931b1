//! Certificates that were ordered from authorities, as handshakes take them: put here when one comes, taken
//! from here with one load and no lock.
//!
//! They come and go without the config's being read again, so they are no part of what is made of it.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio_rustls::rustls::server::ClientHello;
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};

use super::challenge::{self, ChallengeError};
use crate::acme::Holder;
use crate::certificate::Pair;
use crate::crypto;

/// A certificate that is there.
#[derive(Clone, Debug)]
pub struct Ordered {
    /// The directory of who signed it.
    pub directory: Arc<str>,
    /// Whom it names.
    pub holder: Holder,
    /// Where it is kept; none if nowhere.
    pub file: Option<PathBuf>,
    /// The certificate with its key.
    pub pair: Arc<Pair>,
    key: Arc<CertifiedKey>,
}

impl Ordered {
    /// One that was read, or has just come; an error if its key cannot sign, or is another's.
    pub fn new(
        directory: Arc<str>,
        holder: Holder,
        file: Option<PathBuf>,
        pair: Pair,
    ) -> Result<Ordered, rustls::Error> {
        let key = Arc::new(crypto::signing(&pair)?);
        Ok(Ordered { directory, holder, file, pair: Arc::new(pair), key })
    }

    /// What it is known by in metrics and events: its file, else whom it names.
    pub fn name(&self) -> String {
        match &self.file {
            Some(file) => file.display().to_string(),
            None => self.holder.to_string(),
        }
    }
}

/// All of a process, with what authorities look for in handshakes.
#[derive(Debug, Default)]
pub struct OrderedCertificates {
    all: ArcSwap<All>,
    /// By the name that is asked for; almost always empty.
    challenges: ArcSwap<HashMap<String, Arc<ServerConfig>>>,
    /// For whom orders were made, and how many have come to something and to nothing.
    counts: Mutex<BTreeMap<String, Counts>>,
}

/// How many orders have ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// There is a certificate.
    pub issued: u64,
    /// There is none.
    pub failed: u64,
}

/// By directory.
#[derive(Debug, Default)]
struct All(BTreeMap<Arc<str>, OfOne>);

#[derive(Debug, Default)]
struct OfOne {
    hosts: HashMap<Arc<str>, Ordered>,
    addresses: Option<Ordered>,
}

impl OfOne {
    fn find(&self, name: Option<&str>) -> Option<&Ordered> {
        match name {
            Some(name) => self.hosts.get(name),
            None => self.addresses.as_ref(),
        }
    }
}

impl OrderedCertificates {
    /// Puts these in the place of all that are there: from which directory one is wanted and for whom, and
    /// if it is there, it. Orders for each are counted from now on: a counter that begins with its first
    /// failure would not be seen to rise.
    pub fn set<'h>(
        &self,
        certificates: impl IntoIterator<Item = (Arc<str>, &'h Holder, Option<Ordered>)>,
    ) {
        let mut all = All::default();
        for (directory, holder, ordered) in certificates {
            self.counted(holder, |_| ());
            let of_one = all.0.entry(directory).or_default();
            let Some(ordered) = ordered else { continue };
            match &ordered.holder {
                Holder::Host(host) => drop(of_one.hosts.insert(host.clone(), ordered)),
                Holder::Addresses(_) => of_one.addresses = Some(ordered),
            }
        }
        self.all.store(Arc::new(all));
    }

    /// All that are there.
    pub fn list(&self) -> Vec<Ordered> {
        let all = self.all.load();
        all.0.values().flat_map(|of| of.hosts.values().chain(&of.addresses)).cloned().collect()
    }

    /// What is shown to who asks this authority's listener for a name; to who asks for none, since
    /// addresses are no names, what is for addresses. A directory of which nothing is known yet has come with
    /// a config this moment: until it is, what others gave is shown.
    pub(super) fn key(&self, directory: &str, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let all = self.all.load();
        let found = match all.0.get(directory) {
            Some(of_one) => of_one.find(name),
            None => all.0.values().find_map(|of_one| of_one.find(name)),
        };
        found.map(|found| found.key.clone())
    }

    /// Has an authority find this in a handshake for a name, as it asks for it there.
    pub fn put_challenge(&self, name: &str, digest: &[u8]) -> Result<(), ChallengeError> {
        let rules = challenge::rules(name, digest)?;
        let asked_for = asked_for(name);
        self.change(|all| drop(all.insert(asked_for.clone(), rules.clone())));
        Ok(())
    }

    /// Takes it away again.
    pub fn remove_challenge(&self, name: &str) {
        let asked_for = asked_for(name);
        self.change(|all| drop(all.remove(&asked_for)));
    }

    fn change(&self, change: impl Fn(&mut HashMap<String, Arc<ServerConfig>>)) {
        self.challenges.rcu(|before| {
            let mut all = (**before).clone();
            change(&mut all);
            all
        });
    }

    /// By what a handshake is made in which an authority looks for something; none if it looks for
    /// nothing of ours.
    pub(super) fn challenge(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let all = self.challenges.load();
        if all.is_empty() {
            return None;
        }
        let mut spoken = hello.alpn()?;
        let is_it = spoken.next() == Some(challenge::PROTOCOL) && spoken.next().is_none();
        all.get(hello.server_name().filter(|_| is_it)?).cloned()
    }

    /// Counts an order for this holder.
    pub fn count(&self, holder: &Holder, is_issued: bool) {
        self.counted(holder, |counts| {
            *(if is_issued { &mut counts.issued } else { &mut counts.failed }) += 1;
        });
    }

    fn counted(&self, holder: &Holder, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        change(counts.entry(holder.to_string()).or_default());
    }

    /// How orders have ended, by whom they were for.
    pub fn counts(&self) -> BTreeMap<String, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What is asked for in a handshake to look at whose a name is: of an address the name that leads back to
/// it (RFC 8738 section 6).
fn asked_for(name: &str) -> String {
    match name.parse() {
        Ok(IpAddr::V4(v4)) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        Ok(IpAddr::V6(v6)) => {
            let octets = v6.octets();
            let digits = octets.iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            digits.map(|digit| format!("{digit:x}.")).collect::<String>() + "ip6.arpa"
        }
        Err(_) => name.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::pair_in;

    #[test]
    fn a_directory_that_has_just_come_takes_nothing_away() {
        let pem = concat!(
            include_str!("../../outgoing/dial/test_server.pem"),
            include_str!("../../outgoing/dial/test_server.key"),
        );
        let pair = pair_in("shop.test.pem".as_ref(), pem.as_bytes()).unwrap();
        let (ours, holder) = (Arc::from("https://ours.test/"), Holder::Host("shop.test".into()));
        let ordered = Ordered::new(Arc::clone(&ours), holder.clone(), None, pair).unwrap();
        let (all, theirs) = (OrderedCertificates::default(), "https://theirs.test/");
        let is_there = |directory: &str| all.key(directory, Some("shop.test")).is_some();
        assert!(!is_there(&ours));
        all.set([(ours.clone(), &holder, Some(ordered.clone()))]);
        assert!(is_there(&ours) && is_there(theirs));
        assert!(all.key(&ours, Some("pay.test")).is_none() && all.key(theirs, None).is_none());
        all.set([(ours.clone(), &holder, Some(ordered)), (theirs.into(), &holder, None)]);
        assert!(is_there(&ours) && !is_there(theirs), "it is known that there is none");
    }

    #[test]
    fn orders_are_counted_from_when_a_certificate_is_wanted() {
        let (all, holder) = (OrderedCertificates::default(), Holder::Host("shop.test".into()));
        all.set([("https://ours.test/".into(), &holder, None)]);
        let counts = |failed| BTreeMap::from([("shop.test".into(), Counts { issued: 0, failed })]);
        assert_eq!(all.counts(), counts(0));
        all.count(&holder, false);
        all.set([("https://ours.test/".into(), &holder, None)]);
        assert_eq!(all.counts(), counts(1));
    }

    #[test]
    fn an_address_is_asked_for_by_the_name_that_leads_back_to_it() {
        assert_eq!(asked_for("shop.test"), "shop.test");
        assert_eq!(asked_for("192.0.2.7"), "7.2.0.192.in-addr.arpa");
        let v6 = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
        assert_eq!(asked_for("2001:db8::1"), v6);
    }
}
