//! The certificates that a config names: its files in, pairs and authorities out, with what is wrong with
//! each told where it is named.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::super::certificates::{self, BadCertificate};
use super::{LARGEST_NAMED, Loading};
use crate::auth::Rule;
use crate::certificate::{Certificates, Pair};
use crate::config::{ClientCertificates, Config, ListenerTls, Problem};

impl Loading<'_> {
    /// Reads certificates, each with its key, and those of authorities. Files that are named several
    /// times are read, and told of, once.
    pub(super) fn read_certificates(&mut self, config: &Config) -> Certificates {
        let mut read = Certificates::default();
        let of_listeners = || {
            let tls = config.listeners.iter().filter_map(|listener| listener.tls.as_ref());
            tls.chain(&config.admin.tls)
        };
        let pools = || config.services.iter().flat_map(|service| &service.pools);
        let of_pools = || pools().filter_map(|pool| pool.tls.as_ref());
        let mut pairs: BTreeMap<(&Path, &Path), bool> = BTreeMap::new();
        for files in of_listeners().flat_map(|tls| &tls.certificates) {
            let needs_names = pairs.entry((&files.certificate, &files.key)).or_default();
            *needs_names |= !files.is_default;
        }
        for (certificate, key) in of_pools().filter_map(|tls| tls.own.as_ref()) {
            pairs.entry((certificate, key)).or_default();
        }
        let of_clients = of_listeners().flat_map(|tls| {
            let by_name = tls.certificates.iter().filter_map(|files| files.client.as_ref());
            by_name.chain(&tls.client).map(|client| &*client.ca)
        });
        let of_acme = of_listeners().filter_map(|tls| tls.acme.as_ref()?.authority.ca.as_deref());
        let of_upstreams = of_pools().filter_map(|tls| tls.ca.as_deref());
        let authorities: BTreeSet<&Path> = of_clients.chain(of_acme).chain(of_upstreams).collect();
        let of_pairs = pairs.keys().flat_map(|&(certificate, key)| [certificate, key]);
        let held = self.read_all(of_pairs.chain(authorities.iter().copied()).collect());
        for (&(certificate, key), &needs_names) in &pairs {
            let (Some(chain), Some(of_key)) = (held.get(certificate), held.get(key)) else {
                continue;
            };
            match certificates::pair((certificate, chain), (key, of_key)) {
                Ok(pair) if needs_names && pair.about.names.is_empty() => {
                    let nameless = BadCertificate::Nameless(certificate.display().to_string());
                    self.tell_bad(certificate, key, &nameless);
                }
                Ok(pair) => {
                    self.tell_age(certificate, key, &pair);
                    read.add_pair(certificate, key, pair);
                }
                Err(bad) => self.tell_bad(certificate, key, &bad),
            }
        }
        let keys: BTreeSet<&Path> = pairs.keys().map(|&(_, key)| key).collect();
        for key in keys {
            let open = self.open_to_all("private key", key, |why| self.bad_at(key, why));
            self.problems.0.extend(open);
        }
        for tls in of_listeners() {
            self.tell_torn(tls, &read);
        }
        for file in authorities {
            let Some(bytes) = held.get(file) else { continue };
            match certificates::authorities(file, bytes) {
                Ok(authorities) => read.add_authorities(file, authorities),
                Err(bad) => self.tell_bad(file, file, &bad),
            }
        }
        let asks_by_https = || {
            let rules = config.route_actions.iter().flatten();
            let mut rules = rules.filter_map(|actions| actions.auth.as_ref());
            rules.any(|rule| matches!(rule, Rule::Ask(ask) if ask.is_https))
        };
        if of_pools().any(|tls| tls.verify && tls.ca.is_none()) || asks_by_https() {
            match certificates::system() {
                Ok(authorities) => read.set_system(authorities),
                Err(error) => {
                    let why = format!("the system's trusted certificates cannot be read: {error}");
                    let help = "name the authority of the upstreams' certificates: `tls.ca`";
                    self.problems.0.push(Problem::general(why).help(help));
                }
            }
        }
        read
    }

    /// Reads files of certificates and keys; those that cannot be read are told of and left out.
    fn read_all<'f>(&mut self, files: BTreeSet<&'f Path>) -> BTreeMap<&'f Path, Vec<u8>> {
        let mut held = BTreeMap::new();
        for file in files {
            match self.prints.read(file, LARGEST_NAMED) {
                Ok(bytes) => drop(held.insert(file, bytes)),
                Err(error) => {
                    let why = format!("cannot read {}: {error}", file.display());
                    let problem = self.bad_at(file, why);
                    self.problems.0.push(self.reader.told_unreadable(problem, &error));
                }
            }
        }
        held
    }

    /// Tells of a certificate that is not good now.
    fn tell_age(&mut self, certificate: &Path, key: &Path, pair: &Pair) {
        let now = self.reader.now;
        let Some(bad) = now.and_then(|now| certificates::age(certificate, &pair.about, now)) else {
            return;
        };
        let is_same = |known: &Certificates| {
            known.pair(certificate, key).is_some_and(|known| **known == *pair)
        };
        let problem = self.bad_at(certificate, bad.to_string());
        self.problems.0.push(self.reader.told_age(problem, is_same));
    }

    /// Tells of certificates for one name that ask clients for different ones: which of them a client
    /// would have to show depended on what else it knows.
    fn tell_torn(&mut self, tls: &ListenerTls, read: &Certificates) {
        let mut asked: BTreeMap<&str, Option<&ClientCertificates>> = BTreeMap::new();
        let mut found = Vec::new();
        for files in &tls.certificates {
            let client = files.client.as_ref().or(tls.client.as_ref());
            let pair = read.pair(&files.certificate, &files.key);
            for name in pair.iter().flat_map(|pair| &pair.about.names) {
                if *asked.entry(name).or_insert(client) != client {
                    let why =
                        format!("two certificates for `{name}` ask clients for different ones");
                    found.push(self.bad_at(&files.certificate, why).label("the second"));
                }
            }
        }
        self.problems.0.extend(found);
    }

    /// Tells what is wrong with one of these files.
    fn tell_bad(&mut self, certificate: &Path, key: &Path, bad: &BadCertificate) {
        let at = match bad {
            BadCertificate::NoKey(_) | BadCertificate::Key { .. } => key,
            _ => certificate,
        };
        let problem = self.bad_at(at, bad.to_string());
        // A file of several pairs is bad in each.
        if !self.problems.0.contains(&problem) {
            self.problems.0.push(problem);
        }
    }
}
