//! What a client writes into a target or an id is shown as text wherever it is shown, and is nothing else
//! there.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::harness::client::Response;
use crate::harness::running::until_ready;
use crate::harness::{Client, Origin, until};

/// A page that takes it for HTML would run this.
const SCRIPT: &str = "\"><script>alert(1)</script>";

/// Each byte that the codec lets into a target, in three of them: ASCII, control characters and others of
/// Unicode that move cursors or turn lines round, and bytes that are no text. With what each is known by.
fn targets() -> Vec<(Vec<u8>, String)> {
    let ascii = (0x21..0x7f).map(char::from).filter(|c| !"?#%".contains(*c));
    let ascii = format!("/{SCRIPT}{}", ascii.collect::<String>());
    let odd: String = ('\u{80}'..='\u{9f}').chain("\u{202e}\u{2066}\u{200f}é漢".chars()).collect();
    let odd = format!("/{SCRIPT}{odd}");
    let bytes: Vec<u8> = (0x80..=0xff).collect();
    let spelled: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
    let raw = [b"/", SCRIPT.as_bytes(), &bytes].concat();
    vec![
        (ascii.clone().into_bytes(), ascii),
        (odd.clone().into_bytes(), odd),
        (raw, format!("/{SCRIPT}{spelled}")),
    ]
}

const KINDS: [&str; 3] = ["text/html", "application/json", "text/plain"];

async fn ask(to: std::net::SocketAddr, host: &str, target: &[u8], kind: &str) -> Response {
    let head =
        format!(" HTTP/1.1\r\nhost: {host}\r\naccept: {kind}\r\nx-request-id: {SCRIPT}\r\n\r\n");
    let mut client = Client::connect(to).await;
    client.send([b"GET ", target, head.as_bytes()].concat()).await;
    client.response().await
}

/// A page of ours shows no script, and is of a kind in which there is none.
fn is_harmless(response: &Response) {
    let kind = response.fields("content-type").concat();
    if kind.starts_with("text/html") {
        assert!(!response.body.contains("<script"), "{}", response.body);
    } else if kind.contains("json") {
        serde_json::from_str::<Value>(&response.body)
            .unwrap_or_else(|e| panic!("{e}: {response:?}"));
    } else {
        assert!(kind.starts_with("text/plain") || response.body.is_empty(), "{response:?}");
    }
}

#[tokio::test]
async fn a_target_is_text_in_every_output() {
    let origin = Origin::named("a").await;
    let free = crate::harness::running::free;
    for format in ["text", "json"] {
        let (listen, admin, dead) = (free(), free(), free());
        let text = format!(
            "[server]\nworkers = 2\n[[listeners]]\naddress = \"{listen}\"\n\
             [admin]\naddress = \"{admin}\"\n\
             [[routes]]\nhosts = [\"shop.test\"]\nservice = \"shop\"\n\
             [[routes]]\nhosts = [\"dead.test\"]\nservice = \"dead\"\n\
             [services.shop]\nsplit = {{ a = 100 }}\n\
             [services.shop.pools.a]\nupstreams = [\"{}\"]\n\
             [services.dead]\nsplit = {{ a = 100 }}\nretries.attempts = 0\n\
             [services.dead.pools.a]\nupstreams = [\"{dead}\"]\n",
            origin.address
        );
        let folder = tempfile::TempDir::new().unwrap();
        let (file, log) = (folder.path().join("p.toml"), folder.path().join("log"));
        std::fs::write(&file, text).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_pointsman"))
            .arg("run")
            .arg(&file)
            .args(["--log-format", format])
            .stderr(Stdio::from(std::fs::File::create(&log).unwrap()))
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let get =
            async |path: &str| crate::harness::client::get(admin, "localhost", path, &[]).await;
        until_ready(admin).await;
        let targets = targets();
        for (nth, (bytes, _)) in targets.iter().enumerate() {
            assert_eq!(ask(listen, "shop.test", bytes, KINDS[nth]).await.status, 200);
            for (host, status) in [("dead.test", 502), ("other.test", 404)] {
                let response = ask(listen, host, bytes, KINDS[nth]).await;
                assert_eq!(response.status, status);
                is_harmless(&response);
            }
        }
        until("all are in the log", async || {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            log.matches("attempt failed").count() == 3
                && log.matches("request refused").count() == 3
        })
        .await;
        let lines = std::fs::read_to_string(&log).unwrap();
        is_logged(&lines, format, &targets);
        // Those that the process remembers.
        let remembered = async || {
            let requests: Value = serde_json::from_str(&get("/v1/requests").await.body).unwrap();
            requests.as_array().unwrap().len()
        };
        until("all are remembered", async || remembered().await == 9).await;
        let requests = get("/v1/requests").await;
        is_harmless(&requests);
        assert_eq!(requests.fields("content-type"), ["application/json"]);
        let all: Vec<Value> = serde_json::from_str(&requests.body).unwrap();
        for (_, text) in &targets {
            // Long ones are cut.
            let is_it = |one: &&Value| {
                let path = one["path"].as_str().unwrap().trim_end_matches('…');
                path.len() > 100 && text.starts_with(path)
            };
            assert_eq!(all.iter().filter(is_it).count(), 3, "{text}: {}", requests.body);
        }
        assert!(
            all.iter().all(|one| one["id"] == SCRIPT || one["request_id"] == SCRIPT),
            "{all:?}"
        );
        // What says nothing of single requests says nothing of their targets.
        for path in ["/metrics", "/v1/events", "/v1/status"] {
            let body = get(path).await.body;
            assert!(!body.contains("<script"), "{path}: {body}");
        }
        // The admin API's own pages.
        for kind in KINDS {
            is_harmless(&ask(admin, "localhost", &targets[0].0, kind).await);
            for path in [
                "/%22%3E%3Cscript%3E",
                "/v1/services/%22%3E%3Cscript%3E",
                "/v1/requests/%22%3E%3Cscript%3E",
            ] {
                let response = ask(admin, "localhost", path.as_bytes(), kind).await;
                assert_eq!(response.status, 404, "{path}");
                is_harmless(&response);
            }
        }
        process.kill().await.unwrap();
    }
}

/// Each line is one, and tells the targets as text.
fn is_logged(lines: &str, format: &str, targets: &[(Vec<u8>, String)]) {
    let paths: Vec<String> = lines
        .lines()
        .filter(|line| line.contains("attempt failed") || line.contains("request refused"))
        .map(|line| match format {
            "json" => {
                let line: Value = serde_json::from_str(line).unwrap();
                assert_eq!(line["request_id"], SCRIPT);
                line["path"].as_str().unwrap().to_string()
            }
            _ => {
                let is_plain = |c: char| !c.is_control() && !"\u{202e}\u{2066}\u{200f}".contains(c);
                assert!(line.chars().all(is_plain), "{}", line.escape_debug());
                assert!(line.contains(&format!("request_id={SCRIPT:?}")), "{line}");
                let of = |text: &&(Vec<u8>, String)| line.contains(&format!("path={:?}", text.1));
                targets.iter().find(of).unwrap_or_else(|| panic!("{line}")).1.clone()
            }
        })
        .collect();
    for (_, text) in targets {
        assert_eq!(paths.iter().filter(|path| *path == text).count(), 2, "{text}: {paths:?}");
    }
}
