//! How old the certificates are that are in force: an event when one expires soon, when it has, and when
//! there is another in its place.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::certificate::Certificates;
use crate::clock::Clock;
use crate::event::{Event, Kind, Subject};
use crate::events::Events;
use crate::snapshot::Published;
use crate::wire::tls::ordered::{Ordered, OrderedCertificates};

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(10);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long before its end it is said, each once; and which part of its whole time that is at most.
const EARLY: [(Duration, u32); 2] = [(DAY.saturating_mul(14), 6), (DAY.saturating_mul(3), 12)];

/// What has been said of the certificate in each file: how often, of those that are worse each time.
#[derive(Debug, Default)]
struct Said(BTreeMap<String, usize>);

impl Said {
    /// What is to be said now, in seconds since the epoch.
    fn look(&mut self, certificates: &Certificates, ordered: &[Ordered], now: u64) -> Vec<Kind> {
        let mut found = Vec::new();
        let mut known = BTreeMap::new();
        let files = certificates.pairs().map(|(file, pair)| (file.display().to_string(), &**pair));
        let ordered = ordered.iter().map(|ordered| (ordered.name(), &*ordered.pair));
        for (name, pair) in files.chain(ordered) {
            let left = Duration::from_secs(pair.about.until.saturating_sub(now));
            // Of one that is good for some days alone not from the first day on.
            let life = Duration::from_secs(pair.about.until.saturating_sub(pair.about.from));
            let early = |(early, part): (Duration, u32)| left <= early.min(life / part);
            let mut stage = EARLY.into_iter().filter(|stage| early(*stage)).count();
            stage += usize::from(left.is_zero());
            let before = self.0.get(&name).copied().unwrap_or(0);
            known.insert(name.clone(), stage);
            if stage > before {
                found.push(Kind::CertificateExpires { file: name, left });
            } else if stage == 0 && before > 0 {
                found.push(Kind::CertificateRenewed { file: name, left });
            }
        }
        self.0 = known;
        found
    }
}

/// Says what is to be said of them, for ever.
pub async fn watch_certificates(
    published: Arc<Published>,
    ordered: Arc<OrderedCertificates>,
    events: Arc<Events>,
    clock: Clock,
) {
    let mut said = Said::default();
    loop {
        let config = published.load().config.clone();
        let (ordered, now) = (ordered.list(), clock.unix_seconds() as u64);
        for kind in said.look(&config.certificates, &ordered, now) {
            events.say(Event::by_itself(kind, Subject::default()));
        }
        sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::{Certificate, Pair, PrivateKey};

    const DAYS: u64 = 24 * 60 * 60;

    fn until(until: u64) -> Certificates {
        let mut all = Certificates::default();
        let about = Certificate { names: vec![], subject: String::new(), from: 0, until };
        let pair = Pair { chain: vec![], key: PrivateKey::new(b"k"), about };
        all.add_pair("shop.pem".as_ref(), "shop.key".as_ref(), pair);
        all
    }

    #[test]
    fn the_end_of_a_certificate_is_said_thrice_and_its_renewal_once() {
        let (mut said, old) = (Said::default(), until(100 * DAYS));
        let mut codes = |certificates: &Certificates, day: u64| -> Vec<String> {
            let found = said.look(certificates, &[], day * DAYS);
            found.iter().map(|kind| format!("{} {kind}", kind.code())).collect()
        };
        assert_eq!(codes(&old, 80), Vec::<String>::new());
        let first = "certificate-expires the certificate in shop.pem expires in 336h";
        assert_eq!(codes(&old, 86), [first]);
        assert_eq!(codes(&old, 90), Vec::<String>::new());
        assert_eq!(codes(&old, 98).len(), 1);
        assert_eq!(
            codes(&old, 101),
            ["certificate-expired the certificate in shop.pem has expired"]
        );
        assert_eq!(codes(&old, 102), Vec::<String>::new());
        assert_eq!(codes(&until(200 * DAYS), 102).len(), 1, "there is another");
        assert_eq!(codes(&until(200 * DAYS), 103), Vec::<String>::new());
    }
}
