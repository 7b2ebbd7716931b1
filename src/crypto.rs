//! The one provider of cryptography, for everything that speaks TLS and for what is sealed with a key of
//! ours.
//!
//! aws-lc is the usual one: only it has the key exchange that stands up to quantum computers, which
//! browsers offer by themselves. `ring` takes its place by a feature, for builds that have no C compiler
//! for the target.

use std::io;
use std::sync::{Arc, LazyLock};

use tokio_rustls::rustls::crypto::{CryptoProvider, GetRandomFailed};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, version};

#[cfg(feature = "aws-lc")]
use aws_lc_rs::aead;
#[cfg(not(feature = "aws-lc"))]
use ring::aead;

use crate::certificate::{Pair, PrivateKey};

#[cfg(not(any(feature = "aws-lc", feature = "ring")))]
compile_error!("TLS needs a provider: build with the feature `aws-lc` or `ring`");

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(ours()));

/// With aws-lc the hybrid of X25519 and ML-KEM comes first. All suites are in Mozilla's intermediate
/// list: nine, all with forward secrecy and AEAD.
#[cfg(feature = "aws-lc")]
fn ours() -> CryptoProvider {
    use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
    let kx_groups =
        vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
    CryptoProvider { kx_groups, ..default_provider() }
}

#[cfg(not(feature = "aws-lc"))]
fn ours() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

/// Versions of TLS that are spoken; those before 1.2 are not there at all.
pub static FROM_1_2: &[&rustls::SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];
/// Version 1.3 alone.
pub static FROM_1_3: &[&rustls::SupportedProtocolVersion] = &[&version::TLS13];

/// The provider.
pub fn provider() -> Arc<CryptoProvider> {
    PROVIDER.clone()
}

/// Makes it the one for libraries that ask for none. To be called before any of them is.
pub fn install() {
    // Whoever was first in a process of tests has installed the same.
    let _ = CryptoProvider::clone(&PROVIDER).install_default();
}

/// Fresh bytes that nobody can guess.
pub fn random<const N: usize>() -> Result<[u8; N], GetRandomFailed> {
    let mut bytes = [0; N];
    PROVIDER.secure_random.fill(&mut bytes)?;
    Ok(bytes)
}

/// The certificates of whom the system trusts. Those that cannot be read are left out, as elsewhere; an
/// error if that is all of them.
pub fn system_certificates() -> io::Result<Vec<CertificateDer<'static>>> {
    let found = rustls_native_certs::load_native_certs();
    match found.errors.into_iter().next() {
        Some(error) if found.certs.is_empty() => Err(io::Error::other(error)),
        _ => Ok(found.certs),
    }
}

/// A pair as it signs handshakes; an error if its key cannot, or belongs to another certificate.
pub fn signing(pair: &Pair) -> Result<CertifiedKey, rustls::Error> {
    let chain = pair.chain.iter().map(|der| der.clone().into()).collect();
    CertifiedKey::from_der(chain, key(&pair.key)?, &PROVIDER)
}

/// The same of what nobody checks, such as a certificate with a part that the library does not know.
pub fn signing_unchecked(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, rustls::Error> {
    Ok(CertifiedKey::new(chain, PROVIDER.key_provider.load_private_key(key)?))
}

/// A private key as the library has it.
pub fn key(key: &PrivateKey) -> Result<PrivateKeyDer<'static>, rustls::Error> {
    let key = PrivateKeyDer::try_from(key.der().to_vec());
    key.map_err(|why| rustls::Error::General(why.into()))
}

/// A key that seals what others keep for us: AES-256-GCM.
pub struct Seal(aead::LessSafeKey);

/// The bytes of a number that is used once with a key.
pub const NONCE: usize = aead::NONCE_LEN;

impl Seal {
    /// With this key; none if the library does not take it.
    pub fn new(key: &[u8; 32]) -> Option<Seal> {
        let key = aead::UnboundKey::new(&aead::AES_256_GCM, key).ok()?;
        Some(Seal(aead::LessSafeKey::new(key)))
    }

    /// Seals a text, bound to `to`. The nonce is never used again with this key.
    pub fn seal(&self, nonce: [u8; NONCE], to: &[u8], mut text: Vec<u8>) -> Option<Vec<u8>> {
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        self.0.seal_in_place_append_tag(nonce, aead::Aad::from(to), &mut text).ok()?;
        Some(text)
    }

    /// What was sealed; none if it was not by this key, with this nonce and bound to this.
    pub fn open(&self, nonce: [u8; NONCE], to: &[u8], mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        let length = self.0.open_in_place(nonce, aead::Aad::from(to), &mut sealed).ok()?.len();
        sealed.truncate(length);
        Some(sealed)
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal(…)")
    }
}
