//! An authority for what the real one does not do: it says when it would like certificates replaced, has
//! profiles, and has had enough. It looks at nothing, and believes whatever is signed.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::harness::client::fields;
use crate::tls::certificates::{Authority, Files, Issued};

/// What it does.
#[derive(Clone, Default)]
pub struct Script {
    /// When it would like any certificate replaced.
    pub window: Option<(&'static str, &'static str)>,
    /// What it is asked for and refuses: an answer to orders, with a field of its own.
    pub refuses: Option<(u16, &'static str, Value)>,
    /// What it makes of an order that names the certificate which it is to replace.
    pub replaces: Replaces,
    /// Where it has trouble of its own, for now.
    pub falters: Arc<Mutex<Vec<&'static str>>>,
}

/// What can be made of that.
#[derive(Clone, Copy, Default)]
pub enum Replaces {
    /// It is noted.
    #[default]
    Noted,
    /// The order is refused.
    Refused,
    /// The order is made as if nothing were said of it.
    Ignored,
}

/// A running one.
pub struct Scripted {
    pub authority: Arc<Authority>,
    pub files: Files,
    address: SocketAddr,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Scripted {
    pub async fn start(script: Script) -> Scripted {
        let authority = Arc::new(Authority::new("scripted"));
        let own = authority.issue(&["127.0.0.1"]);
        let config = ServerConfig::builder_with_provider(pointsman::crypto::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(own.chain(), own.der_key())
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, acceptor) =
            (listener.local_addr().unwrap(), TlsAcceptor::from(Arc::new(config)));
        let asked = Arc::default();
        let server = Server { url: format!("https://{address}"), script, authority, asked };
        let server = Arc::new(server);
        let (authority, asked) = (server.authority.clone(), server.asked.clone());
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (server, acceptor) = (server.clone(), acceptor.clone());
                tokio::spawn(async move {
                    let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                    let mut request = Vec::new();
                    let answer = loop {
                        match tls.read_buf(&mut request).await {
                            Ok(1..) => {}
                            Ok(0) | Err(_) => return,
                        }
                        if let Some(answer) = server.answer(&request) {
                            break answer;
                        }
                    };
                    let _ = tls.write_all(answer.as_bytes()).await;
                    let _ = tls.shutdown().await;
                });
            }
        });
        Scripted { authority, files: Files::new(), address, asked }
    }

    pub fn directory(&self) -> String {
        format!("https://{}/dir", self.address)
    }

    /// What a listener's `tls.acme` has of it.
    pub fn lines(&self) -> String {
        let ca = self.files.authority("scripted.pem", &self.authority);
        format!("directory = \"{}\"\nca = {ca}\n", self.directory())
    }

    /// What it knows a certificate by: by whom it is signed, and its number.
    pub fn identity(&self, issued: &Issued) -> String {
        let [signer, number] = [self.authority.key_identifier(), issued.serial()];
        let [signer, number] = [signer, number].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        format!("{signer}.{number}")
    }

    /// Whether it was asked for exactly this.
    pub fn is_asked_for(&self, path: &str) -> bool {
        self.asked.lock().unwrap().iter().any(|(found, _)| found == path)
    }

    /// What it was asked for at this path, or below it, in order.
    pub fn asked(&self, path: &str) -> Vec<Value> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter(|(found, _)| match path.ends_with('/') {
                true => found.starts_with(path),
                false => found == path,
            })
            .map(|(_, what)| what.clone())
            .collect()
    }
}

