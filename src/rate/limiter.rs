//! One rate limit of a service or a route: request facts and the time in, pass or a refusal out.

use std::fmt;
use std::hash::Hasher;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::{Grant, Rate, Table};
use crate::clock::{Moment, in_words};
use crate::route::Facts;
use crate::split::{ClientKey, Recognised, Secret, Signer, Sticky, StickyKey};

/// How many requests of one client are let through.
#[derive(Clone, Debug, PartialEq)]
pub struct RateSettings {
    /// How many.
    pub rate: Rate,
    /// What a client is known by; at least one.
    pub key: Sticky,
    /// How many bits of an IPv6 address are one client's, 32 to 128.
    pub ipv6_prefix: u8,
    /// What becomes of a request that carries no key.
    pub keyless: Keyless,
    /// How many clients have a bucket of their own.
    pub keys: usize,
    /// Who is told how the limit stands.
    pub told: Told,
}

impl fmt::Display for RateSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rate { requests, period, burst } = self.rate;
        write!(f, "{requests} in {}", in_words(period))?;
        if burst != requests {
            write!(f, ", {burst} at once")?;
        }
        for key in &self.key.keys {
            match key {
                StickyKey::Header(name) => write!(f, ", by field {name}")?,
                StickyKey::Cookie(name) | StickyKey::OwnCookie(name) => {
                    write!(f, ", by cookie {name}")?;
                }
                StickyKey::ClientIp => {
                    write!(f, ", by address (/{} of version 6)", self.ipv6_prefix)?;
                }
            }
        }
        if self.keyless == Keyless::Share {
            f.write_str(", others share one")?;
        }
        if self.told == Told::All {
            f.write_str(", all are told")?;
        }
        write!(f, ", {} counted apart", self.keys)
    }
}

/// What becomes of a request that carries no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyless {
    /// It is let through.
    Pass,
    /// It shares one bucket with all others.
    Share,
}

/// Who is told how a limit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Who is refused.
    Refused,
    /// Who is let through, too.
    All,
}

/// A rate limit with its buckets.
#[derive(Clone)]
pub struct Limiter {
    /// What it is told.
    pub settings: Arc<RateSettings>,
    /// What came of it; lives on from snapshot to snapshot.
    pub counts: Arc<Counts>,
    table: Arc<Table>,
    hash: SipHasher13,
}

/// What came of a limit.
#[derive(Debug, Default)]
pub struct Counts {
    /// Requests refused.
    pub refused: AtomicU64,
}

impl Limiter {
    /// The limiter of these settings. Buckets and counts of the one before live on; but buckets of
    /// another number or of other keys begin anew, as do those that may owe more than the new rate
    /// lets anybody owe: a client would wait for the old one's time.
    pub fn new(settings: Arc<RateSettings>, secret: Secret, before: Option<&Limiter>) -> Limiter {
        let is_same = |before: &&Limiter| {
            let (old, new) = (&before.settings, &settings);
            let most = new.rate.capacity().saturating_add(new.rate.interval());
            (old.keys, &old.key, old.ipv6_prefix) == (new.keys, &new.key, new.ipv6_prefix)
                && old.rate.capacity() <= most
        };
        let table = before.filter(is_same).map(|before| before.table.clone());
        Limiter {
            table: table.unwrap_or_else(|| Arc::new(Table::new(settings.keys))),
            counts: before.map(|before| before.counts.clone()).unwrap_or_default(),
            hash: SipHasher13::new_with_key(&secret.0),
            settings,
        }
    }

    /// Takes a token of a request's client, if there is one; none for a request that carries no key.
    pub fn take(&self, facts: &Facts<'_>, signer: &Signer, now: Moment) -> Option<Grant> {
        let hash = match (self.settings.key.recognise(facts, signer), self.settings.keyless) {
            (Recognised::By(client), _) => self.hash_of(&client),
            (_, Keyless::Pass) => return None,
            (_, Keyless::Share) => self.hash.finish(),
        };
        let grant = self.table.take(hash, now, &self.settings.rate);
        if !grant.is_granted {
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
        }
        Some(grant)
    }

