//! The process's own log: how much it says, what it never says, and how often.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use tokio::process::{Child, Command};

use crate::cli::{Ran, pointsman};
use crate::harness::edge::shop;
use crate::harness::running::{file, until_ready};
use crate::harness::{Client, Origin, client, until};

/// A process whose log is a file.
struct Logged {
    folder: tempfile::TempDir,
    listen: std::net::SocketAddr,
    admin: std::net::SocketAddr,
    _child: Child,
}

const TOKEN: &str = "t0ken-of-the-admin-5ecret";

impl Logged {
    async fn start(services: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Logged {
        let folder = tempfile::TempDir::new().unwrap();
        let (text, listen, admin) = file("workers = 2", services);
        let text = text.replace("[admin]\n", "[admin]\ntoken_file = \"admin.token\"\n");
        std::fs::write(folder.path().join("p.toml"), text).unwrap();
        let tokens = format!("ci: {TOKEN}\nann role=read: reader-0123456789\n");
        std::fs::write(folder.path().join("admin.token"), tokens).unwrap();
        std::fs::write(folder.path().join("hook.key"), "signing-5ecret").unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_pointsman"))
            .arg("run")
            .arg(folder.path().join("p.toml"))
            .args(arguments)
            .env_remove("POINTSMAN_LOG")
            .envs(variables.iter().copied())
            .stderr(Stdio::from(log))
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        until_ready(admin).await;
        Logged { folder, listen, admin, _child: child }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn level(&self, arguments: &[&str]) -> Ran {
        let (admin, token) =
            (self.admin.to_string(), self.path("admin.token").display().to_string());
        let reach = ["log-level", "--admin", &admin, "--token-file", &token];
        pointsman(&[&reach, arguments].concat()).await
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> u16 {
        let mut client = Client::connect(self.admin).await;
        client
            .send(format!(
                "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ))
            .await;
        client.response().await.status
    }

    async fn mode(&self, mode: &str) {
        let body = format!("{{\"mode\": \"{mode}\"}}");
        assert_eq!(self.ask("PUT", "/v1/services/shop/mode", &body).await, 200);
    }
}

#[tokio::test]
async fn each_target_says_as_much_as_it_is_told_to_while_it_runs() {
    let origin = Origin::named("a").await;
    let logged =
        Logged::start(&shop(&[("blue", &origin)], ""), &[], &[("POINTSMAN_LOG", "warn,h2=off")])
            .await;
    assert_eq!(logged.level(&[]).await.out, "default=warn\nh2=off\n");
    logged.mode("maintenance").await;
    assert!(!logged.log().contains("in maintenance"), "{}", logged.log());
    let set = logged.level(&["events=info", "wire::lane=trace"]).await;
    let shown = "default=warn\nh2=off\npointsman::events=info\npointsman::wire::lane=trace\n";
    assert_eq!((set.code, &*set.out), (0, shown));
    logged.mode("serve").await;
    until("it is said", async || logged.log().contains("serves again")).await;
    let reset = logged.level(&["--reset", "error", "--json"]).await;
    let reset: Value = serde_json::from_str(&reset.out).unwrap();
    assert_eq!(reset, serde_json::json!({"default": "error", "targets": {"h2": "off"}}));
    let before = logged.log();
    logged.mode("maintenance").await;
    assert_eq!(logged.log(), before);
    for (bad, why) in [
        ("wire=loud", "`loud` is no level"),
        ("h2=trace", "`h2` is not ours"),
        ("a b=info", "`a b` is no target"),
    ] {
        let refused = logged.level(&[bad]).await;
        assert_eq!(refused.code, 2, "{}", refused.err);
        assert!(refused.err.contains(why), "{}", refused.err);
    }
    assert_eq!(
        logged.level(&[]).await.out,
        "default=error\nh2=off\n",
        "nothing of that is in force"
    );
    // Whoever may look may not change it.
    std::fs::write(logged.path("reader"), "reader-0123456789").unwrap();
    let (admin, token) = (logged.admin.to_string(), logged.path("reader").display().to_string());
    let reach = ["log-level", "--admin", &admin, "--token-file", &token];
    assert_eq!(pointsman(&reach).await.code, 0);
    let refused = pointsman(&[&reach[..], &["debug"]].concat()).await;
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert!(refused.err.contains("admin"), "{}", refused.err);
}

#[tokio::test]
async fn no_line_has_a_secret_in_it_however_much_is_said() {
    let secrets = [
        TOKEN,
        "signing-5ecret",
        "env-field-5ecret",
        "env-path-5ecret",
        "cookie-5ecret",
        "bearer-5ecret",
        "query-5ecret",
        "reader-0123456789",
    ];
    for format in ["text", "json"] {
        let (origin, receiver) = (Origin::named("a").await, Origin::named("told").await);
        let dead = crate::harness::running::free();
        let services = format!(
            "[[notify]]\nname = \"chat\"\nurl = \"http://{}/env-${{WHERE}}\"\nsecret_file = \"hook.key\"\n\
             severity = \"low\"\n[[notify]]\nname = \"gone\"\nurl = \"http://{dead}/${{WHERE}}\"\n\
             severity = \"low\"\n[[routes]]\nservice = \"shop\"\n\
             request.set = {{ authorization = \"${{FIELD}}\" }}\n{}",
            receiver.address,
            shop(&[("blue", &origin)], "health.http.path = \"/${WHERE}\"\n")
        );
        let variables = [
            ("WHERE", "env-path-5ecret"),
            ("FIELD", "env-field-5ecret"),
            ("POINTSMAN_LOG", "trace"),
        ];
        let logged = Logged::start(&services, &["--log-format", format], &variables).await;
        let fields = ["cookie: sid=cookie-5ecret", "authorization: Bearer bearer-5ecret"];
        for path in ["/", "/?token=query-5ecret", "//../?token=query-5ecret"] {
            client::get(logged.listen, "shop.test", path, &fields).await;
        }
        logged.mode("maintenance").await;
        client::get(logged.listen, "shop.test", "/?token=query-5ecret", &fields).await;
        // Refused, put in force, and refused for what came from outside.
        client::get(
            logged.admin,
            "localhost",
            "/v1/status",
            &["authorization: Bearer bearer-5ecret"],
        )
        .await;
        assert_eq!(logged.ask("POST", "/v1/config/reload", "").await, 200);
        let text = std::fs::read_to_string(logged.path("p.toml")).unwrap();
        let bad = text.replace("upstreams = [", "upstreams = [\"${WHERE}\", ");
        std::fs::write(logged.path("p.toml"), bad).unwrap();
        assert_eq!(logged.ask("POST", "/v1/config/reload", "").await, 422);
        until("the notices have been tried", async || {
            !receiver.received().is_empty() && logged.log().contains("gone")
        })
        .await;
        let log = logged.log();
        assert!(log.lines().count() > 10, "{log}");
        for line in log.lines() {
            let found: Vec<_> = secrets.iter().filter(|secret| line.contains(**secret)).collect();
            assert!(found.is_empty(), "{found:?}: {line}");
            if format == "json" {
                let line: Value =
                    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
                assert!(line["level"].is_string() && line["timestamp"].is_string(), "{line}");
            }
        }
    }
}

#[tokio::test]
async fn a_line_that_repeats_is_counted_and_none_is_lost() {
    const ORDERS: usize = 400;
    let origin = Origin::named("a").await;
    let logged =
        Logged::start(&shop(&[("blue", &origin)], ""), &["--log-format", "json"], &[]).await;
    for nth in 0..ORDERS {
        logged.mode(if nth % 2 == 0 { "maintenance" } else { "serve" }).await;
    }
    // What was said, and what was said to have been left out.
    let told = || -> u64 {
        let lines = logged.log();
        let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let of = |line: Value| {
            let message = line["message"].as_str().unwrap_or_default();
            let is_it = message.contains("in maintenance") || message.contains("serves again");
            if is_it { line["times"].as_u64().unwrap_or(1) } else { 0 }
        };
        lines.map(of).sum()
    };
    until("all are told of", async || told() >= ORDERS as u64).await;
    assert_eq!(told(), ORDERS as u64);
}
