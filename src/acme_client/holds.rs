//! Authorities that are left alone for all certificates: what has come of an order in, until when out.
//!
//! Each certificate waits for itself after an order that has failed. An authority that cannot be reached, or
//! has had enough of our account, would yet be asked as often as there are certificates.

use std::sync::Arc;

use super::failure::{Failure, Of};
use crate::acme::{Attempts, Refused};
use crate::config::AcmeAuthority;

/// By authority; few have any.
#[derive(Debug, Default)]
pub(super) struct Holds(Vec<(Arc<AcmeAuthority>, Attempts)>);

impl Holds {
    /// Before that nothing is asked of this authority, in seconds since the epoch.
    pub fn until(&self, authority: &AcmeAuthority, now: u64) -> u64 {
        let held = self.0.iter().find(|(held, _)| **held == *authority);
        held.map_or(0, |(_, attempts)| attempts.allow(0, now))
    }

    /// An order has come to nothing, or to a certificate.
    pub fn note(
        &mut self,
        authority: &Arc<AcmeAuthority>,
        failure: Option<&Failure>,
        now: u64,
        draw: u64,
    ) {
        let refused = match failure.map(|failure| (failure.of, failure.refused)) {
            Some((Of::Authority, refused)) => refused,
            // How long it wants to be left alone may be for one name. If it is for all, the next one finds
            // that out, and waits are longer then.
            Some((Of::Either, _)) => Refused::default(),
            Some((Of::Certificate, _)) | None => {
                return self.0.retain(|(held, _)| held != authority);
            }
        };
        match self.0.iter_mut().find(|(held, _)| held == authority) {
            Some((_, attempts)) => *attempts = attempts.failed(now, refused, draw),
            None => {
                let attempts = Attempts::default().failed(now, refused, draw);
                self.0.push((authority.clone(), attempts));
            }
        }
    }

    /// Somebody has put something right.
    pub fn hurry(&mut self) {
        self.0.iter_mut().for_each(|(_, attempts)| *attempts = attempts.hurried());
    }

    /// Forgets those of which nothing is wanted any more.
    pub fn retain(&mut self, is_wanted: impl Fn(&AcmeAuthority) -> bool) {
        self.0.retain(|(held, _)| is_wanted(held));
    }
}