    /// What clients have used up, for the process that comes after this one: those `most` that owe most.
    pub(crate) fn carry(&self, most: usize, now: Moment) -> CarriedLimit {
        let mut owed = self.table.owed(now);
        if owed.len() > most {
            owed.sort_unstable_by_key(|(_, owes)| std::cmp::Reverse(*owes));
            owed.truncate(most);
        }
        CarriedLimit { settings: self.settings.to_string(), owed }
    }

    /// Goes on from what clients have used up in another process, of the same limit.
    pub(crate) fn take_over(&self, carried: &CarriedLimit, now: Moment) {
        if carried.settings == self.settings.to_string() {
            carried.owed.iter().for_each(|(key, owes)| self.table.owe(*key, *owes, now));
        }
    }

    fn hash_of(&self, client: &ClientKey<'_>) -> u64 {
        let mut hasher = self.hash;
        let mut take = |kind: &[u8], value: &[u8]| {
            hasher.write(kind);
            hasher.write(value);
        };
        match client {
            ClientKey::Header(value) => take(b"rate header\0", value),
            ClientKey::Cookie(value) => take(b"rate cookie\0", value),
            // No limit is told to know clients by these.
            ClientKey::OwnCookie(id) => take(b"rate own cookie\0", id.as_bytes()),
            ClientKey::Draw(bits) => take(b"rate draw\0", &bits.to_le_bytes()),
            ClientKey::Address(address) => match address.to_canonical() {
                IpAddr::V4(v4) => take(b"rate ip\0", &v4.octets()),
                IpAddr::V6(v6) => {
                    take(b"rate ip\0", &network(v6, self.settings.ipv6_prefix).to_be_bytes())
                }
            },
        }
        hasher.finish()
    }
}

/// What clients of one limit have used up, as one process tells another that has the same secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CarriedLimit {
    /// The limit in words: of another one it says nothing.
    settings: String,
    /// By the hash of its key, in nanoseconds until its bucket is full.
    pub owed: Vec<(u64, u64)>,
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Limiter({}, {:?})", self.settings, self.counts)
    }
}

