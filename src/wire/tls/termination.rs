//! What a listener needs to speak TLS: its settings and the certificates that were read for it in, for
//! each name that clients ask for a certificate and whose certificates they are asked for out.
//!
//! Names that ask clients for the same share one set of rules: a session is only ever taken up under
//! the name it was made under (rustls sees to that) and with the authorities and the demand it was made
//! under (tickets are bound to them).

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio_rustls::rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, VerifierBuilderError,
    WebPkiClientVerifier,
};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

use super::ordered::OrderedCertificates;
use super::tickets::Tickets;
use crate::certificate::{Certificates, Names};
use crate::config::AcmeName;
use crate::config::{ClientCertificates, ListenerTls, Speaks, TlsVersion};
use crate::crypto;
use crate::http::secured::Scopes;
use crate::wire::clients::Common;

/// Why there is nothing to speak TLS with.
#[derive(Debug, thiserror::Error)]
pub enum TerminationError {
    /// A certificate that has not been read, or not as one.
    #[error("the certificate {0} has not been read")]
    Missing(String),
    /// What was read is of no use.
    #[error("the certificate {path}: {error}")]
    Certificate {
        /// Its file.
        path: String,
        /// In the library's words.
        error: rustls::Error,
    },
    /// Whose certificates clients have is of no use.
    #[error("the authorities of clients in {path}: {error}")]
    Clients {
        /// Their file.
        path: String,
        /// In the library's words.
        error: VerifierBuilderError,
    },
    /// The library takes no such settings.
    #[error(transparent)]
    Settings(#[from] rustls::Error),
    /// Two certificates of one name ask clients for different ones.
    #[error("two certificates for `{0}` ask clients for different certificates")]
    Torn(String),
}

/// What a listener speaks TLS with.
#[derive(Debug)]
pub struct Termination {
    offers: Arc<Offers>,
    /// By scope.
    rules: Vec<Arc<ServerConfig>>,
    /// For requests, where scopes differ.
    scopes: Option<Arc<Scopes>>,
}

/// Certificates by name.
#[derive(Debug, Default)]
struct Offers {
    names: Names<Offer>,
    /// For clients that ask for none of those.
    ordered: Option<FromAuthority>,
    /// For clients that ask for none or for an unknown one.
    default: Option<Offer>,
}

/// Those that an authority gives us.
#[derive(Debug)]
struct FromAuthority {
    directory: Arc<str>,
    certificates: Arc<OrderedCertificates>,
    /// Whose certificates clients are asked for.
    scope: usize,
}

/// What clients that ask for a name get.
#[derive(Clone, Debug)]
struct Offer {
    /// In the file's order; the first that the client can check is taken.
    keys: Vec<Arc<CertifiedKey>>,
    /// Whose certificates they are asked for.
    scope: usize,
}

/// What is found for a name.
enum Found<'o> {
    /// In files.
    Own(&'o Offer),
    /// From an authority.
    Ordered(Arc<CertifiedKey>, usize),
}

impl Offers {
    fn of(&self, name: Option<&str>) -> Option<Found<'_>> {
        if let Some(own) = name.and_then(|name| self.names.find(name)) {
            return Some(Found::Own(own));
        }
        if let Some(ordered) = &self.ordered
            // Who asks for no name gets the default, if there is one.
            && (name.is_some() || self.default.is_none())
            && let Some(key) = ordered.certificates.key(&ordered.directory, name)
        {
            return Some(Found::Ordered(key, ordered.scope));
        }
        self.default.as_ref().map(Found::Own)
    }
}

impl Termination {
    /// By these settings, with what was read for them.
    pub fn new(
        tls: &ListenerTls,
        speaks: Speaks,
        certificates: &Certificates,
        common: &Common,
    ) -> Result<Termination, TerminationError> {
        let (mut offers, mut scopes) =
            (Offers::default(), Vec::<Option<&ClientCertificates>>::new());
        for files in &tls.certificates {
            let path = || files.certificate.display().to_string();
            let pair = certificates.pair(&files.certificate, &files.key);
            let pair = pair.ok_or_else(|| TerminationError::Missing(path()))?;
            let key = crypto::signing(pair);
            let key = key.map_err(|error| TerminationError::Certificate { path: path(), error })?;
            let key = Arc::new(key);
            let client = files.client.as_ref().or(tls.client.as_ref());
            let scope = place_of(client, &mut scopes);
            for name in &pair.about.names {
                let new = || Offer { keys: Vec::new(), scope };
                let offer = offers.names.entry(name, new);
                if offer.scope != scope {
                    return Err(TerminationError::Torn(name.clone()));
                }
                offer.keys.push(key.clone());
            }
            if files.is_default {
                offers.default = Some(Offer { keys: vec![key], scope });
            }
        }
        if let Some(acme) = &tls.acme {
            let client = tls.client.as_ref();
            let scope = place_of(client, &mut scopes);
            let certificates = common.ordered.clone();
            let directory = acme.authority.directory.clone();
            offers.ordered = Some(FromAuthority { directory, certificates, scope });
        }
        let offers = Arc::new(offers);
        let rules = |client: &Option<&ClientCertificates>| {
            rules((tls.min_version, speaks), *client, certificates, &offers, common)
        };
        let rules = scopes.iter().map(rules).collect::<Result<_, _>>()?;
        let differ = (scopes.len() > 1).then(|| Arc::new(scopes_of(&offers, tls, certificates)));
        Ok(Termination { offers, rules, scopes: differ })
    }

