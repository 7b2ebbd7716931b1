//! Certificates of an authority of the test's own, in memory and in files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pointsman::crypto;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    PublicKeyData, SerialNumber, date_time_ymd,
};
use tempfile::TempDir;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

/// Who signs certificates.
pub struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
    key_identifier: Vec<u8>,
}

/// A certificate with its key.
pub struct Issued {
    pub certificate: rcgen::Certificate,
    pub key: KeyPair,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = named(name);
        let certificate = params.self_signed(&key).unwrap();
        let key_identifier = params.key_identifier(&key);
        Authority { certificate, issuer: Issuer::new(params, key), key_identifier }
    }

    /// A certificate for these names.
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(names, |_| {})
    }

    /// A certificate of this subject.
    pub fn issue_to(&self, subject: &str) -> Issued {
        self.issue_with(&[], |params| params.distinguished_name = named(subject))
    }

    /// A certificate that was good in the year 2020 alone.
    pub fn issue_expired(&self, names: &[&str]) -> Issued {
        self.issue_with(names, |params| {
            (params.not_before, params.not_after) =
                (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 12, 31));
        })
    }

    /// A certificate that is good between these times.
    pub fn issue_between(&self, names: &[&str], from: SystemTime, until: SystemTime) -> Issued {
        self.issue_with(names, |params| {
            (params.not_before, params.not_after) = (from.into(), until.into());
        })
    }

    fn issue_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.serial_number = Some(SerialNumber::from(SERIAL.to_vec()));
        params.use_authority_key_identifier_extension = true;
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued { certificate, key }
    }

    /// A certificate of somebody else's key for these names, good for 90 days (PEM).
    pub fn sign(&self, names: &[&str], key: &impl PublicKeyData) -> String {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        let (now, day) = (SystemTime::now(), Duration::from_secs(24 * 60 * 60));
        (params.not_before, params.not_after) = (now.into(), (now + day * 90).into());
        params.use_authority_key_identifier_extension = true;
        params.signed_by(key, &self.issuer).unwrap().pem()
    }

    /// What certificates say of the key that they are signed by.
    pub fn key_identifier(&self) -> Vec<u8> {
        self.key_identifier.clone()
    }

    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub fn der(&self) -> Vec<u8> {
        self.certificate.der().to_vec()
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        Arc::new(roots)
    }

    /// Clients that trust it and show nothing.
    pub fn clients(&self) -> ClientConfig {
        self.clients_of(crypto::FROM_1_2, None)
    }

    /// Clients of these versions that show this.
    pub fn clients_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        shown: Option<&Issued>,
    ) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(crypto::provider());
        let builder = builder.with_protocol_versions(versions).unwrap();
        let builder = builder.with_root_certificates(self.roots());
        match shown {
            None => builder.with_no_client_auth(),
            Some(shown) => builder.with_client_auth_cert(shown.chain(), shown.der_key()).unwrap(),
        }
    }
}

impl Issued {
    pub fn der(&self) -> Vec<u8> {
        self.certificate.der().to_vec()
    }

    /// Its number.
    pub fn serial(&self) -> Vec<u8> {
        SERIAL.to_vec()
    }

    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.der().clone()]
    }

    pub fn der_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }
}

/// Nobody here tells certificates apart by their numbers.
const SERIAL: [u8; 8] = [0x41, 2, 3, 4, 5, 6, 7, 8];

fn named(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

/// A folder of certificates and keys.
pub struct Files(TempDir);

impl Files {
    pub fn new() -> Files {
        Files(TempDir::new().unwrap())
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a certificate for these names with its key; what a config says of both.
    pub fn issue(&self, file: &str, authority: &Authority, names: &[&str]) -> String {
        self.put(file, &authority.issue(names))
    }

    /// Writes a certificate with its key; what a config says of both.
    pub fn put(&self, file: &str, issued: &Issued) -> String {
        let (certificate, key) = self.paths(file);
        replace(&certificate, &issued.certificate.pem());
        replace(&key, &issued.key.serialize_pem());
        let (certificate, key) = (certificate.display(), key.display());
        format!("certificate = \"{certificate}\", key = \"{key}\"")
    }

    /// Where a certificate and its key are.
    pub fn paths(&self, file: &str) -> (PathBuf, PathBuf) {
        (self.at(&format!("{file}.pem")), self.at(&format!("{file}.key")))
    }

    /// Writes an authority; its path as a config has it.
    pub fn authority(&self, file: &str, authority: &Authority) -> String {
        let path = self.at(file);
        replace(&path, &authority.pem());
        format!("\"{}\"", path.display())
    }
}

/// Puts a file in its place as a whole, for its owner alone.
pub fn replace(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(beside, path).unwrap();
}
