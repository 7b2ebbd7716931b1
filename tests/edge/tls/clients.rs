//! Certificates of clients: who has to show one, what upstreams are told, and that nobody can say it
//! himself.

use pointsman::crypto;
use tokio_rustls::rustls::{AlertDescription, Error};

use super::certificates::{Authority, Files};
use super::{Shop, Talk, refused};
use crate::harness::{Edge, Origin};

const FIELD: &str = "x-client-cert-subject";

/// Under these names a client shows what it is to show.
async fn talk(
    shop: &Shop,
    name: &str,
    shown: Option<&super::certificates::Issued>,
) -> std::io::Result<Talk> {
    let clients = shop.authority.clients_of(crypto::FROM_1_2, shown);
    Talk::make(shop.edge.address, name, clients).await
}

fn one(files: &Files, authority: &Authority, client: &str) -> String {
    let shop = files.issue("shop", authority, &["shop.test"]);
    let ca = files.authority("clients.pem", authority);
    format!("certificates = [{{ {shop} }}]\nclient = {{ ca = {ca}{client} }}")
}

#[tokio::test]
async fn a_required_certificate_is_asked_for_and_its_subject_goes_upstream() {
    let shop = Shop::with(|files, authority| one(files, authority, "")).await;
    let ada = shop.authority.issue_to("Ada, of \"Accounts\"");
    let mut known = talk(&shop, "shop.test", Some(&ada)).await.unwrap();
    let forged = [&*format!("{FIELD}: CN=root"), "connection: x-client-cert-subject"];
    assert_eq!(known.get("shop.test", &forged).await.status, 200);
    assert_eq!(shop.origin.only().fields(FIELD), [r#"CN=Ada\, of \"Accounts\""#]);
    let none = refused(talk(&shop, "shop.test", None).await).await;
    assert_eq!(none, Error::AlertReceived(AlertDescription::CertificateRequired));
    let stranger = Authority::new("other").issue_to("Ada, of \"Accounts\"");
    let stranger = refused(talk(&shop, "shop.test", Some(&stranger)).await).await;
    assert!(matches!(stranger, Error::AlertReceived(_)), "{stranger:?}");
    shop.until_handshakes("client_certificate", 2).await;
    assert_eq!(shop.origin.asked(), 1);
}

#[tokio::test]
async fn an_optional_certificate_may_be_left_out_and_nobody_says_who_he_is_himself() {
    let shop = Shop::with(|files, authority| one(files, authority, ", required = false")).await;
    let ada = shop.authority.issue_to("ada");
    let mut known = talk(&shop, "shop.test", Some(&ada)).await.unwrap();
    let mut unknown = talk(&shop, "shop.test", None).await.unwrap();
    let forged = format!("{FIELD}: CN=root");
    for talk in [&mut known, &mut unknown] {
        assert_eq!(talk.get("shop.test", &[&forged]).await.status, 200);
    }
    let told = shop.origin.received();
    assert_eq!(told[0].fields(FIELD), ["CN=ada"]);
    assert_eq!(told[1].fields(FIELD), Vec::<&str>::new());
}

#[tokio::test]
async fn the_subject_of_a_certificate_is_taken_from_everybody_on_every_listener() {
    let origin = Origin::named("blue").await;
    let text = format!(
        "[server]\nworkers = 1\ntrusted_proxies = [\"127.0.0.1\"]\nclient.odd_names = \"pass\"\n\
         [[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n{}",
        crate::harness::edge::shop(&[("blue", &origin)], "")
    );
    let edge = Edge::start_file(&text, false).await;
    let forged = ["X-Client-Cert-Subject: CN=root", "x_client_cert_subject: CN=root"];
    assert_eq!(edge.get(&forged).await.status, 200);
    let head = origin.only().head.to_ascii_lowercase();
    assert!(!head.contains("cn=root"), "of a trusted proxy too: {head}");
}

#[tokio::test]
async fn names_that_ask_for_different_certificates_share_neither_requests_nor_tickets() {
    let mut partner = None;
    let shop = Shop::with(|files, authority| {
        let other = Authority::new("partners");
        let ca = files.authority("partners.pem", &other);
        partner = Some(other);
        format!(
            "certificates = [{{ {}, default = true }}, {{ {}, client = {{ ca = {ca} }} }}]",
            files.issue("shop", authority, &["shop.test", "www.test"]),
            files.issue("api", authority, &["api.test"]),
        )
    })
    .await;
    let shown = partner.unwrap().issue_to("partner");
    let mut open = talk(&shop, "shop.test", None).await.unwrap();
    assert_eq!(open.get("www.test", &[]).await.status, 200, "the same is asked for there");
    let elsewhere = open.get("api.test", &[]).await;
    assert_eq!(elsewhere.status, 421, "nobody has shown anything");
    assert_eq!(open.get("shop.test", &[]).await.status, 200, "the connection goes on");
    let mut api = talk(&shop, "api.test", Some(&shown)).await.unwrap();
    assert_eq!(api.get("API.test:443", &[]).await.status, 200);
    assert_eq!(api.get("shop.test", &[]).await.status, 421);
    assert_eq!(shop.origin.asked(), 3);
    let refused = refused(talk(&shop, "api.test", None).await).await;
    assert_eq!(refused, Error::AlertReceived(AlertDescription::CertificateRequired));
}

#[tokio::test]
async fn one_name_cannot_ask_for_different_certificates() {
    let (files, ours) = (Files::new(), Authority::new("ours"));
    let ca = files.authority("clients.pem", &ours);
    let (one, two) =
        (files.issue("one", &ours, &["a.test"]), files.issue("two", &ours, &["b.test", "a.test"]));
    let file = files.at("p.toml");
    let text = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\ntls.certificates = [{{ {one} }}, {{ {two}, \
         client = {{ ca = {ca} }} }}]\n[services.a.pools.b]\nupstreams = [\"127.0.0.1:1\"]\n"
    );
    std::fs::write(&file, text).unwrap();
    let said = super::checked(&file).await;
    assert!(
        said.contains("two certificates for `a.test` ask clients for different ones"),
        "{said}"
    );
    assert!(said.contains("p.toml:3:"), "{said}");
}
