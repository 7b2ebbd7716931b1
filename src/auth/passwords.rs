//! Who is let in by name and password: credentials and a client in, let in, locked out, or a claim that
//! has to be checked out.
//!
//! Who was wrong too often is told so before anything is looked at, what is remembered of others too: it
//! would be a way to guess that costs nothing. A [`Claim`] is checked when its turn has come, and looks again
//! then: others may have shown meanwhile that it is right, or that it is one of too many.

use std::hash::Hasher;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use siphasher::sip::SipHasher13;
use siphasher::sip128::{self, Hasher128};

use super::credentials::Credentials;
use super::failures::{Failures, Try};
use super::passed::Passed;
use super::users::Users;
use crate::clock::Moment;

/// How many failures there may be in a minute, of a client under one name and under all.
const OF_NAME: usize = 10;
/// Some people behind one address may err at once. It takes more than eight hundred clients that do nothing
/// else to fill the table of names, which one could if it might try name after name.
const OF_CLIENT: usize = 50;

/// The users of a file, with what is known of who said to be one of them.
#[derive(Debug)]
pub struct Passwords {
    users: Arc<Users>,
    /// Of these users alone: begins anew with others.
    passed: Arc<Passed>,
    /// Of this file, whoever is in it.
    failures: Arc<AllFailures>,
    key: [u8; 16],
}

/// Who was wrong too often: of clients under a name, and of clients.
#[derive(Debug, Default)]
struct AllFailures {
    of_names: Failures<OF_NAME>,
    of_clients: Failures<OF_CLIENT>,
}

/// What failures are kept by.
#[derive(Clone, Copy, Debug)]
struct Keys {
    of_name: u64,
    of_client: u64,
}

/// One that may fail, of a client and under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tries {
    of_name: Try,
    of_client: Try,
}

/// What is known of who brings a name and a password.
#[derive(Debug)]
pub enum Found {
    /// They were right a moment ago.
    Right,
    /// They were wrong too often: not before so long.
    Locked(Duration),
    /// It has to be checked.
    Unknown(Arc<Claim>),
}

/// A name and a password that nobody knows yet whether they belong together.
#[derive(Debug)]
pub struct Claim {
    passwords: Arc<Passwords>,
    credentials: Credentials,
    /// Of whom it is.
    network: Option<IpAddr>,
    /// What they are remembered by.
    mark: u128,
    keys: Keys,
}

/// What a claim is when its turn has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Somebody has shown meanwhile that it is right.
    Right,
    /// Too many were wrong meanwhile.
    Locked(Duration),
    /// It is to be checked.
    Check(Tries),
}

impl AllFailures {
    /// How long they may try no more; none if they may.
    fn locked(&self, keys: Keys, now: Moment) -> Option<Duration> {
        // The longer of both, and either before none.
        self.of_names.locked(keys.of_name, now).max(self.of_clients.locked(keys.of_client, now))
    }

    /// Tries; how long it may not, if it may not. The client comes first: one that was wrong too often takes
    /// no place under yet another name.
    fn begin(&self, keys: Keys, now: Moment) -> Result<Tries, Duration> {
        let of_client = self.of_clients.begin(keys.of_client, now)?;
        match self.of_names.begin(keys.of_name, now) {
            Ok(of_name) => Ok(Tries { of_name, of_client }),
            Err(left) => {
                self.of_clients.give_back(of_client);
                Err(left)
            }
        }
    }

    /// It was none.
    fn give_back(&self, taken: Tries) {
        self.of_names.give_back(taken.of_name);
        self.of_clients.give_back(taken.of_client);
    }
}

impl Passwords {
    /// Those of these users, with a key that nobody outside knows. Who was wrong at the same file before
    /// stays so; who was right does as long as its users are the same.
    pub fn of(users: Arc<Users>, key: [u8; 16], before: Option<&Passwords>) -> Passwords {
        let same = before.filter(|before| before.users == users && before.key == key);
        Passwords {
            passed: same.map(|same| same.passed.clone()).unwrap_or_default(),
            failures: before.map(|before| before.failures.clone()).unwrap_or_default(),
            users,
            key,
        }
    }

