//! Files that are saved while the process watches them.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::time::Duration;

use crate::harness::edge::{HEAD, shop};
use crate::harness::{Edge, Origin, until};

/// Two services of one origin each.
fn two(first: &Origin, second: &Origin) -> String {
    let more = format!(
        "[[routes]]\nhosts = [\"shop.test\"]\nservice = \"shop\"\n\
         [[routes]]\nhosts = [\"web.test\"]\nservice = \"web\"\n\
         [services.web.pools.only]\nupstreams = [\"{}\"]\n",
        second.address
    );
    format!("{HEAD}{}{more}", shop(&[("only", first)], ""))
}

/// The same without the service web.
fn without_web(text: &str) -> String {
    let (rest, _) = text.split_once("[[routes]]\nhosts = [\"web.test\"]").unwrap();
    rest.to_string()
}

async fn reloads(edge: &Edge, wanted: u64) {
    let process = edge.server.process();
    until("it is read again", async || process.gauges().reloads >= wanted).await;
}

#[tokio::test]
async fn half_a_file_is_not_read_however_long_its_writer_pauses() {
    let (shop, web) = (Origin::named("shop").await, Origin::named("web").await);
    let text = two(&shop, &web);
    let edge = Edge::start_file(&text, true).await;
    let maintenance = r#"{"mode": "maintenance"}"#;
    assert_eq!(edge.admin("PUT", "/v1/services/web/mode", maintenance).await.0, 200);
    // What is there after the first half is a config of its own.
    let half = without_web(&text);
    assert!(pointsman::config::Config::parse(&half).is_ok());
    let mut file = File::create(edge.file()).unwrap();
    file.write_all(half.as_bytes()).unwrap();
    file.flush().unwrap();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    file.write_all(format!("# more\n{}", &text[half.len()..]).as_bytes()).unwrap();
    drop(file);
    reloads(&edge, 1).await;
    let gauges = edge.server.process().gauges();
    assert_eq!((gauges.reloads, gauges.refused_reloads), (1, 0), "it was read once, as a whole");
    let (_, service) = edge.admin("GET", "/v1/services/web", "").await;
    assert_eq!(service["mode"], "maintenance");
}

#[tokio::test]
async fn a_file_that_the_config_names_is_read_when_it_is_whole() {
    let origin = Origin::named("a").await;
    let folder = tempfile::tempdir().unwrap();
    let answer = folder.path().join("sorry.txt");
    std::fs::write(&answer, "one").unwrap();
    let fallback = format!("fallback.answer.file = \"{}\"\n", answer.display());
    let edge =
        Edge::start_file(&format!("{HEAD}{}", shop(&[("only", &origin)], &fallback)), true).await;
    let mut file = OpenOptions::new().append(true).open(&answer).unwrap();
    for piece in [" two", " three"] {
        file.write_all(piece.as_bytes()).unwrap();
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    drop(file);
    reloads(&edge, 1).await;
    assert_eq!(edge.server.process().gauges().reloads, 1);
}

#[tokio::test]
async fn a_saved_file_that_takes_away_what_is_in_use_waits_for_somebodys_word() {
    let (shop, web) = (Origin::named("shop").await, Origin::named("web").await);
    let text = two(&shop, &web);
    let edge = Edge::start_file(&text, true).await;
    let asked = crate::harness::client::get(edge.address, "web.test", "/", &[]).await;
    assert_eq!(asked.body, "web");
    std::fs::write(edge.file(), without_web(&text)).unwrap();
    let process = edge.server.process();
    until("it is refused", async || process.gauges().refused_reloads == 1).await;
    assert_eq!(crate::harness::client::get(edge.address, "web.test", "/", &[]).await.body, "web");
    let (_, status) = edge.admin("GET", "/v1/status", "").await;
    let config = &status["config"];
    assert_eq!(
        (&config["waits_for_reload"], &config["last_reload_successful"]),
        (&true.into(), &false.into())
    );
    let why = config["refused"].as_str().unwrap();
    assert!(why.contains("service web: it had requests in the last minute"), "{why}");
    until("it is told", async || {
        let (_, events) = edge.admin("GET", "/v1/events", "").await;
        let last = events.as_array().unwrap().last().unwrap();
        let is_told = last["what"].as_str().unwrap().contains("waits for `pointsman reload`");
        is_told && last["kind"] == "reload" && last["severity"] == "high"
    })
    .await;
    let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
    assert!(metrics.contains("pointsman_config_waits_for_reload 1"), "{metrics}");
    let shown = crate::cli::pointsman(&["status", "--admin", &edge.admin.to_string()]).await.out;
    assert!(shown.contains("waiting for `pointsman reload`"), "{shown}");
    // The same text as before, and all is as it was.
    std::fs::write(edge.file(), &text).unwrap();
    reloads(&edge, 1).await;
    let gauges = process.gauges();
    assert!(gauges.last_reload_successful && !gauges.waits_for_reload);
    // Somebody's word is enough.
    std::fs::write(edge.file(), without_web(&text)).unwrap();
    assert_eq!(edge.admin("POST", "/v1/config/reload", "").await.0, 200);
    assert_eq!(crate::harness::client::get(edge.address, "web.test", "/", &[]).await.status, 404);
}

#[tokio::test]
async fn a_file_that_is_no_text_or_gone_is_refused_out_loud_and_forgiven_when_it_is_back() {
    let origin = Origin::named("a").await;
    let text = format!("{HEAD}{}", shop(&[("only", &origin)], ""));
    let edge = Edge::start_file(&text, true).await;
    let process = edge.server.process();
    let bad_byte = [b"# caf\xe9\n", text.as_bytes()].concat();
    for (content, refused) in [(Some(bad_byte), 1), (None, 2)] {
        match content {
            Some(content) => std::fs::write(edge.file(), content).unwrap(),
            None => std::fs::remove_file(edge.file()).unwrap(),
        }
        until("it is refused", async || process.gauges().refused_reloads == refused).await;
        assert!(!process.gauges().last_reload_successful);
        std::fs::write(edge.file(), &text).unwrap();
        until("it is forgiven", async || process.gauges().last_reload_successful).await;
    }
}
