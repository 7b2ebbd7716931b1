//! Who may come in by routes that ask for more than an address: config and resolved names in, the door of
//! each route out.
//!
//! What is known of who tried lives on by the file of users; where a service is dialled is known before
//! anybody asks, as it is of upstreams.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use siphasher::sip128::{Hasher128, SipHasher13};

use super::build::Blueprint;
use super::{Snapshot, build};
use crate::auth::{Ask, Asked, Door, Outcomes, Passwords, Rule};
use crate::certificate::Authorities;
use crate::route::Found;
use crate::split::Secret;
use crate::upstream::{DialAddress, TlsTarget, TlsTerms, Trust};

/// The doors of all routes.
#[derive(Debug, Default)]
pub struct Doors {
    /// By place of the route.
    by_route: Vec<Option<Door>>,
    /// By file.
    passwords: BTreeMap<PathBuf, Arc<Passwords>>,
    /// How services are asked by TLS, if any is.
    tls: Option<Arc<TlsTerms>>,
    /// What came of it.
    outcomes: Arc<Outcomes>,
}

impl Doors {
    /// Those of a blueprint.
    pub(super) fn build(blueprint: &Blueprint<'_>, before: Option<&Doors>) -> Doors {
        let config = &blueprint.config;
        let mut doors = Doors {
            outcomes: before.map(|before| before.outcomes.clone()).unwrap_or_default(),
            ..Doors::default()
        };
        let rules = || config.route_actions.iter().map(|actions| actions.as_ref()?.auth.as_ref());
        if rules().all(|rule| rule.is_none()) {
            return doors;
        }
        let is_https = |rule: &Rule| matches!(rule, Rule::Ask(ask) if ask.is_https);
        doors.tls = rules().flatten().any(is_https).then(|| {
            let authorities = config.certificates.system().cloned();
            let nobody = || Arc::new(Authorities(Vec::new()));
            let terms = TlsTerms::new(Trust::Signed(authorities.unwrap_or_else(nobody)), None);
            let same = before.and_then(|before| before.tls.as_ref());
            same.filter(|same| ***same == terms).cloned().unwrap_or_else(|| Arc::new(terms))
        });
        let key = key_of(blueprint.secret);
        for rule in rules() {
            let door = rule.and_then(|rule| match rule {
                Rule::Basic { users, .. } => {
                    doors.passwords(users, blueprint, key, before).map(Door::Passwords)
                }
                Rule::Ask(ask) => {
                    let targets = doors.targets(ask, blueprint);
                    Some(Door::Asked(Arc::new(Asked { ask: ask.clone(), targets })))
                }
            });
            doors.by_route.push(door);
        }
        doors
    }

    /// The users of a file. None where it has not been read: then nobody comes in.
    fn passwords(
        &mut self,
        file: &Path,
        blueprint: &Blueprint<'_>,
        key: [u8; 16],
        before: Option<&Doors>,
    ) -> Option<Arc<Passwords>> {
        if let Some(known) = self.passwords.get(file) {
            return Some(known.clone());
        }
        let users = blueprint.config.users.of(file)?.clone();
        let before = before.and_then(|before| before.passwords.get(file));
        let passwords = Arc::new(Passwords::of(users, key, before.map(|before| &**before)));
        self.passwords.insert(file.into(), passwords.clone());
        Some(passwords)
    }

    /// Where a service is dialled.
    fn targets(&self, ask: &Ask, blueprint: &Blueprint<'_>) -> Arc<[DialAddress]> {
        let plain: Vec<DialAddress> = match ask.address.target() {
            Some(target) => vec![target],
            None => {
                let answers = blueprint.run_time.resolved.get(&ask.address);
                let answers = answers.into_iter().flat_map(|answers| answers.iter());
                answers.map(|answer| answer.target.clone()).collect()
            }
        };
        let Some(terms) = self.tls.as_ref().filter(|_| ask.is_https) else { return plain.into() };
        let name: Arc<str> = build::name_of(&ask.address).into();
        let by_tls = |below| {
            let (name, terms) = (name.clone(), terms.clone());
            DialAddress::Tls(Arc::new(TlsTarget { below, name, http2: false, terms }))
        };
        plain.into_iter().map(by_tls).collect()
    }

