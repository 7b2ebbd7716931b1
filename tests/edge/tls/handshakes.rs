//! Who gets a connection by TLS, and under which certificate.

use pointsman::crypto;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::rustls::{AlertDescription, Error, NamedGroup, ProtocolVersion, version};

use super::{Shop, Talk, refused};
use crate::harness::Client;

#[tokio::test]
async fn a_certificate_is_chosen_by_the_name_that_is_asked_for() {
    let shop = Shop::with(|files, authority| {
        let of = |file, names: &[&str]| files.issue(file, authority, names);
        format!(
            "certificates = [{{ {} }}, {{ {} }}, {{ {}, default = true }}]",
            of("shop", &["shop.test"]),
            of("any", &["*.shop.test", "pay.test"]),
            of("other", &["other.test", "127.0.0.1"]),
        )
    })
    .await;
    let read = |file| {
        let pem = std::fs::read_to_string(shop.files.paths(file).0).unwrap();
        rustls_pem(&pem)
    };
    for (name, file) in [
        ("shop.test", "shop"),
        ("SHOP.test", "shop"),
        ("a.shop.test", "any"),
        ("pay.test", "any"),
        ("other.test", "other"),
        // Without a name: an address is none.
        ("127.0.0.1", "other"),
    ] {
        let mut talk = shop.connect(name).await;
        assert_eq!(talk.shown(), read(file), "{name}");
        assert_eq!(talk.get("shop.test", &[]).await.status, 200);
    }
    // An unknown name gets the default, which is not for it.
    let unknown = Talk::make(shop.edge.address, "a.b.shop.test", shop.authority.clients()).await;
    assert!(matches!(refused(unknown).await, Error::InvalidCertificate(_)));
    shop.until_handshakes("alert", 1).await;
    assert_eq!(shop.handshakes("full").await, 6);
}

fn rustls_pem(pem: &str) -> Vec<u8> {
    use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

#[tokio::test]
async fn an_unknown_name_is_refused_where_no_certificate_is_the_default() {
    let shop = Shop::with(|files, authority| {
        format!("certificates = [{{ {} }}]", files.issue("shop", authority, &["shop.test"]))
    })
    .await;
    for name in ["pay.test", "127.0.0.1"] {
        let made = Talk::make(shop.edge.address, name, shop.authority.clients()).await;
        let said = Error::AlertReceived(AlertDescription::UnrecognisedName);
        assert_eq!(refused(made).await, said, "{name}");
    }
    shop.until_handshakes("unknown_name", 2).await;
    assert_eq!(shop.connect("shop.test").await.get("shop.test", &[]).await.status, 200);
}

#[tokio::test]
async fn the_oldest_version_is_the_one_that_is_set() {
    let with = |version: &'static str| {
        Shop::with(move |files, authority| {
            let shop = files.issue("shop", authority, &["shop.test"]);
            format!("min_version = \"{version}\"\ncertificates = [{{ {shop} }}]")
        })
    };
    let (old, new) = (with("1.2").await, with("1.3").await);
    let by_1_2 = |shop: &Shop| {
        let clients = shop.authority.clients_of(&[&version::TLS12], None);
        Talk::make(shop.edge.address, "shop.test", clients)
    };
    let mut talk = by_1_2(&old).await.unwrap();
    assert_eq!(talk.stream.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    assert_eq!(talk.get("shop.test", &[]).await.status, 200);
    let said = Error::AlertReceived(AlertDescription::ProtocolVersion);
    assert_eq!(refused(by_1_2(&new).await).await, said);
    new.until_handshakes("version", 1).await;
    assert_eq!(new.connect("shop.test").await.get("shop.test", &[]).await.status, 200);
}

#[cfg(feature = "aws-lc")]
#[tokio::test]
async fn the_key_exchange_stands_up_to_quantum_computers_where_the_client_knows_of_it() {
    let shop = Shop::start().await;
    let group =
        |talk: &Talk| talk.stream.get_ref().1.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group(&shop.connect("shop.test").await), NamedGroup::X25519MLKEM768);
    let mut old = (*crypto::provider()).clone();
    old.kx_groups.retain(|group| group.name() == NamedGroup::secp256r1);
    let builder = tokio_rustls::rustls::ClientConfig::builder_with_provider(old.into());
    let builder = builder.with_protocol_versions(crypto::FROM_1_2).unwrap();
    let mut roots = tokio_rustls::rustls::RootCertStore::empty();
    roots.add(rustls_pem(&shop.authority.pem()).into()).unwrap();
    let clients = builder.with_root_certificates(roots).with_no_client_auth();
    let talk = Talk::make(shop.edge.address, "shop.test", clients).await.unwrap();
    assert_eq!(group(&talk), NamedGroup::secp256r1);
}

