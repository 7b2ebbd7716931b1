//! Files of certificates and keys: what they hold in, pairs that belong together and authorities out, or
//! precisely what is wrong.

use std::io;
use std::path::Path;

use jiff::Timestamp;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, RootCertStore};

use crate::certificate::{Authorities, Certificate, Pair, PrivateKey, Unreadable, time_of};
use crate::crypto;

/// Why two files are no pair, or one holds no authorities.
#[derive(Debug, thiserror::Error)]
pub enum BadCertificate {
    /// It holds something else.
    #[error("{0} holds no certificate in PEM form")]
    NoCertificate(String),
    /// It says it does, and does not.
    #[error("certificate {nth} in {path} cannot be read: {why}")]
    Unreadable {
        /// Its file.
        path: String,
        /// Counted from one.
        nth: usize,
        /// In the library's words.
        why: String,
    },
    /// It holds something else.
    #[error("{0} holds no private key in PEM form")]
    NoKey(String),
    /// Both are good, and belong to others.
    #[error("the key in {key} does not belong to the certificate in {certificate}")]
    Mismatch {
        /// Its file.
        certificate: String,
        /// Its file.
        key: String,
    },
    /// It cannot sign.
    #[error("the key in {path} cannot be used: {why}")]
    Key {
        /// Its file.
        path: String,
        /// In the library's words.
        why: String,
    },
    /// It is good for no host.
    #[error(
        "the certificate in {0} names nobody (it has no subject alternative name): only a default \
         certificate can be used like that"
    )]
    Nameless(String),
    /// It was good once.
    #[error("the certificate in {path} has expired on {until}")]
    Expired {
        /// Its file.
        path: String,
        /// Its last moment.
        until: Timestamp,
    },
    /// It will be good.
    #[error("the certificate in {path} is good from {from} on, and not yet")]
    TooEarly {
        /// Its file.
        path: String,
        /// Its first moment.
        from: Timestamp,
    },
}

/// The pair in these two files.
pub(super) fn pair(
    (certificate, certificate_bytes): (&Path, &[u8]),
    (key, key_bytes): (&Path, &[u8]),
) -> Result<Pair, BadCertificate> {
    let chain = chain(certificate, certificate_bytes)?;
    let path = |path: &Path| path.display().to_string();
    let der = PrivateKeyDer::from_pem_slice(key_bytes);
    let der = der.map_err(|_| BadCertificate::NoKey(path(key)))?;
    let about = chain.first().map_or(Err(Unreadable), |first| Certificate::read(first));
    let about = about.map_err(|why| unreadable(certificate, 0, &why))?;
    let pair = Pair { chain, key: PrivateKey::new(der.secret_der()), about };
    match crypto::signing(&pair) {
        Ok(_) => Ok(pair),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(BadCertificate::Mismatch { certificate: path(certificate), key: path(key) })
        }
        Err(rustls::Error::InvalidCertificate(why)) => Err(unreadable(certificate, 0, &why)),
        Err(why) => Err(BadCertificate::Key { path: path(key), why: why.to_string() }),
    }
}

/// The pair in this one file of our own.
pub fn pair_in(file: &Path, bytes: &[u8]) -> Result<Pair, BadCertificate> {
    pair((file, bytes), (file, bytes))
}

/// What is wrong with its age now, in seconds since the epoch, if anything.
pub(super) fn age(file: &Path, about: &Certificate, now: u64) -> Option<BadCertificate> {
    let path = || file.display().to_string();
    if about.until < now {
        return Some(BadCertificate::Expired { path: path(), until: time_of(about.until) });
    }
    (now < about.from).then(|| BadCertificate::TooEarly { path: path(), from: time_of(about.from) })
}

/// The authorities in this file.
pub(super) fn authorities(path: &Path, bytes: &[u8]) -> Result<Authorities, BadCertificate> {
    let chain = chain(path, bytes)?;
    let mut roots = RootCertStore::empty();
    for (nth, der) in chain.iter().enumerate() {
        let added = roots.add(CertificateDer::from(&der[..]));
        added.map_err(|why| unreadable(path, nth, &why))?;
    }
    Ok(Authorities(chain))
}

/// Whom the system trusts.
pub(super) fn system() -> io::Result<Authorities> {
    let found = crypto::system_certificates()?;
    Ok(Authorities(found.into_iter().map(|der| der.to_vec()).collect()))
}

/// The certificates in a file; at least one.
fn chain(path: &Path, bytes: &[u8]) -> Result<Vec<Vec<u8>>, BadCertificate> {
    let mut chain = Vec::new();
    for (nth, der) in CertificateDer::pem_slice_iter(bytes).enumerate() {
        chain.push(der.map_err(|why| unreadable(path, nth, &why))?.to_vec());
    }
    match chain.is_empty() {
        true => Err(BadCertificate::NoCertificate(path.display().to_string())),
        false => Ok(chain),
    }
}

fn unreadable(path: &Path, nth: usize, why: &dyn std::fmt::Display) -> BadCertificate {
    let (path, why) = (path.display().to_string(), why.to_string());
    BadCertificate::Unreadable { path, nth: nth + 1, why }
}
