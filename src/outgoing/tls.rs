//! The client's side of TLS to upstreams: a pool's settings in, what a handshake is made with out.

use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use crate::crypto;
use crate::snapshot::Snapshot;
use crate::upstream::{TlsTarget, TlsTerms, Trust};

/// What a handshake with this upstream is made with: the same for all that are dialled by the same
/// settings, so that sessions are taken up again.
pub fn client(target: &TlsTarget) -> Made {
    let other = || Err(Error::General("settings of another kind".into()));
    made(&target.terms).cloned().unwrap_or_else(other)
}

/// Makes it for all pools: a hundred authorities take a while to be read, and no request is to wait for it.
pub fn make_ready(snapshot: &Snapshot) {
    let pools = snapshot.services.iter().flat_map(|service| &service.pools);
    let of_pools = pools.filter_map(|pool| pool.tls.as_ref());
    for terms in of_pools.chain(snapshot.doors.tls()) {
        // What is wrong with it whoever dials is told.
        made(terms);
    }
}

type Made = Result<Arc<ClientConfig>, Error>;

fn made(terms: &TlsTerms) -> Option<&Made> {
    terms.ready::<Made>(|terms| make(terms).map(Arc::new))
}

/// The name that it has to show.
pub fn server_name(target: &TlsTarget) -> Result<ServerName<'static>, Error> {
    let name = ServerName::try_from(target.name.to_string());
    name.map_err(|_| Error::General(format!("`{}` is no name for a certificate", target.name)))
}

fn make(terms: &TlsTerms) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(crypto::provider());
    let builder = builder.with_protocol_versions(crypto::FROM_1_2)?;
    let builder = match &terms.trust {
        Trust::Signed(authorities) => {
            let mut roots = RootCertStore::empty();
            // Of the system's some cannot be read, as elsewhere; those of a file have been.
            roots.add_parsable_certificates(authorities.0.iter().map(|der| der[..].into()));
            builder.with_root_certificates(roots)
        }
        Trust::Anybody => {
            let dangerous = builder.dangerous();
            dangerous.with_custom_certificate_verifier(Arc::new(Anybody))
        }
    };
    let config = match &terms.own {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let chain = pair.chain.iter().map(|der| der.clone().into()).collect();
            builder.with_client_auth_cert(chain, crypto::key(&pair.key)?)?
        }
    };
    Ok(config)
}

/// How certificates may be signed.
fn known() -> WebPkiSupportedAlgorithms {
    crypto::provider().signature_verification_algorithms
}

/// Believes whoever has the key of the certificate that it shows.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &known())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &known())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        known().supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::config::Config;
    use crate::snapshot::{Blueprint, RunTime};
    use crate::split::Secret;

    #[test]
    fn no_request_waits_until_authorities_are_read() {
        let text = "[[listeners]]\naddress = \"127.0.0.1:0\"\n[services.shop.pools.blue]\n\
                    upstreams = [\"127.0.0.1:9\"]\ntls = { verify = false }\n";
        let (config, _) = Config::parse(text).unwrap();
        let (run_time, secret) = (RunTime::default(), Secret([0; 16]));
        let config = Arc::new(config);
        let blueprint = Blueprint { config, run_time: &run_time, secret, now: Instant::now() };
        let snapshot = Snapshot::build(&blueprint, None);
        make_ready(&snapshot);
        let terms = snapshot.services[0].pools[0].tls.as_ref().unwrap();
        let made = terms.ready::<Made>(|_| panic!("it is made already"));
        assert!(made.unwrap().is_ok());
    }
}