#[tokio::test]
async fn what_is_no_tls_is_told_so_and_counted() {
    let shop = Shop::start().await;
    let mut plain = Client::connect(shop.edge.address).await;
    plain.send("GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
    let told = plain.response().await;
    assert_eq!((told.status, told.fields("connection")), (400, vec!["close"]));
    assert!(told.body.contains("HTTPS is spoken here"), "{told:?}");
    drop(plain);
    shop.until_handshakes("plain_http", 1).await;
    // A record that is too long, one of another kind, and data before anything else.
    for bytes in [&[22, 3, 1, 255, 255, 1][..], &[0x80, 0x2e, 1, 3, 1, 0, 0], &[23, 3, 3, 0, 1, 9]]
    {
        let mut socket = TcpStream::connect(shop.edge.address).await.unwrap();
        socket.write_all(bytes).await.unwrap();
        let mut said = Vec::new();
        // It may be reset behind what it was told.
        let _ = socket.read_to_end(&mut said).await;
        assert!(said.is_empty() || said[0] == 21, "an alert: {said:?}");
    }
    shop.until_handshakes("malformed", 3).await;
    drop(TcpStream::connect(shop.edge.address).await.unwrap());
    let mut half = TcpStream::connect(shop.edge.address).await.unwrap();
    half.write_all(&[22, 3, 1, 0, 200, 1, 0]).await.unwrap();
    drop(half);
    shop.until_handshakes("closed", 2).await;
    assert_eq!(shop.connect("shop.test").await.get("shop.test", &[]).await.status, 200);
    assert_eq!(shop.origin.asked(), 1, "nothing else has gone on");
}

#[tokio::test]
async fn a_handshake_has_its_time_and_no_more() {
    let shop = Shop::with(|files, authority| {
        let shop = files.issue("shop", authority, &["shop.test"]);
        format!("certificates = [{{ {shop} }}]\n[server.client]\nheader_timeout = \"100ms\"")
    })
    .await;
    let mut silent = TcpStream::connect(shop.edge.address).await.unwrap();
    let mut half = TcpStream::connect(shop.edge.address).await.unwrap();
    half.write_all(&[22, 3, 1, 0, 200, 1, 0]).await.unwrap();
    for socket in [&mut silent, &mut half] {
        assert_eq!(socket.read(&mut [0; 8]).await.unwrap_or(0), 0, "it is closed");
    }
    shop.until_handshakes("timeout", 2).await;
}

#[tokio::test]
async fn a_client_that_speaks_nothing_that_is_spoken_here_is_refused() {
    let shop = Shop::start().await;
    let with = |spoken: &'static [u8]| {
        let mut clients = shop.authority.clients();
        clients.alpn_protocols = vec![spoken.to_vec()];
        Talk::make(shop.edge.address, "shop.test", clients)
    };
    let said = Error::AlertReceived(AlertDescription::NoApplicationProtocol);
    assert_eq!(refused(with(b"spdy/3").await).await, said);
    shop.until_handshakes("protocol", 1).await;
    let mut talk = with(b"http/1.1").await.unwrap();
    assert_eq!(talk.stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(talk.get("shop.test", &[]).await.status, 200);
}
