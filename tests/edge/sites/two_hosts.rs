//! Two hosts, an API below one of them, staff on the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use super::{Site, block, with};
use crate::harness::running::free;
use crate::harness::{Origin, Reply, client};
use crate::tls::Talk;
use crate::tls::certificates::{Authority, replace};

/// The site before these origins, with these clients as staff; its ports, and whom to trust.
async fn site(web: &Origin, api: &Origin, office: &str) -> (Site, [SocketAddr; 2], Authority) {
    let (plain, tls) = (free(), free());
    let folder = TempDir::new().unwrap();
    let authority = Authority::new("ours");
    let issued = authority.issue(&["example.com", "*.example.com"]);
    let file = |name: &str| folder.path().join(name);
    replace(&file("example.com.pem"), &issued.certificate.pem());
    replace(&file("example.com.key"), &issued.key.serialize_pem());
    std::fs::write(file("ca.pem"), authority.pem()).unwrap();
    std::fs::write(file("busy.html"), block("<h1>We are busy</h1>\n")).unwrap();
    std::fs::write(file("sorry.html"), "<p>sorry: {{status}}</p>").unwrap();
    let text = with(
        &block("services.api.pools]\nonly"),
        &[
            ("0.0.0.0:80\"", &format!("{plain}\"")),
            ("0.0.0.0:443", &tls.to_string()),
            ("\"10.0.0.11:9000\", \"10.0.0.12:9000\"", &format!("\"{}\"", web.address)),
            ("10.0.0.21:9000", &api.address.to_string()),
            ("10.0.0.0/8", office),
        ],
    );
    (Site::start(folder, &text).await, [plain, tls], authority)
}

/// What the chapter's script says of it.
async fn tried(site: &Site, ports: [SocketAddr; 2]) -> (i32, String) {
    let [plain, tls] = ports.map(|address| address.port().to_string());
    site.script("try.sh", &block("# try.sh"), &["127.0.0.1", &plain, &tls, "ca.pem"]).await
}

#[tokio::test]
async fn two_hosts_do_what_the_chapter_says() {
    let is_down = Arc::<AtomicBool>::default();
    let down = is_down.clone();
    let web = Origin::with(move |_| match down.load(Ordering::Relaxed) {
        true => Reply::Close,
        false => Reply::head("200 OK", &["server: web/1", "x-powered-by: haste"], "the site"),
    })
    .await;
    let api = Origin::always(Reply::ok("ordered")).await;
    // The office is another address of this machine.
    let (site, [plain, tls], authority) = site(&web, &api, "127.0.0.2/32").await;
    let (code, said) = tried(&site, [plain, tls]).await;
    assert_eq!(
        (code, said.lines().last().unwrap_or_default()),
        (0, "it does what it should"),
        "{said}"
    );
    // The API was asked for what is behind its prefix, once, and told who asks.
    let asked = api.received();
    assert_eq!(asked.len(), 1, "the other one was too much");
    assert!(asked[0].head.starts_with("POST /v1/orders HTTP/1.1\r\n"), "{}", asked[0].head);
    assert_eq!(
        (asked[0].fields("x-real-ip"), asked[0].fields("x-forwarded-prefix")),
        (vec!["127.0.0.1"], vec!["/api"])
    );
    // From the office: another source of the same machine.
    let office = tokio::net::TcpSocket::new_v4().unwrap();
    office.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let (office, clients) = (office.connect(tls).await.unwrap(), Arc::new(authority.clients()));
    let mut office = Talk::over(office, "staff.example.com", &clients).await.unwrap();
    assert_eq!(office.get("staff.example.com", &[]).await.body, "the site");
    // Nobody else's name is served, and when nobody is there the page says so.
    let elsewhere = client::get(plain, "nobody.example.com", "/", &[]).await;
    assert_eq!(
        (elsewhere.status, elsewhere.fields("location")),
        (301, vec!["https://nobody.example.com/"])
    );
    is_down.store(true, Ordering::Relaxed);
    let mut www = Talk::by(tls, "www.example.com", &clients).await.unwrap();
    let sorry = www.get("www.example.com", &["accept: text/html"]).await;
    assert_eq!(sorry.status, 502, "{}", sorry.head);
    assert!(sorry.body.starts_with("<p>sorry: 502</p>"), "{}", sorry.body);
}

#[tokio::test]
async fn the_script_notices_what_the_site_does_not_do() {
    let all = Origin::always(Reply::ok("the site")).await;
    // A mistake: everybody is staff.
    let (site, ports, _) = site(&all, &all, "0.0.0.0/0").await;
    let (code, said) = tried(&site, ports).await;
    assert_eq!((code, said.trim()), (1, "staff from elsewhere: wanted 403, found 200"));
}