    /// The rules for clients that ask for this name, and their place; none for a name that is unknown.
    pub(super) fn rules(&self, name: Option<&str>) -> Option<(Arc<ServerConfig>, usize)> {
        let scope = match self.offers.of(name)? {
            Found::Own(offer) => offer.scope,
            Found::Ordered(_, scope) => scope,
        };
        Some((self.rules[scope].clone(), scope))
    }

    /// By what the handshake is made if it is an authority's, which looks for something that we have put
    /// there.
    pub(super) fn challenge(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        self.offers.ordered.as_ref()?.certificates.challenge(hello)
    }

    /// For which hosts clients are asked for what, where that differs.
    pub(super) fn scopes(&self) -> Option<&Arc<Scopes>> {
        self.scopes.as_ref()
    }
}

/// The number of a scope, which is a new one if there is none yet.
fn place_of<'c>(
    client: Option<&'c ClientCertificates>,
    scopes: &mut Vec<Option<&'c ClientCertificates>>,
) -> usize {
    let known = scopes.iter().position(|known| *known == client);
    known.unwrap_or_else(|| {
        scopes.push(client);
        scopes.len() - 1
    })
}

/// The numbers of scopes by host.
fn scopes_of(offers: &Offers, tls: &ListenerTls, certificates: &Certificates) -> Scopes {
    let mut scopes = Scopes::default();
    for files in &tls.certificates {
        let pair = certificates.pair(&files.certificate, &files.key);
        for name in pair.iter().flat_map(|pair| &pair.about.names) {
            // A name with a star has its own entry.
            let plain = name.strip_prefix("*.").map(|rest| format!("x.{rest}"));
            let found = offers.names.find(plain.as_deref().unwrap_or(name));
            if let Some(offer) = found {
                scopes.names.entry(name, || offer.scope);
            }
        }
    }
    if let (Some(acme), Some(ordered)) = (&tls.acme, &offers.ordered) {
        for name in acme.names.iter().filter(|name| matches!(name, AcmeName::Host(_))) {
            let name = name.to_string();
            if offers.names.find(&name).is_none() {
                scopes.names.entry(&name, || ordered.scope);
            }
        }
    }
    scopes.default = offers.default.as_ref().map(|offer| offer.scope);
    scopes
}

fn rules(
    (min_version, speaks): (TlsVersion, Speaks),
    client: Option<&ClientCertificates>,
    certificates: &Certificates,
    offers: &Arc<Offers>,
    common: &Common,
) -> Result<Arc<ServerConfig>, TerminationError> {
    let versions = match min_version {
        TlsVersion::V1_2 => crypto::FROM_1_2,
        TlsVersion::V1_3 => crypto::FROM_1_3,
    };
    let builder = ServerConfig::builder_with_provider(crypto::provider());
    let builder = builder.with_protocol_versions(versions)?;
    let mut scope = Sha256::new();
    let builder = match client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let path = || client.ca.display().to_string();
            let authorities = certificates.authorities(&client.ca);
            let authorities = authorities.ok_or_else(|| TerminationError::Missing(path()))?;
            let mut roots = RootCertStore::empty();
            scope.update([1, u8::from(client.is_required)]);
            for der in &authorities.0 {
                roots.add(der.clone().into())?;
                scope.update((der.len() as u64).to_be_bytes());
                scope.update(der);
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots.into(), crypto::provider());
            let verifier = match client.is_required {
                true => verifier,
                false => verifier.allow_unauthenticated(),
            };
            let verifier = verifier.build();
            let failed = |error| TerminationError::Clients { path: path(), error };
            builder.with_client_cert_verifier(verifier.map_err(failed)?)
        }
    };
    let mut rules = builder.with_cert_resolver(offers.clone());
    // The first that the client knows is taken.
    let (http2, http1) = (speaks.http2, speaks.http1);
    let spoken = [(http2, &b"h2"[..]), (http1, b"http/1.1"), (http1, b"http/1.0")];
    let spoken = spoken.into_iter().filter_map(|(is_spoken, name)| is_spoken.then_some(name));
    rules.alpn_protocols = spoken.map(<[u8]>::to_vec).collect();
    // Tickets take its place, and are good for whoever has the keys.
    rules.session_storage = Arc::new(NoServerSessionStorage {});
    rules.ticketer = Arc::new(Tickets::bound_to(scope.finalize().into(), common.tickets.clone()));
    // Who sends early data may send it twice.
    rules.max_early_data_size = 0;
    Ok(Arc::new(rules))
}

impl ResolvesServerCert for Offers {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let offer = match self.of(hello.server_name())? {
            Found::Own(offer) => offer,
            Found::Ordered(key, _) => return Some(key),
        };
        let can_check =
            |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        // With none that it can check the handshake fails, and says why.
        offer.keys.iter().find(can_check).or(offer.keys.first()).cloned()
    }
}
