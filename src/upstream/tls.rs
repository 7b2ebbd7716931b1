//! TLS to an upstream: whom it has to be and what it is shown, as part of where it is dialled. So a
//! connection that was made by other settings, or under another name, is never taken for it.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use super::DialAddress;
use crate::certificate::{Authorities, Pair};

/// Who is believed to be an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Who has a certificate of one of these for its name.
    Signed(Arc<Authorities>),
    /// Whoever answers.
    Anybody,
}

/// How the upstreams of a pool speak TLS.
pub struct TlsTerms {
    /// Who is believed.
    pub trust: Trust,
    /// What they are shown, if they ask for it.
    pub own: Option<Arc<Pair>>,
    /// What a client makes of it, once and for all who dial.
    ready: OnceLock<Box<dyn Any + Send + Sync>>,
}

/// An upstream that is dialled by TLS.
#[derive(Clone, Debug)]
pub struct TlsTarget {
    /// Where it is.
    pub below: DialAddress,
    /// The name that it is asked for and has to show; never empty.
    pub name: Arc<str>,
    /// Whether HTTP/2 is spoken inside.
    pub http2: bool,
    /// How it speaks.
    pub terms: Arc<TlsTerms>,
}

impl TlsTerms {
    /// These, with nothing made of them yet.
    pub fn new(trust: Trust, own: Option<Arc<Pair>>) -> TlsTerms {
        TlsTerms { trust, own, ready: OnceLock::new() }
    }

    /// What was made of them, or is made now. All who ask make the same kind.
    pub fn ready<T: Any + Send + Sync>(&self, make: impl FnOnce(&TlsTerms) -> T) -> Option<&T> {
        self.ready.get_or_init(|| Box::new(make(self))).downcast_ref()
    }
}

impl TlsTarget {
    /// The same at another place.
    pub fn with_below(&self, below: DialAddress) -> TlsTarget {
        TlsTarget { below, ..self.clone() }
    }
}

impl fmt::Debug for TlsTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsTerms").finish_non_exhaustive()
    }
}

impl PartialEq for TlsTerms {
    fn eq(&self, other: &TlsTerms) -> bool {
        self.trust == other.trust && self.own == other.own
    }
}

impl Eq for TlsTerms {}

impl PartialEq for TlsTarget {
    fn eq(&self, other: &TlsTarget) -> bool {
        // The same most often: what is alike is kept from one snapshot to the next.
        let are_same = || Arc::ptr_eq(&self.terms, &other.terms) || self.terms == other.terms;
        let spoken = self.http2 == other.http2;
        self.below == other.below && self.name == other.name && spoken && are_same()
    }
}

impl Eq for TlsTarget {}

impl Hash for TlsTarget {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.below.hash(state);
        self.name.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_dialled_by_other_settings_or_under_another_name_is_somebody_else() {
        let address = || DialAddress::Socket(([127, 0, 0, 1], 443).into());
        let signed = |ca: u8| Trust::Signed(Arc::new(Authorities(vec![vec![ca]])));
        let of = |name: &str, trust| {
            let terms = Arc::new(TlsTerms::new(trust, None));
            DialAddress::Tls(Arc::new(TlsTarget {
                below: address(),
                name: name.into(),
                http2: false,
                terms,
            }))
        };
        let one = of("a.test", signed(1));
        assert_eq!(one, of("a.test", signed(1)), "what is read again is the same");
        for other in [
            address(),
            of("b.test", signed(1)),
            of("a.test", signed(2)),
            of("a.test", Trust::Anybody),
        ] {
            assert_ne!(one, other);
        }
    }
}