    /// Where all services are dialled that are asked.
    pub fn dialled(&self) -> impl Iterator<Item = &DialAddress> {
        self.by_route.iter().flatten().flat_map(|door| match door {
            Door::Asked(asked) => asked.targets.iter(),
            Door::Passwords(_) => [].iter(),
        })
    }

    /// How services are asked by TLS, if any is.
    pub fn tls(&self) -> Option<&Arc<TlsTerms>> {
        self.tls.as_ref()
    }

    /// What came of it.
    pub fn outcomes(&self) -> &Arc<Outcomes> {
        &self.outcomes
    }
}

impl Snapshot {
    /// Who may come in by a route that asks for more than an address. None lets nobody in.
    pub fn door(&self, found: &Found) -> Option<&Door> {
        self.doors.by_route.get(found.place)?.as_ref()
    }
}

/// A key of its own for what is known of passwords.
fn key_of(secret: Secret) -> [u8; 16] {
    let mut hasher = SipHasher13::new_with_key(&secret.0);
    hasher.write(b"passwords\0");
    hasher.finish128().as_bytes()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::auth::Users;
    use crate::config::Config;
    use crate::snapshot::{Resolution, RunTime};

    fn snapshot(users: &str, run_time: &RunTime, before: Option<&Snapshot>) -> Snapshot {
        let text = "[[listeners]]\naddress = \"127.0.0.1:0\"\n\
            [[routes]]\npath_prefix = \"/a\"\nservice = \"s\"\nauth = { basic = \"users\" }\n\
            [[routes]]\npath_prefix = \"/b\"\nservice = \"s\"\nauth = { basic = \"users\" }\n\
            [[routes]]\npath_prefix = \"/c\"\nservice = \"s\"\n\
            auth = { ask = \"https://auth.internal:4180/\" }\n\
            [[routes]]\nservice = \"s\"\n[services.s.pools.b]\nupstreams = [\"a:1\"]\n";
        let (mut config, _) = Config::parse(text).unwrap();
        config.users = [("users".into(), Users::of(users).unwrap())].into_iter().collect();
        let (config, secret, now) = (Arc::new(config), Secret([1; 16]), Instant::now());
        Snapshot::build(&Blueprint { config, run_time, secret, now }, before)
    }

    #[test]
    fn a_file_is_one_door_for_all_routes_and_lives_on_as_long_as_it_is_the_same() {
        let secret = "ann:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
        let other = "bob:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
        let run_time = RunTime::default();
        let first = snapshot(secret, &run_time, None);
        let doors = |snapshot: &Snapshot| -> Vec<Door> {
            let doors = snapshot.doors.by_route.iter();
            let passwords = doors.flatten().filter(|door| matches!(door, Door::Passwords(_)));
            passwords.cloned().collect()
        };
        let of_first = doors(&first);
        assert_eq!(of_first.len(), 2);
        assert!(of_first[0].is_same(&of_first[1]));
        let same = snapshot(secret, &run_time, Some(&first));
        assert!(doors(&same)[0].is_same(&of_first[0]));
        let changed = snapshot(other, &run_time, Some(&same));
        assert!(!doors(&changed)[0].is_same(&of_first[0]));
        assert!(Arc::ptr_eq(changed.doors.outcomes(), first.doors.outcomes()));
    }

    #[test]
    fn who_is_asked_is_dialled_where_its_name_leads_and_has_to_show_it() {
        let secret = "ann:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
        let mut run_time = RunTime::default();
        let first = snapshot(secret, &run_time, None);
        assert_eq!(first.doors.dialled().count(), 0, "nobody knows where it is");
        let socket = DialAddress::Socket(([192, 0, 2, 7], 4180).into());
        let answers = [Resolution { target: socket.clone(), weight: 100 }];
        run_time.resolved.insert("auth.internal:4180".parse().unwrap(), Arc::new(answers));
        let next = snapshot(secret, &run_time, Some(&first));
        let dialled: Vec<_> = next.doors.dialled().collect();
        let [DialAddress::Tls(target)] = dialled[..] else { panic!("{dialled:?}") };
        assert_eq!((&target.below, &*target.name), (&socket, "auth.internal"));
        // What was made for handshakes lives on.
        assert!(Arc::ptr_eq(next.doors.tls().unwrap(), first.doors.tls().unwrap()));
    }
}
