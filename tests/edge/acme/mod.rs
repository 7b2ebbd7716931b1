//! Certificates that are ordered from an authority: a real one, and a scripted one for what that cannot do.

mod asked;
mod orders;
mod pebble;
mod scripted;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pointsman::config::ListenAddress;
use pointsman::files::Source;
use pointsman::server::{Options, Server};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio_rustls::rustls::{AlertDescription, ClientConfig, Error};

use crate::harness::client::{self, Response};
use crate::harness::edge::shop;
use crate::harness::{Origin, Reply, until};
use crate::tls::certificates::{Issued, replace};
use crate::tls::{Talk, refused};
use pebble::Pebble;

/// An edge that orders certificates, in a folder that outlasts it.
struct Customer {
    server: Server,
    admin: SocketAddr,
}

/// A folder with a config of these listeners before this origin, with a route for `shop.example.com`.
fn folder(listeners: &str, origin: &Origin) -> TempDir {
    let folder = TempDir::new().unwrap();
    write(folder.path(), listeners, origin);
    folder
}

fn write(folder: &Path, listeners: &str, origin: &Origin) {
    let text = text(listeners, origin, "\"shop.example.com\", \"*.example.com\"");
    std::fs::write(folder.join("pointsman.toml"), text).unwrap();
}

/// A config with a route for these hosts.
fn text(listeners: &str, origin: &Origin, hosts: &str) -> String {
    format!(
        "[server]\nworkers = 2\n{listeners}[admin]\naddress = \"127.0.0.1:0\"\n[[routes]]\n\
         hosts = [{hosts}]\nservice = \"shop\"\n{}",
        shop(&[("blue", origin)], "")
    )
}

/// A listener in the clear.
fn plain(address: SocketAddr, lines: &str) -> String {
    format!("[[listeners]]\naddress = \"{address}\"\n{lines}")
}

/// One that has its certificates from this authority.
fn tls(address: SocketAddr, acme: &str) -> String {
    format!("[[listeners]]\naddress = \"{address}\"\n[listeners.tls.acme]\n{acme}")
}

/// Who says what it was asked for.
async fn origin() -> Origin {
    Origin::with(|request| {
        let asked = request.head.lines().next().unwrap_or_default();
        Reply::ok(asked)
    })
    .await
}

impl Customer {
    async fn start(folder: &TempDir) -> Customer {
        let source = Source::file(folder.path().join("pointsman.toml"), Default::default());
        let options = Options { source, admin: None, watches_file: false };
        let server = Server::start(options).await.unwrap_or_else(|error| panic!("{error}"));
        let &ListenAddress::Tcp(admin) = server.admin_address() else { unreachable!() };
        Customer { server, admin }
    }

    async fn stop(self) {
        self.server.stop().await;
    }

    async fn metrics(&self) -> String {
        client::get(self.admin, "localhost", "/metrics", &[]).await.body
    }

    async fn events(&self) -> String {
        client::get(self.admin, "localhost", "/v1/events", &["accept: application/json"]).await.body
    }

    /// Waits until something has been said.
    async fn until_said(&self, words: &str) {
        until(words, async || self.events().await.contains(words)).await;
    }

    async fn reload(&self) {
        let mut admin = crate::harness::Client::connect(self.admin).await;
        admin
            .send("POST /v1/config/reload HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n")
            .await;
        let response = admin.response().await;
        assert_eq!(response.status, 200, "{}", response.body);
    }
}

/// Waits until a host has a certificate that these clients trust.
async fn until_trusted(address: SocketAddr, name: &str, clients: &ClientConfig) {
    until("there is a certificate", async || {
        Talk::make(address, name, clients.clone()).await.is_ok()
    })
    .await;
}

/// What a host answers to these clients.
async fn ask(address: SocketAddr, name: &str, clients: &ClientConfig) -> Response {
    let mut talk = Talk::make(address, name, clients.clone()).await.unwrap();
    talk.get(name, &[]).await
}

/// Whoever asks for this name is told that nobody here has it.
async fn is_unknown(address: SocketAddr, name: &str, clients: &ClientConfig) {
    let made = Talk::make(address, name, clients.clone()).await;
    let unknown = Error::AlertReceived(AlertDescription::UnrecognisedName);
    assert_eq!(refused(made).await, unknown);
}

/// Where an authority's things are kept.
fn kept(folder: &TempDir, directory: &str) -> PathBuf {
    let short: String =
        Sha256::digest(directory)[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    folder.path().join("pointsman.state/acme").join(short)
}

/// Puts a certificate there, as an earlier process has left it.
fn plant(kept: &Path, name: &str, issued: &Issued) {
    std::fs::create_dir_all(kept).unwrap();
    for folder in kept.ancestors().take(3) {
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o700)).unwrap();
    }
    let both = issued.certificate.pem() + &issued.key.serialize_pem();
    replace(&kept.join(format!("{name}.pem")), &both);
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}
