//! A real authority: Let's Encrypt's own for tests, pebble, in processes of its own on free ports.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;

use pointsman::crypto;
use tokio::process::{Child, Command};
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::harness::running::free;
use crate::harness::until;
use crate::tls::Talk;
use crate::tls::certificates::{Authority, Files};

/// An authority that gives certificates to whoever answers where it looks.
pub struct Pebble {
    pub files: Files,
    /// Who signs its own certificate.
    own: Authority,
    listens: SocketAddr,
    management: SocketAddr,
    /// What it looks at by http-01, and by tls-alpn-01.
    pub http: SocketAddr,
    pub tls: SocketAddr,
    _names: Child,
    server: Option<Child>,
}

impl Pebble {
    /// One that looks at these; all names lead to this machine.
    pub async fn start() -> Pebble {
        Pebble::with_accounts(&[]).await
    }

    /// One that wants accounts to be bound to one of these, if there are any: names and keys.
    pub async fn with_accounts(accounts: &[(&str, &str)]) -> Pebble {
        let files = Files::new();
        let own = Authority::new("who vouches for the authority");
        files.issue("pebble", &own, &["127.0.0.1", "localhost"]);
        let (http, tls, dns) = (free(), free(), free());
        let names = Command::new("pebble-challtestsrv")
            .args(["-dns01", &dns.to_string(), "-management", &free().to_string()])
            .args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let names = names.expect("pebble-challtestsrv is installed (Debian package `pebble`)");
        let (listens, management) = (free(), free());
        let mut pebble =
            Pebble { files, own, listens, management, http, tls, _names: names, server: None };
        let (certificate, key) = pebble.files.paths("pebble");
        let config = serde_json::json!({ "pebble": {
            "listenAddress": listens.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": certificate,
            "privateKey": key,
            "httpPort": http.port(),
            "tlsPort": tls.port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": !accounts.is_empty(),
            "externalAccountMACKeys": BTreeMap::from_iter(accounts.iter().copied()),
        }});
        std::fs::write(pebble.files.at("pebble.json"), config.to_string()).unwrap();
        std::fs::write(pebble.files.at("dns"), dns.to_string()).unwrap();
        pebble.go_on().await;
        pebble
    }

    /// Starts it, with nothing of what it knew before.
    pub async fn go_on(&mut self) {
        let dns = std::fs::read_to_string(self.files.at("dns")).unwrap();
        let server = Command::new("pebble")
            .args(["-dnsserver", &dns, "-config"])
            .arg(self.files.at("pebble.json"))
            .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_AUTHZREUSE", "0")])
            .stdout(std::fs::File::create(self.files.at("log")).unwrap())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        self.server = Some(server.expect("pebble is installed (Debian package `pebble`)"));
        until("the authority listens", async || {
            tokio::net::TcpStream::connect(self.listens).await.is_ok()
                && tokio::net::TcpStream::connect(self.management).await.is_ok()
        })
        .await;
    }

    /// Ends it.
    pub async fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().await.unwrap();
        }
    }

    /// What says what it can do.
    pub fn directory(&self) -> String {
        format!("https://{}/dir", self.listens)
    }

    /// What a listener's `tls.acme` has of it.
    pub fn lines(&self) -> String {
        let ca = self.files.authority("vouches.pem", &self.own);
        let directory = self.directory();
        format!("directory = \"{directory}\"\nca = {ca}\nemail = \"ada@example.com\"\n")
    }

    /// The address of the order that it was given last.
    pub fn last_order(&self) -> String {
        let log = self.log();
        let (_, order) = log.rsplit_once("Added order \"").unwrap();
        format!("https://{}/my-order/{}", self.listens, order.split_once('"').unwrap().0)
    }

    /// Clients that trust whom it certifies.
    pub async fn clients(&self) -> ClientConfig {
        let management = self.management;
        let mut talk = Talk::make(management, "localhost", self.own.clients()).await.unwrap();
        talk.send("GET /roots/0 HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let root = talk.response().await.unwrap().body;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap()).unwrap();
        ClientConfig::builder_with_provider(crypto::provider())
            .with_protocol_versions(crypto::FROM_1_2)
            .unwrap()
            .with_root_certificates(Arc::new(roots))
            .with_no_client_auth()
    }

    /// What it says of itself.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.files.at("log")).unwrap()
    }

    /// How often it was asked for this.
    pub fn asked(&self, line: &str) -> usize {
        self.log().lines().filter(|found| found.contains(line)).count()
    }

    /// How many certificates it has given.
    pub fn issued(&self) -> usize {
        self.asked("Issued certificate serial")
    }
}
