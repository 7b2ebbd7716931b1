//! The admin address by HTTPS: what it shows, whom it asks for a certificate, and the command line there.

use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::client::Response;
use crate::harness::edge::shop;
use crate::harness::{Client, Edge, Origin, until};
use crate::tls::certificates::{Authority, Files, Issued, replace};
use crate::tls::{Talk, checked, refused};

const TOKEN: &str = "correct-horse-battery";

/// An edge whose admin address speaks TLS, who signs for it and who for its clients.
struct Office {
    edge: Edge,
    files: Files,
    ours: Authority,
    staff: Authority,
    _origin: Origin,
}

impl Office {
    async fn open() -> Office {
        let (files, ours, staff) = (Files::new(), Authority::new("ours"), Authority::new("staff"));
        let shown = files.issue("admin", &ours, &["localhost", "127.0.0.1"]);
        files.authority("ours.pem", &ours);
        let ca = files.authority("staff.pem", &staff);
        let tokens = files.at("admin.token");
        replace(&tokens, &format!("ops: {TOKEN}\nann role=shift: certificate CN=ann\n"));
        let origin = Origin::named("a").await;
        let text = format!(
            "[server]\nworkers = 2\n[[listeners]]\naddress = \"127.0.0.1:0\"\n\
             [admin]\naddress = \"127.0.0.1:0\"\ntoken_file = \"{}\"\n\
             [admin.tls]\ncertificates = [{{ {shown} }}]\nclient = {{ ca = {ca}, required = false }}\n{}",
            tokens.display(),
            shop(&[("only", &origin)], "")
        );
        let edge = Edge::start_file(&text, true).await;
        Office { edge, files, ours, staff, _origin: origin }
    }

    /// A connection of somebody who shows this.
    async fn connect(&self, shown: Option<&Issued>) -> std::io::Result<Talk> {
        let config = self.ours.clients_of(pointsman::crypto::FROM_1_2, shown);
        Talk::make(self.edge.admin, "localhost", config).await
    }

    /// What somebody is answered who shows this and says these.
    async fn ask(&self, shown: Option<&Issued>, request: &str, fields: &[&str]) -> Response {
        let mut talk = self.connect(shown).await.unwrap();
        let (head, body) = request
            .split_once(" {")
            .map_or((request, String::new()), |(h, b)| (h, format!("{{{b}")));
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let length = body.len();
        talk.send(format!(
            "{head} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n{fields}\r\n{body}"
        ))
        .await;
        talk.response().await.unwrap()
    }

    /// What the command line says, asked with these.
    async fn command(&self, args: &[&str]) -> Output {
        let admin = format!("https://{}", self.edge.admin);
        let at = |word: &str| match word.strip_prefix("file:") {
            Some(name) => self.files.at(name).display().to_string(),
            None => word.to_string(),
        };
        let program = tokio::process::Command::new(env!("CARGO_BIN_EXE_pointsman"))
            .args(["status", "--admin", &admin])
            .args(args.iter().map(|word| at(word)))
            .output();
        program.await.unwrap()
    }
}

