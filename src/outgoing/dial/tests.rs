use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{CertificateError, Error, ServerConfig};

use super::*;

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// The authority of [`acceptor`]'s certificate.
fn authority() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(include_str!("test_ca.pem"))).unwrap();
    roots
}

/// A dialer that trusts the authority of [`acceptor`]'s certificate.
pub fn dialer() -> Dialer {
    Dialer::trusting(authority())
}

/// The client's side, which trusts it too.
pub fn client_config() -> ClientConfig {
    ClientConfig::builder_with_provider(crypto::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(authority())
        .with_no_client_auth()
}

/// The server's side, with a certificate for `shop.test` and 127.0.0.1 that ends in the year 2126.
pub fn acceptor(speaks: &[u8]) -> TlsAcceptor {
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("test_server.key")).unwrap();
    let mut config = ServerConfig::builder_with_provider(crypto::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate(include_str!("test_server.pem"))], key)
        .unwrap();
    config.alpn_protocols = vec![speaks.to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// The SNI and the first bytes that a server is sent over TLS by a dialer asking for this name.
async fn dial(dialer: Dialer, name: &str) -> Result<(Option<String>, Vec<u8>), DialError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = DialAddress::Socket(listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor(b"http/1.1").accept(stream).await.ok()?;
        let name = stream.get_ref().1.server_name().map(str::to_string);
        let mut bytes = vec![0; 2];
        stream.read_exact(&mut bytes).await.ok()?;
        Some((name, bytes))
    });
    let mut stream = dialer.connect_tls(&target, name, Speaks::Http1).await?;
    stream.write_all(b"hi").await.unwrap();
    stream.flush().await.unwrap();
    Ok(server.await.unwrap().unwrap())
}

#[tokio::test]
async fn a_trusted_certificate_for_the_name_or_the_address_is_accepted() {
    let named = dial(dialer(), "shop.test").await;
    assert_eq!(named, Ok((Some("shop.test".into()), b"hi".to_vec())));
    assert_eq!(dial(dialer(), "127.0.0.1").await, Ok((None, b"hi".to_vec())));
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let failure = dial(dialer(), "pay.test").await.unwrap_err();
    let DialError::Tls(Error::InvalidCertificate(cause)) = &failure else {
        panic!("{failure}");
    };
    assert!(matches!(cause, CertificateError::NotValidForNameContext { .. }), "{cause}");
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let failure = dial(Dialer::default(), "shop.test").await.unwrap_err();
    let expected = DialError::Tls(Error::InvalidCertificate(CertificateError::UnknownIssuer));
    assert_eq!(failure, expected);
}

#[tokio::test]
async fn a_unix_socket_is_dialled_too() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("shop.sock");
    let target = DialAddress::Unix(path.to_str().unwrap().into());
    let missing = Dialer::default().connect(&target).await.err();
    assert_eq!(missing, Some(DialError::Connect(std::io::ErrorKind::NotFound)));
    let _listener = tokio::net::UnixListener::bind(&path).unwrap();
    assert!(Dialer::default().connect(&target).await.is_ok());
}
