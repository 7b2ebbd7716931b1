//! TLS as clients and upstreams meet it: certificates made for each test, real handshakes.

pub mod certificates;
mod clients;
mod handshakes;
mod raw;
mod reloads;
mod requests;
mod tickets;
pub mod upstreams;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig, HandshakeKind};

use crate::harness::client::Response;
use crate::harness::edge::shop;
use crate::harness::{Edge, Origin, PATIENCE, Reply, client, until};
use certificates::{Authority, Files};

/// An edge that speaks TLS, before one origin, with what its clients trust.
pub struct Shop {
    pub edge: Edge,
    pub origin: Origin,
    pub authority: Authority,
    pub files: Files,
}

/// What a listener with this TLS is, and what serves behind it.
pub fn config(tls: &str, origin: &Origin) -> String {
    format!(
        "[server]\nworkers = 2\n[[listeners]]\naddress = \"127.0.0.1:0\"\n[listeners.tls]\n{tls}\n\
         [admin]\naddress = \"127.0.0.1:0\"\n{}",
        shop(&[("blue", origin)], "")
    )
}

impl Shop {
    /// With a certificate for `shop.test`, which is the default.
    pub async fn start() -> Shop {
        Shop::with(|files, authority| {
            let shop = files.issue("shop", authority, &["shop.test"]);
            format!("certificates = [{{ {shop}, default = true }}]")
        })
        .await
    }

    /// With a listener's TLS of these lines.
    pub async fn with(tls: impl FnOnce(&Files, &Authority) -> String) -> Shop {
        let origin = Origin::with(|request| match request.head.starts_with("GET /echo") {
            true => Reply::ok(&"x".repeat(1024)),
            false => Reply::ok(&format!("{} bytes", request.body.len())),
        });
        Shop::before(origin.await, tls).await
    }

    /// The same before this origin.
    pub async fn before(origin: Origin, tls: impl FnOnce(&Files, &Authority) -> String) -> Shop {
        let (files, authority) = (Files::new(), Authority::new("ours"));
        let tls = tls(&files, &authority);
        let edge = Edge::start_file(&config(&tls, &origin), true).await;
        Shop { edge, origin, authority, files }
    }

    /// A connection under this name.
    pub async fn connect(&self, name: &str) -> Talk {
        Talk::make(self.edge.address, name, self.authority.clients()).await.unwrap()
    }

    /// Waits until so many handshakes have ended so: a client may know before it is counted.
    pub async fn until_handshakes(&self, result: &str, count: u64) {
        let what = format!("{count} handshakes are counted as {result}");
        until(&what, async || self.handshakes(result).await == count).await;
    }

    /// The number of handshakes that ended so.
    pub async fn handshakes(&self, result: &str) -> u64 {
        let listener = self.edge.address;
        let line = format!(
            "pointsman_tls_handshakes_total{{listener=\"{listener}\",result=\"{result}\"}} "
        );
        let metrics = client::get(self.edge.admin, "localhost", "/metrics", &[]).await.body;
        let found = metrics.lines().find_map(|found| found.strip_prefix(&line));
        found.map_or(0, |count| count.parse().unwrap())
    }
}

/// A client's connection by TLS.
pub struct Talk {
    pub stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

impl Talk {
    /// A connection under this name, by these settings.
    pub async fn make(to: SocketAddr, name: &str, config: ClientConfig) -> io::Result<Talk> {
        Talk::by(to, name, &Arc::new(config)).await
    }

    /// The same by settings that remember sessions.
    pub async fn by(to: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> io::Result<Talk> {
        Talk::over(TcpStream::connect(to).await?, name, config).await
    }

    /// The same over a connection that was made.
    pub async fn over(tcp: TcpStream, name: &str, config: &Arc<ClientConfig>) -> io::Result<Talk> {
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(name.to_string()).unwrap();
        let stream = TlsConnector::from(config.clone()).connect(name, tcp).await?;
        Ok(Talk { stream, buffer: Vec::new() })
    }

    /// The certificate that the other end has shown.
    pub fn shown(&self) -> Vec<u8> {
        self.stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }

    pub fn is_resumed(&self) -> bool {
        self.stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// One GET of `/`, and its answer.
    pub async fn get(&mut self, host: &str, fields: &[&str]) -> Response {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        self.send(format!("GET / HTTP/1.1\r\nhost: {host}\r\n{fields}\r\n")).await;
        self.response().await.unwrap()
    }

    /// The next bytes, as many as asked for.
    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
            assert_ne!(read.expect("bytes in time").unwrap(), 0, "the connection ended");
        }
        self.buffer.drain(..count).collect()
    }

    /// The next answer, which says how long it is.
    pub async fn response(&mut self) -> io::Result<Response> {
        loop {
            let end = self.buffer.windows(4).position(|found| found == b"\r\n\r\n");
            if let Some(end) = end {
                let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                let length = client::fields(&head, "content-length");
                let length: usize = length.first().map_or(0, |length| length.parse().unwrap());
                if self.buffer.len() >= end + 4 + length {
                    let rest = self.buffer.split_off(end + 4 + length);
                    let body = std::mem::replace(&mut self.buffer, rest).split_off(end + 4);
                    let body = String::from_utf8_lossy(&body).into_owned();
                    let status = head[9..12].parse().unwrap();
                    return Ok(Response { status, head, body });
                }
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// What the library says is wrong, if it does.
pub fn library(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|cause| cause.downcast_ref())
}

/// What `pointsman check` says of a file that is no good.
pub async fn checked(file: &Path) -> String {
    let program = env!("CARGO_BIN_EXE_pointsman");
    let output = tokio::process::Command::new(program).arg("check").arg(file).output().await;
    let output = output.unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

/// How it comes out that the other end has refused a connection: at once, or with the first bytes (a
/// client of TLS 1.3 is done before the server has looked at what it has shown).
pub async fn refused(made: io::Result<Talk>) -> rustls::Error {
    let error = match made {
        Err(error) => error,
        Ok(mut talk) => {
            let _ = talk.stream.write_all(b"GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
            let Err(error) = talk.response().await else { panic!("it is not refused") };
            error
        }
    };
    library(&error).unwrap_or_else(|| panic!("{error:?}")).clone()
}