#[tokio::test]
async fn the_admin_api_is_asked_by_https_and_a_certificate_says_who_asks() {
    let office = Office::open().await;
    let mut plain = Client::connect(office.edge.admin).await;
    plain.send("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(plain.response().await.body.contains("HTTPS is spoken here"));
    let (ann, bob) = (office.staff.issue_to("ann"), office.staff.issue_to("bob"));
    let forged = Authority::new("others").issue_to("ann");
    refused(office.connect(Some(&forged)).await).await;
    let status = "GET /v1/status";
    let own = format!("authorization: Bearer {TOKEN}");
    let reload = "POST /v1/config/reload";
    for (who, asked, fields, answer) in [
        (None, status, &[][..], 401),
        (None, status, &[&*own][..], 200),
        (None, "GET /livez", &[], 200),
        (Some(&bob), status, &[], 401),
        (Some(&bob), reload, &[&*own], 200),
        (Some(&ann), status, &[], 200),
        (Some(&ann), reload, &[], 403),
        // Who brings a token is who that says.
        (Some(&ann), reload, &[&*own], 200),
        (Some(&ann), status, &["authorization: Bearer wrong-horse-battery"], 401),
        // A browser shows a certificate whoever has it ask.
        (Some(&ann), status, &["sec-fetch-site: cross-site"], 403),
        (Some(&ann), status, &["origin: https://evil.test"], 403),
        (Some(&ann), "PUT /v1/services/shop/mode {\"mode\": \"maintenance\"}", &[], 200),
    ] {
        let got = office.ask(who, asked, fields).await;
        assert_eq!(got.status, answer, "{asked} {fields:?}: {}", got.body);
    }
    let events = office.ask(None, "GET /v1/events", &[&own]).await;
    let events: Vec<Value> = serde_json::from_str(&events.body).unwrap();
    let by_ann = |event: &Value| event["kind"] == "audit" && event["author"] == "ann";
    assert!(events.iter().any(by_ann), "{events:?}");
}

#[tokio::test]
async fn its_certificate_is_another_when_its_files_are() {
    let office = Office::open().await;
    let before = office.connect(None).await.unwrap().shown();
    let next = office.ours.issue(&["localhost"]);
    let shows = async |issued: &Issued| office.connect(None).await.unwrap().shown() == issued.der();
    office.files.put("admin", &next);
    until("the new one is shown", async || shows(&next).await).await;
    assert_ne!(before, next.der());
    // One without its key changes nothing.
    let other = office.ours.issue(&["localhost"]);
    replace(&office.files.paths("admin").0, &other.certificate.pem());
    let own = format!("authorization: Bearer {TOKEN}");
    let refused = async || office.ask(None, "POST /v1/config/reload", &[&own]).await.status;
    assert_eq!(refused().await, 422);
    assert!(shows(&next).await);
}

#[tokio::test]
async fn the_command_line_goes_there_too() {
    let office = Office::open().await;
    office.files.put("ann", &office.staff.issue_to("ann"));
    let ca = ["--ca", "file:ours.pem"];
    let shown = ["--cert", "file:ann.pem", "--key", "file:ann.key"];
    let token = ["--token", TOKEN];
    for (args, code, said) in [
        ([&ca[..], &shown[..]].concat(), 0, ""),
        ([&ca[..], &token[..]].concat(), 0, ""),
        (ca.to_vec(), 1, "this API needs"),
        // Nobody that the system trusts has signed it.
        (shown.to_vec(), 69, "certificate"),
        (vec!["--ca", "file:none.pem"], 2, "none.pem"),
        (vec!["--ca", "file:ann.key"], 2, "no certificate"),
        (
            [&ca[..], &["--cert", "file:ann.pem", "--key", "file:admin.key"]].concat(),
            2,
            "admin.key",
        ),
        ([&ca[..], &shown[..2]].concat(), 2, "--key"),
    ] {
        let output = office.command(&args).await;
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        assert!(text.contains(said), "{args:?}: {text}");
    }
}

#[tokio::test]
async fn what_its_tls_lacks_is_told() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("p.toml");
    for (admin, why) in [
        ("[admin.tls]", "TLS needs a certificate"),
        ("tls.certificates = [{ certificate = \"a.pem\" }]", "`key` is missing"),
        ("tls.hsts = {}", "`hsts`"),
        (
            "address = \"unix:/run/a.sock\"\ntls.certificates = [{ certificate = \"a\", key = \"b\" }]",
            "TLS on a unix socket",
        ),
    ] {
        let text = format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\n[services.a.pools.b]\nupstreams = [\"a:1\"]\n\
             [admin]\n{admin}\n"
        );
        std::fs::write(&file, text).unwrap();
        let said = checked(&file).await;
        assert!(said.contains(why), "{said}");
    }
}