    /// Whether who was let in by one is let in by the other.
    pub(super) fn is_same(&self, other: &Passwords) -> bool {
        Arc::ptr_eq(&self.passed, &other.passed)
    }

    /// What is known of who brings these.
    pub fn look(
        self: &Arc<Self>,
        credentials: Credentials,
        client: Option<IpAddr>,
        now: Moment,
    ) -> Found {
        let network = client.map(network);
        let of_name = self.failures_of(credentials.user(), client);
        let keys = Keys { of_name, of_client: self.failures_of_all(network) };
        if let Some(left) = self.failures.locked(keys, now) {
            return Found::Locked(left);
        }
        let mut hasher = sip128::SipHasher13::new_with_key(&self.key);
        hasher.write(b"passed\0");
        hasher.write(credentials.pair());
        let mark = hasher.finish128().as_u128();
        if self.passed.has(mark, now) {
            return Found::Right;
        }
        let passwords = self.clone();
        Found::Unknown(Arc::new(Claim { passwords, credentials, network, mark, keys }))
    }

    /// The key of the failures of a client under a name. Of IPv6 a client has a network, of which the
    /// rest is its own to choose; those without an address are one.
    fn failures_of(&self, user: &[u8], client: Option<IpAddr>) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        match client.map(|client| client.to_canonical()) {
            None => hasher.write(b"nowhere\0"),
            Some(IpAddr::V4(v4)) => hasher.write(&v4.octets()),
            Some(IpAddr::V6(v6)) => hasher.write(&v6.octets()[..8]),
        }
        hasher.write(b"failed\0");
        hasher.write(user);
        hasher.finish()
    }

    /// The key of the failures of a network under all names.
    fn failures_of_all(&self, network: Option<IpAddr>) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write(b"client\0");
        match network {
            None => hasher.write(b"nowhere\0"),
            Some(IpAddr::V4(v4)) => hasher.write(&v4.octets()),
            Some(IpAddr::V6(v6)) => hasher.write(&v6.octets()),
        }
        hasher.finish()
    }
}

/// Whom one client may be: its address, or of IPv6 the 48 bits that a customer has for itself at most.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 80 << 80).into(),
        v4 => v4,
    }
}

impl Claim {
    /// Whose it is, as far as anybody knows: of IPv6 the first 48 bits.
    pub fn network(&self) -> Option<IpAddr> {
        self.network
    }

    /// Its turn has come.
    pub fn begin(&self, now: Moment) -> Begun {
        if self.passwords.passed.has(self.mark, now) {
            return Begun::Right;
        }
        match self.passwords.failures.begin(self.keys, now) {
            Ok(taken) => Begun::Check(taken),
            Err(left) => Begun::Locked(left),
        }
    }

    /// Whether it is right. Takes long, and as long for a name that nobody has.
    pub fn is_right(&self) -> bool {
        let Claim { passwords, credentials, .. } = self;
        // The same one each time, wherever it is asked from.
        let decoy = passwords.failures_of(credentials.user(), None);
        passwords.users.admit(credentials.user(), credentials.password(), decoy)
    }