struct Server {
    url: String,
    script: Script,
    authority: Arc<Authority>,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Server {
    /// The answer to a request, once all of it is there.
    fn answer(&self, request: &[u8]) -> Option<String> {
        let text = std::str::from_utf8(request).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let length =
            fields(head, "content-length").first().map_or(0, |length| length.parse().unwrap());
        if body.len() < length {
            return None;
        }
        let path = head.split(' ').nth(1).unwrap();
        let what = match body {
            "" => Value::Null,
            body => payload(&serde_json::from_str::<Value>(body).unwrap()),
        };
        self.asked.lock().unwrap().push((path.to_string(), what.clone()));
        let (status, field, body) = self.route(path, &what);
        let length = if head.starts_with("HEAD") { 0 } else { body.len() };
        Some(format!(
            "HTTP/1.1 {status} X\r\nreplay-nonce: n\r\ncontent-length: {length}\r\n{field}\r\n{body}"
        ))
    }

    fn route(&self, path: &str, what: &Value) -> (u16, String, String) {
        let url = &self.url;
        let at = |path: &str| format!("{url}/{path}");
        let location = |path: &str| format!("location: {url}/{path}\r\n");
        let ordered = |status| {
            let all = self.asked.lock().unwrap();
            let (_, what) = all.iter().rfind(|(path, _)| path == "/order").unwrap();
            let mut order = json!({
                "status": status, "authorizations": [], "finalize": at("finalize"),
                "certificate": at("certificate"), "identifiers": what["identifiers"],
            });
            for key in ["replaces", "profile"] {
                let is_ignored = matches!(self.script.replaces, Replaces::Ignored);
                if !(what[key].is_null() || key == "replaces" && is_ignored) {
                    order[key] = what[key].clone();
                }
            }
            order.to_string()
        };
        let none = String::new;
        if self.script.falters.lock().unwrap().contains(&path) {
            let kind = "urn:ietf:params:acme:error:serverInternal";
            return (500, none(), json!({ "type": kind, "status": 500 }).to_string());
        }
        match path {
            "/dir" => {
                let mut directory = json!({
                    "newNonce": at("nonce"), "newAccount": at("account"), "newOrder": at("order"),
                    "meta": { "profiles": { "classic": "", "shortlived": "" } },
                });
                if self.script.window.is_some() {
                    directory["renewalInfo"] = at("window").into();
                }
                (200, none(), directory.to_string())
            }
            "/nonce" => (200, none(), none()),
            "/account" => (201, location("account/1"), json!({ "status": "valid" }).to_string()),
            "/account/1" => (200, none(), json!({ "status": "valid" }).to_string()),
            "/order"
                if matches!(self.script.replaces, Replaces::Refused)
                    && !what["replaces"].is_null() =>
            {
                let kind = "urn:ietf:params:acme:error:unauthorized";
                (403, none(), json!({ "type": kind, "status": 403 }).to_string())
            }
            "/order" => match &self.script.refuses {
                Some((status, field, why)) => (*status, format!("{field}\r\n"), why.to_string()),
                None => (201, location("order/1"), ordered("ready")),
            },
            "/order/1" => (200, none(), ordered("valid")),
            "/finalize" => (200, none(), ordered("processing")),
            "/certificate" => (200, none(), self.issue()),
            path if path.starts_with("/window/") => {
                let (start, end) = self.script.window.unwrap();
                let window = json!({ "suggestedWindow": { "start": start, "end": end } });
                (200, "retry-after: 21600\r\n".into(), window.to_string())
            }
            other => panic!("asked for {other}: {what}"),
        }
    }

    /// A certificate for what was asked for last.
    fn issue(&self) -> String {
        let all = self.asked.lock().unwrap();
        let last = |path| &all.iter().rfind(|(found, _)| found == path).unwrap().1;
        let names = last("/order")["identifiers"].as_array().unwrap();
        let names: Vec<&str> = names.iter().map(|name| name["value"].as_str().unwrap()).collect();
        let request = URL_SAFE_NO_PAD.decode(last("/finalize")["csr"].as_str().unwrap()).unwrap();
        self.authority.sign(&names, &Point::of(&request))
    }
}

/// What is in a message that is signed.
fn payload(message: &Value) -> Value {
    let payload = URL_SAFE_NO_PAD.decode(message["payload"].as_str().unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap_or(Value::Null)
}

/// The public key in a request for a certificate: what follows the name of its curve.
pub struct Point(Vec<u8>);

impl Point {
    fn of(request: &[u8]) -> Point {
        const CURVE: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
        let at = request.windows(CURVE.len()).position(|found| found == CURVE).unwrap();
        // A string of bits of this length, none of them unused.
        let rest = request[at + CURVE.len()..].strip_prefix(&[0x03, 0x42, 0x00]).unwrap();
        Point(rest[..65].to_vec())
    }
}

impl PublicKeyData for Point {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}
