//! Certificates with their keys, and those of authorities, as they were in the files that the config
//! names.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Certificate;

/// A certificate with its chain and its key, which belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The certificate itself first, each in DER.
    pub chain: Vec<Vec<u8>>,
    /// The key.
    pub key: PrivateKey,
    /// What the certificate says.
    pub about: Certificate,
}

/// A private key, in DER of whichever kind. No log and no diff shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey(Arc<[u8]>);

/// Certificates of authorities, each in DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorities(pub Vec<Vec<u8>>);

/// All of them that a config names, by their files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificates(Arc<Files>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Files {
    /// By the certificate's and the key's.
    pairs: BTreeMap<(PathBuf, PathBuf), Arc<Pair>>,
    authorities: BTreeMap<PathBuf, Arc<Authorities>>,
    /// Whom the system trusts, if that is asked for.
    system: Option<Arc<Authorities>>,
}

impl PrivateKey {
    /// The key of these bytes, which nobody has looked at.
    pub fn new(der: &[u8]) -> PrivateKey {
        PrivateKey(der.into())
    }

    /// For whoever signs.
    pub fn der(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

impl Certificates {
    /// The pair that was in these files.
    pub fn pair(&self, certificate: &Path, key: &Path) -> Option<&Arc<Pair>> {
        self.0.pairs.get(&(certificate.to_path_buf(), key.to_path_buf()))
    }

    /// All pairs, with the file of each one's certificate.
    pub fn pairs(&self) -> impl Iterator<Item = (&Path, &Arc<Pair>)> {
        self.0.pairs.iter().map(|((certificate, _), pair)| (&**certificate, pair))
    }

    /// The authorities that were in this file.
    pub fn authorities(&self, file: &Path) -> Option<&Arc<Authorities>> {
        self.0.authorities.get(file)
    }

    /// All authorities, with the file of each.
    pub fn all_authorities(&self) -> impl Iterator<Item = (&Path, &Arc<Authorities>)> {
        self.0.authorities.iter().map(|(file, authorities)| (&**file, authorities))
    }

    /// Whom the system trusts.
    pub fn system(&self) -> Option<&Arc<Authorities>> {
        self.0.system.as_ref()
    }

    /// Says whom the system trusts.
    pub fn set_system(&mut self, authorities: Authorities) {
        Arc::make_mut(&mut self.0).system = Some(Arc::new(authorities));
    }

    /// Adds what was in two files.
    pub fn add_pair(&mut self, certificate: &Path, key: &Path, pair: Pair) {
        let place = (certificate.to_path_buf(), key.to_path_buf());
        Arc::make_mut(&mut self.0).pairs.insert(place, Arc::new(pair));
    }

    /// Adds what was in a file.
    pub fn add_authorities(&mut self, file: &Path, authorities: Authorities) {
        let authorities = Arc::new(authorities);
        Arc::make_mut(&mut self.0).authorities.insert(file.to_path_buf(), authorities);
    }
}