    /// It has been checked: who was right is remembered, who was wrong is counted already.
    pub fn end(&self, taken: Tries, is_right: bool, now: Moment) {
        if is_right {
            self.passwords.failures.give_back(taken);
            self.passwords.passed.put(self.mark, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use http::HeaderMap;
    use http::header::AUTHORIZATION;

    use super::super::hashed::tests::BCRYPTED;
    use super::*;
    use crate::http::view::View;

    fn at(seconds: u64) -> Moment {
        Moment::from_micros(seconds * 1_000_000)
    }

    fn of(text: &str, before: Option<&Passwords>) -> Arc<Passwords> {
        let users = Arc::new(Users::of(text).unwrap());
        Arc::new(Passwords::of(users, [7; 16], before))
    }

    fn ann() -> Arc<Passwords> {
        of(&format!("ann:{BCRYPTED}"), None)
    }

    fn look(passwords: &Arc<Passwords>, pair: &str, client: &str, now: u64) -> Found {
        let line = format!("Basic {}", STANDARD.encode(pair)).parse().unwrap();
        let fields = HeaderMap::from_iter([(AUTHORIZATION, line)]);
        let credentials = Credentials::of(View::Map(&fields)).unwrap();
        passwords.look(credentials, client.parse().ok(), at(now))
    }

    /// What comes of it if its turn comes at once.
    fn comes_to(passwords: &Arc<Passwords>, pair: &str, client: &str, now: u64) -> &'static str {
        let claim = match look(passwords, pair, client, now) {
            Found::Right => return "remembered",
            Found::Locked(_) => return "locked",
            Found::Unknown(claim) => claim,
        };
        match claim.begin(at(now)) {
            Begun::Right => "remembered",
            Begun::Locked(_) => "locked",
            Begun::Check(taken) => {
                let is_right = claim.is_right();
                claim.end(taken, is_right, at(now));
                if is_right { "right" } else { "wrong" }
            }
        }
    }

    #[test]
    fn who_was_right_is_remembered_for_a_minute_and_nobody_else_is() {
        let passwords = ann();
        assert_eq!(comes_to(&passwords, "ann:secret", "192.0.2.1", 0), "right");
        assert_eq!(comes_to(&passwords, "ann:secret", "198.51.100.1", 59), "remembered");
        assert_eq!(comes_to(&passwords, "ann:secret", "192.0.2.1", 60), "right");
        for wrong in ["ann:secre", "ann:secret2", "an:nsecret", "Ann:secret", "bob:secret"] {
            assert_eq!(comes_to(&passwords, wrong, "192.0.2.1", 61), "wrong", "{wrong}");
        }
    }

    #[test]
    fn who_is_wrong_ten_times_is_locked_out_known_or_not_and_cannot_guess_what_is_remembered() {
        let passwords = ann();
        assert_eq!(comes_to(&passwords, "ann:secret", "192.0.2.1", 0), "right");
        for name in ["ann", "nobody"] {
            for nth in 0..10 {
                let wrong = format!("{name}:{nth}");
                assert_eq!(comes_to(&passwords, &wrong, "192.0.2.9", 1), "wrong");
            }
            let right = format!("{name}:secret");
            assert_eq!(comes_to(&passwords, &right, "192.0.2.9", 2), "locked", "{name}");
        }
        // Others are not, nor the same client under another name, nor the user elsewhere.
        assert_eq!(comes_to(&passwords, "other:x", "192.0.2.9", 2), "wrong");
        assert_eq!(comes_to(&passwords, "ann:secret", "192.0.2.1", 2), "remembered");
        assert_eq!(comes_to(&passwords, "ann:secret", "192.0.2.9", 61), "right");
        // Of IPv6 a whole network is one, and so are those that have no address.
        for nth in 0..10 {
            comes_to(&passwords, "ann:x", &format!("2001:db8::{nth}"), 100);
            comes_to(&passwords, "ann:x", "none", 100);
        }
        for (client, wanted) in
            [("2001:db8::ffff", "locked"), ("2001:db8:0:1::1", "wrong"), ("none", "locked")]
        {
            assert_eq!(comes_to(&passwords, "ann:y", client, 101), wanted, "{client}");
        }
    }

    #[test]
    fn a_client_that_tries_name_after_name_locks_out_itself_and_nobody_else() {
        let passwords = ann();
        // As if each had been wrong: to hash them all would take long.
        let tries_of = |client: &dyn Fn(usize) -> String| {
            let is_tried =
                |nth: &usize| match look(&passwords, &format!("nobody{nth}:x"), &client(*nth), 0) {
                    Found::Unknown(claim) => matches!(claim.begin(at(0)), Begun::Check(_)),
                    _ => false,
                };
            (0..5_000).filter(is_tried).count()
        };
        let clients: [&dyn Fn(usize) -> String; 3] =
            [&|_| "192.0.2.9".into(), &|nth| format!("2001:db8:1:{nth:x}::{nth:x}"), &|_| {
                "nowhere".into()
            }];
        for client in clients {
            assert_eq!(tries_of(client), OF_CLIENT);
            assert_eq!(comes_to(&passwords, "ann:secret", &client(1), 1), "locked");
        }
        assert_eq!(comes_to(&passwords, "other:x", "192.0.2.1", 1), "wrong");
        assert_eq!(comes_to(&passwords, "ann:secret", "2001:db8:2::1", 1), "right");
        // What is remembered of others is no way to guess here either.
        assert_eq!(comes_to(&passwords, "ann:secret", "192.0.2.9", 59), "locked");
        assert_eq!(comes_to(&passwords, "ann:secret", "192.0.2.9", 60), "remembered");
    }

    #[test]
    fn only_what_is_checked_and_wrong_counts_for_a_client_under_all_names() {
        let passwords = ann();
        let claim = |pair: &str| match look(&passwords, pair, "192.0.2.9", 0) {
            Found::Unknown(claim) => claim,
            other => panic!("{other:?}"),
        };
        // Many of one name, of which ten are checked.
        let guesses: Vec<_> = (0..100).map(|nth| claim(&format!("bob:{nth}"))).collect();
        let begun = guesses.iter().map(|guess| guess.begin(at(0)));
        assert_eq!(begun.filter(|begun| matches!(begun, Begun::Check(_))).count(), OF_NAME);
        for nth in 0..100 {
            let right = claim(&format!("user{nth}:x"));
            let Begun::Check(taken) = right.begin(at(0)) else { panic!("{nth}") };
            right.end(taken, true, at(0));
        }
        let wrong: Vec<_> = (0..100).map(|nth| claim(&format!("nobody{nth}:x"))).collect();
        let begun = wrong.iter().map(|wrong| wrong.begin(at(0)));
        let checked = begun.filter(|begun| matches!(begun, Begun::Check(_))).count();
        assert_eq!(checked, OF_CLIENT - OF_NAME);
    }

    #[test]
    fn a_claim_looks_again_when_its_turn_has_come() {
        let passwords = ann();
        let claim = || match look(&passwords, "ann:secret", "192.0.2.1", 0) {
            Found::Unknown(claim) => claim,
            other => panic!("{other:?}"),
        };
        let (first, second) = (claim(), claim());
        let Begun::Check(taken) = first.begin(at(0)) else { panic!() };
        first.end(taken, first.is_right(), at(1));
        assert_eq!(second.begin(at(1)), Begun::Right);
        let shown = format!("{second:?}");
        assert!(!shown.contains("secret") && !shown.contains("115"), "{shown}");
        // Of a hundred guesses that wait, ten are checked.
        let guesses = (0..100).map(|nth| look(&passwords, &format!("ann:{nth}"), "192.0.2.2", 2));
        let guesses: Vec<_> = guesses.collect();
        let begun = guesses.iter().filter(|guess| match guess {
            Found::Unknown(claim) => matches!(claim.begin(at(2)), Begun::Check(_)),
            _ => false,
        });
        assert_eq!(begun.count(), 10);
    }

    #[test]
    fn another_file_forgets_who_was_right_and_remembers_who_was_wrong() {
        let passwords = ann();
        comes_to(&passwords, "ann:secret", "192.0.2.1", 0);
        for _ in 0..10 {
            assert_eq!(comes_to(&passwords, "ann:x", "192.0.2.9", 0), "wrong");
        }
        let same = of(&format!("ann:{BCRYPTED}"), Some(&passwords));
        assert!(same.is_same(&passwords));
        assert_eq!(comes_to(&same, "ann:secret", "192.0.2.1", 1), "remembered");
        let changed = "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe";
        let other = of(&format!("ann:{changed}"), Some(&same));
        assert!(!other.is_same(&same));
        assert_eq!(comes_to(&other, "ann:secret", "192.0.2.1", 1), "wrong");
        assert_eq!(comes_to(&other, "ann:a", "192.0.2.9", 1), "locked");
        assert_eq!(comes_to(&other, "ann:a", "192.0.2.1", 1), "right");
        // Nor is it known any more when the old one comes back.
        let back = of(&format!("ann:{BCRYPTED}"), Some(&other));
        assert_eq!(comes_to(&back, "ann:secret", "192.0.2.1", 2), "right");
    }
}
