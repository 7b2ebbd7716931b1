//! An edge on a free port with a config file of its own.

use std::net::SocketAddr;
use std::path::PathBuf;

use pointsman::config::{Environment, ListenAddress};
use pointsman::files::Source;
use pointsman::server::{Options, Server};
use serde_json::Value;
use tempfile::TempDir;

use super::client::{self, Client, Response};
use super::{Origin, until};

/// A running edge; ends with the test.
pub struct Edge {
    pub server: Server,
    pub folder: TempDir,
    pub address: SocketAddr,
    pub admin: SocketAddr,
}

/// The beginning of every test's file.
pub const HEAD: &str = "[server]\nworkers = 2\n[[listeners]]\naddress = \"127.0.0.1:0\"\n\
                        [admin]\naddress = \"127.0.0.1:0\"\n";

impl Edge {
    /// An edge with these lines after [`HEAD`].
    pub async fn start(lines: &str) -> Edge {
        Edge::start_file(&format!("{HEAD}{lines}"), true).await
    }

    /// An edge with this file, watched or not.
    pub async fn start_file(text: &str, watches_file: bool) -> Edge {
        Edge::start_folder(&[("pointsman.toml", text)], &[], watches_file).await
    }

    /// An edge with these files beside each other, filled in from these variables.
    pub async fn start_folder(
        files: &[(&str, &str)],
        variables: &[(&str, &str)],
        watches_file: bool,
    ) -> Edge {
        let folder = TempDir::new().unwrap();
        for (name, text) in files {
            let file = folder.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        let environment = Environment::of(variables);
        let source = Source::file(folder.path().join("pointsman.toml"), environment);
        let options = Options { source, admin: None, watches_file };
        let server = Server::start(options).await.unwrap_or_else(|error| panic!("{error}"));
        let address = server.address().unwrap();
        let &ListenAddress::Tcp(admin) = server.admin_address() else { unreachable!() };
        Edge { server, folder, address, admin }
    }

    /// An edge before one service of these pools, each of one origin, with these lines for the
    /// service.
    pub async fn before(pools: &[(&str, &Origin)], service: &str) -> Edge {
        Edge::start(&shop(pools, service)).await
    }

    /// The config file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("pointsman.toml")
    }

    /// A connection to the edge.
    pub async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// One GET of `/` on a connection of its own.
    pub async fn get(&self, fields: &[&str]) -> Response {
        client::get(self.address, "shop.test", "/", fields).await
    }

    /// Sends raw bytes on a connection of its own; the first response.
    pub async fn raw(&self, bytes: impl AsRef<[u8]>) -> Response {
        let mut client = self.client().await;
        client.send(bytes).await;
        client.response().await
    }

    /// Asks the admin API.
    pub async fn admin(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let response = self.admin_with(method, path, body, &[]).await;
        (response.status, serde_json::from_str(&response.body).unwrap_or(Value::Null))
    }

    /// Asks the admin API with more fields; the answer as it came.
    pub async fn admin_with(
        &self,
        method: &str,
        path: &str,
        body: &str,
        fields: &[&str],
    ) -> Response {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n",
            self.admin,
            body.len()
        );
        for field in fields {
            request.push_str(field);
            request.push_str("\r\n");
        }
        let mut client = Client::connect(self.admin).await;
        client.send(format!("{request}\r\n{body}")).await;
        client.response().await
    }

    /// Waits until the snapshot in force is a later one.
    pub async fn until_after(&self, generation: u64) {
        let published = self.server.published();
        until("a change takes effect", async || published.load().generation > generation).await;
    }

    /// The generation in force.
    pub fn generation(&self) -> u64 {
        self.server.published().load().generation
    }
}

/// One service of these pools, each of one origin. The first gets everything unless `service`
/// says otherwise.
pub fn shop(pools: &[(&str, &Origin)], service: &str) -> String {
    let at: Vec<_> = pools.iter().map(|(name, origin)| (*name, [origin.address])).collect();
    let at: Vec<_> = at.iter().map(|(name, address)| (*name, &address[..])).collect();
    shop_at(&at, service)
}

/// As [`shop`], of pools at these addresses.
pub fn shop_at(pools: &[(&str, &[SocketAddr])], service: &str) -> String {
    let mut text = "[services.shop]\n".to_string();
    if !service.contains("split") {
        let share = |(at, (name, _)): (usize, &(&str, &[SocketAddr]))| {
            format!("{name} = {}", if at == 0 { 100 } else { 0 })
        };
        let shares: Vec<_> = pools.iter().enumerate().map(share).collect();
        text.push_str(&format!("split = {{ {} }}\n", shares.join(", ")));
    }
    text.push_str(service);
    text.push('\n');
    for (name, addresses) in pools {
        let list: Vec<_> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
        let list = list.join(", ");
        text.push_str(&format!("[services.shop.pools.{name}]\nupstreams = [{list}]\n"));
    }
    text
}