/// The first bits of an address; the rest is its client's to choose.
fn network(address: Ipv6Addr, prefix: u8) -> u128 {
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
    address.to_bits() & mask
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::header::HeaderName;
    use http::{HeaderMap, Method};

    use super::*;
    use crate::http::fields::Fields;

    const SECRET: Secret = Secret([7; 16]);

    fn limiter(keys: &[StickyKey], ipv6_prefix: u8, keyless: Keyless) -> Limiter {
        let rate = Rate { requests: 1, period: Duration::from_secs(1), burst: 1 };
        let key = Sticky { keys: keys.to_vec() };
        let settings =
            RateSettings { rate, key, ipv6_prefix, keyless, keys: 64, told: Told::Refused };
        Limiter::new(Arc::new(settings), SECRET, None)
    }

    /// Whether each of these requests, all at once, is let through.
    fn pass(limiter: &Limiter, requests: &[(&str, &str)]) -> Vec<bool> {
        let one = |(client, field): &(&str, &str)| {
            let mut headers = HeaderMap::new();
            if let Some((name, value)) = field.split_once(": ") {
                headers.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
            }
            let facts = Facts {
                path_and_query: "",
                tester: None,
                is_doubtful: false,
                method: &Method::GET,
                host: "shop.test",
                path: "/",
                fields: Fields::new(&headers),
                client: client.parse().ok(),
            };
            let grant = limiter.take(&facts, &Signer::of(SECRET), Moment::default());
            grant.is_none_or(|grant| grant.is_granted)
        };
        requests.iter().map(one).collect()
    }

    #[test]
    fn a_client_is_an_address_or_a_network_of_version_6() {
        let requests = [
            ("192.0.2.1", ""),
            ("192.0.2.2", ""),
            ("192.0.2.1", ""),
            ("2001:db8::1", ""),
            ("2001:db8::2", ""),
            ("2001:db8:0:1::1", ""),
            ("::ffff:192.0.2.1", ""),
        ];
        let by = |prefix| pass(&limiter(&[StickyKey::ClientIp], prefix, Keyless::Pass), &requests);
        assert_eq!(by(64), [true, true, false, true, false, true, false]);
        assert_eq!(by(128), [true, true, false, true, true, true, false]);
        assert_eq!(by(48), [true, true, false, true, false, false, false]);
    }

    #[test]
    fn a_client_may_be_known_by_a_field_or_a_cookie_and_without_is_let_through_or_shares() {
        let keys =
            [StickyKey::Header(HeaderName::from_static("x-key")), StickyKey::Cookie("sid".into())];
        let requests = [
            ("192.0.2.1", "x-key: a"),
            ("192.0.2.2", "x-key: a"),
            ("192.0.2.1", "x-key: b"),
            ("192.0.2.1", "cookie: sid=a"),
            ("192.0.2.1", "cookie: x=1; sid=a"),
            ("192.0.2.1", ""),
            ("192.0.2.2", ""),
        ];
        let limiter = limiter(&keys, 64, Keyless::Pass);
        assert_eq!(pass(&limiter, &requests), [true, false, true, true, false, true, true]);
        assert_eq!(limiter.counts.refused.load(Ordering::Relaxed), 2);
        let mut settings = (*limiter.settings).clone();
        settings.keyless = Keyless::Share;
        // Other buckets would be full.
        let limiter = Limiter::new(Arc::new(settings), SECRET, Some(&limiter));
        assert_eq!(pass(&limiter, &requests), [false, false, false, false, false, true, false]);
        assert_eq!(limiter.counts.refused.load(Ordering::Relaxed), 8);
    }

    #[test]
    fn what_is_used_up_stays_so_in_the_next_process() {
        let before = limiter(&[StickyKey::ClientIp], 64, Keyless::Pass);
        assert_eq!(pass(&before, &[("192.0.2.1", ""), ("192.0.2.2", "")]), [true, true]);
        let text = serde_json::to_string(&before.carry(9, Moment::default())).unwrap();
        let carried: CarriedLimit = serde_json::from_str(&text).unwrap();
        let ask = [("192.0.2.1", ""), ("192.0.2.2", ""), ("192.0.2.3", "")];
        let after = |change: fn(&mut RateSettings)| {
            let mut settings = (*before.settings).clone();
            change(&mut settings);
            let after = Limiter::new(Arc::new(settings), SECRET, None);
            after.take_over(&carried, Moment::default());
            pass(&after, &ask)
        };
        assert_eq!(after(|_| {}), [false, false, true]);
        assert_eq!(after(|other| other.rate.burst = 2), [true, true, true], "another limit");
        assert_eq!(before.carry(1, Moment::default()).owed.len(), 1, "so many at most");
        // A second later nobody owes anything.
        assert_eq!(before.carry(9, Moment::from_micros(1_000_000)).owed, []);
    }

    #[test]
    fn what_is_used_up_stays_so_over_a_reload_unless_it_would_outlast_the_new_rate() {
        let slow = Rate { requests: 1, period: Duration::from_secs(86_400), burst: 10 };
        let quick = Rate { requests: 100, period: Duration::from_secs(1), burst: 100 };
        let with = |rate, before: &Limiter| {
            let settings = RateSettings { rate, ..(*before.settings).clone() };
            Limiter::new(Arc::new(settings), SECRET, Some(before))
        };
        let let_through = |limiter: &Limiter| {
            let passed = pass(limiter, &[("192.0.2.1", ""); 200]);
            passed.into_iter().filter(|passed| *passed).count()
        };
        let first = limiter(&[StickyKey::ClientIp], 64, Keyless::Pass);
        let used_up = with(slow, &first);
        assert_eq!(let_through(&used_up), 10);
        assert_eq!(let_through(&with(slow, &used_up)), 0, "nothing was changed");
        let relaxed = with(quick, &used_up);
        assert_eq!(let_through(&relaxed), 100, "nobody waits for ten days");
        assert_eq!(let_through(&with(slow, &relaxed)), 9, "of ten days a second is owed");
        assert_eq!(relaxed.counts.refused.load(Ordering::Relaxed), 190 + 200 + 100 + 191);
    }
}
