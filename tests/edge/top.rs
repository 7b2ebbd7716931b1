//! `top`: one picture for pipes and scripts; on a terminal keys that give orders, and the terminal as it was at
//! the end.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinHandle;

use crate::cli::pointsman;
use crate::harness::{Edge, Origin, until};

/// What takes the screen, and gives it back.
const TAKEN: &str = "\x1b[?1049h";
const GIVEN_BACK: &str = "\x1b[?1049l";

async fn edge() -> (Edge, [Origin; 2]) {
    let origins = [Origin::named("blue").await, Origin::named("green").await];
    let pools = [("blue", &origins[0]), ("green", &origins[1])];
    (Edge::before(&pools, "").await, origins)
}

#[tokio::test]
async fn one_picture_goes_anywhere() {
    let (edge, origins) = edge().await;
    let at = edge.admin.to_string();
    // What a terminal would obey is seen, and not obeyed.
    let shift = r#"{"weights": {"blue": 90, "green": 10}, "reason": "\u001b[2Jgone\u009b1m"}"#;
    let (status, _) = edge.admin("PUT", "/v1/services/shop/split", shift).await;
    assert_eq!(status, 200);
    let all = pointsman(&["top", "--once", "--admin", &at]).await;
    assert_eq!(all.code, 0, "{}", all.err);
    assert!(all.out.contains("SERVICE") && all.out.contains("shop"), "{}", all.out);
    assert!(!all.out.contains(['\x1b', '\u{9b}']), "{}", all.out);
    let shop = pointsman(&["top", "shop", "--once", "--admin", &at]).await;
    assert!(shop.out.contains("[2Jgone") && !shop.out.contains(['\x1b', '\u{9b}']), "{}", shop.out);
    for origin in &origins {
        assert!(shop.out.contains(&origin.address.to_string()), "{}", shop.out);
    }
    let json = pointsman(&["top", "--once", "--json", "--admin", &at]).await;
    let told: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(told["services"][0]["name"], "shop");
    let json = pointsman(&["top", "shop", "--once", "--json", "--admin", &at]).await;
    let told: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(told["service"]["pool_names"], serde_json::json!(["blue", "green"]));
    assert_eq!(told["pools"][1]["upstreams"][0]["state"], "active");
}

#[tokio::test]
async fn without_a_terminal_it_says_what_goes_without() {
    let (edge, _origins) = edge().await;
    let at = edge.admin.to_string();
    let ran = pointsman(&["top", "--admin", &at]).await;
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("`pointsman top --once`"), "{}", ran.err);
    let ran = pointsman(&["top", "--json", "--admin", &at]).await;
    assert_eq!((ran.code, ran.err.contains("goes with --once")), (2, true), "{}", ran.err);
    let ran = pointsman(&["top", "shopp", "--once", "--admin", &at]).await;
    assert_eq!(ran.code, 1, "{}", ran.err);
    let ran = pointsman(&["top", "--once", "--admin", "127.0.0.1:9"]).await;
    assert_eq!(ran.code, 69, "{}", ran.err);
}

/// `top` on a terminal of its own, which `script` makes.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    seen: Arc<Mutex<String>>,
    reading: JoinHandle<()>,
}

impl Terminal {
    fn of(words: &str) -> Terminal {
        let program = env!("CARGO_BIN_EXE_pointsman");
        let line = format!("stty rows 30 cols 100; echo pid=$$.; exec {program} {words}");
        let mut child = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .env("TERM", "xterm-256color")
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let seen = Arc::new(Mutex::new(String::new()));
        let (mut out, all) = (child.stdout.take().unwrap(), seen.clone());
        let reading = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut buffer).await {
                all.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        });
        let keys = child.stdin.take().unwrap();
        Terminal { child, keys, seen, reading }
    }

    async fn sees(&self, text: &str) {
        until(text, async || self.seen.lock().unwrap().contains(text)).await;
    }

    async fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).await.unwrap();
        self.keys.flush().await.unwrap();
    }

    /// Its process's own number, which the shell had before it.
    fn pid(&self) -> Pid {
        let seen = self.seen.lock().unwrap();
        let (_, rest) = seen.split_once("pid=").unwrap();
        Pid::from_raw(rest.split_once('.').unwrap().0.parse().unwrap())
    }

    /// Waits for its end, with which the terminal is as it was.
    async fn ends(mut self, with: i32) {
        let ended = self.child.wait().await.unwrap();
        self.reading.await.unwrap();
        let seen = self.seen.lock().unwrap();
        assert_eq!(ended.code(), Some(with), "{seen:?}");
        assert_eq!(seen.matches(TAKEN).count(), 1, "{seen:?}");
        let (_, after) = seen.split_once(GIVEN_BACK).unwrap_or_else(|| panic!("{seen:?}"));
        assert!(after.contains("\x1b[?25h"), "the cursor is shown again: {after:?}");
    }
}

#[tokio::test]
async fn keys_give_an_order_with_a_reason() {
    let (edge, _origins) = edge().await;
    let mut terminal = Terminal::of(&format!("top --admin {}", edge.admin));
    // Its row has come.
    terminal.sees("shop").await;
    terminal.press("frelease 42\r").await;
    until("it is so", async || {
        let (_, split) = edge.admin("GET", "/v1/services/shop/split", "").await;
        split["weights"]["green"] == 100.0
    })
    .await;
    let (_, revisions) = edge.admin("GET", "/v1/services/shop/revisions", "").await;
    assert!(revisions.to_string().contains("release 42"), "{revisions}");
    terminal.press("q").await;
    terminal.ends(0).await;
}

#[tokio::test]
async fn the_terminal_is_given_back_by_control_c_and_by_signals() {
    let (edge, _origins) = edge().await;
    let mut terminal = Terminal::of(&format!("top shop --admin {}", edge.admin));
    terminal.sees("rollout").await;
    terminal.press("\x03").await;
    terminal.ends(0).await;
    let terminal = Terminal::of(&format!("top shop --admin {}", edge.admin));
    terminal.sees("rollout").await;
    kill(terminal.pid(), Signal::SIGTERM).unwrap();
    terminal.ends(0).await;
}
