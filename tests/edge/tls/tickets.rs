//! Sessions that are taken up again, over a restart too, and those that must not be.

use std::sync::Arc;

use pointsman::crypto;
use pointsman::files::Source;
use pointsman::server::{Options, Server};
use tokio_rustls::rustls::{ClientConfig, version};

use super::certificates::{Authority, Files};
use super::{Talk, config};
use crate::harness::Origin;

/// A server by this file, which may have been another's before.
async fn start(file: &std::path::Path) -> Server {
    let options = Options {
        source: Source::file(file.to_path_buf(), Default::default()),
        admin: None,
        watches_file: false,
    };
    Server::start(options).await.unwrap()
}

/// Whether a session was taken up, by a client that remembers; with a request, so that tickets come.
async fn is_resumed(server: &Server, clients: &Arc<ClientConfig>) -> bool {
    let mut talk = Talk::by(server.address().unwrap(), "shop.test", clients).await.unwrap();
    assert_eq!(talk.get("shop.test", &[]).await.status, 200);
    talk.is_resumed()
}

#[tokio::test]
async fn sessions_are_taken_up_again_by_the_next_process_on_the_same_state() {
    let (files, authority, origin) =
        (Files::new(), Authority::new("ours"), Origin::named("blue").await);
    let shop = files.issue("shop", &authority, &["shop.test"]);
    let file = files.at("p.toml");
    std::fs::write(&file, config(&format!("certificates = [{{ {shop} }}]"), &origin)).unwrap();
    let of = |versions| Arc::new(authority.clients_of(versions, None));
    let (new, old) = (of(crypto::FROM_1_3), of(&[&version::TLS12]));
    let server = start(&file).await;
    for clients in [&new, &old] {
        assert!(!is_resumed(&server, clients).await);
        assert!(is_resumed(&server, clients).await);
    }
    server.stop().await;
    let keys = files.at("p.state").join("ticket.keys");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&keys).unwrap().permissions().mode() & 0o777, 0o600);
    let server = start(&file).await;
    for clients in [&new, &old] {
        assert!(is_resumed(&server, clients).await, "another process has the same keys");
    }
    server.stop().await;
    std::fs::remove_file(keys).unwrap();
    let server = start(&file).await;
    assert!(!is_resumed(&server, &new).await, "and without them nobody can");
    server.stop().await;
}

#[tokio::test]
async fn a_session_is_not_taken_up_where_other_certificates_are_asked_for() {
    let (files, authority, origin) =
        (Files::new(), Authority::new("ours"), Origin::named("blue").await);
    let shop = files.issue("shop", &authority, &["shop.test"]);
    let file = files.at("p.toml");
    let write = |client: &str| {
        let tls = format!("certificates = [{{ {shop} }}]\n{client}");
        std::fs::write(&file, config(&tls, &origin)).unwrap();
    };
    let ca = |name: &str| {
        let ca = files.authority(name, &authority);
        format!("client = {{ ca = {ca}, required = false }}")
    };
    let clients = Arc::new(authority.clients());
    let mut was = Vec::new();
    // Asked for nothing, for ours, for ours from another file, and for others'.
    let others = format!(
        "client = {{ ca = {}, required = false }}",
        files.authority("others.pem", &Authority::new("others"))
    );
    for client in ["", &ca("ours.pem"), &ca("copy.pem"), &others] {
        write(client);
        let server = start(&file).await;
        was.push(is_resumed(&server, &clients).await);
        server.stop().await;
    }
    assert_eq!(was, [false, false, true, false]);
}
