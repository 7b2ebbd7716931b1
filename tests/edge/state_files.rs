//! State files are not programs: what is stored says at which points somebody is asked, and the
//! config in force says who.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use pointsman::config::ListenAddress;
use pointsman::files::Source;
use pointsman::server::{Options, Server};

use crate::harness::client::get;
use crate::harness::edge::{HEAD, shop};
use crate::harness::{Client, Edge, Origin, until};

const STEPS: &str =
    "[services.shop.rollout]\nsteps = [10, 50, 100]\nhold = \"1h\"\nwatch = \"0s\"\n";

/// A file whose rollouts have these hooks, and its origins.
fn file(origins: &[Origin; 2], allowed: bool, hooks: &str) -> String {
    let [blue, green] = origins;
    let head = HEAD.replace("workers = 2", &format!("workers = 2\nallow_commands = {allowed}"));
    let lines = format!("{STEPS}[services.shop.rollout.hooks]\n{hooks}");
    format!("{head}{}", shop(&[("blue", blue), ("green", green)], &lines))
}

fn touches(marker: &Path) -> String {
    format!("before_step = {{ run = [\"/bin/sh\", \"-c\", \"echo x >> {}\"] }}\n", marker.display())
}

async fn origins() -> [Origin; 2] {
    [Origin::named("blue").await, Origin::named("green").await]
}

async fn order(edge: &Edge, verb: &str) -> Value {
    let (status, said) =
        edge.admin("POST", &format!("/v1/services/shop/rollout{verb}"), "{}").await;
    assert!(status < 300, "{verb}: {status} {said}");
    said
}

async fn until_status(edge: &Edge, holds: impl Fn(&Value) -> bool) -> Value {
    let now = async || edge.admin("GET", "/v1/services/shop/rollout", "").await.1;
    until("the rollout is there", async || holds(&now().await)).await;
    now().await
}

async fn reload(edge: &Edge, text: &str) {
    std::fs::write(edge.file(), text).unwrap();
    let (status, said) = edge.admin("POST", "/v1/config/reload", "").await;
    assert_eq!(status, 200, "{said}");
}

#[tokio::test]
async fn a_command_that_the_config_allows_no_more_is_not_run_by_a_rollout_under_way() {
    let (folder, origins) = (TempDir::new().unwrap(), origins().await);
    let marker = folder.path().join("ran");
    let edge = Edge::start_file(&file(&origins, true, &touches(&marker)), false).await;
    let began = json!({ "to": "green", "hold": "1s", "min_requests": 0, "judge": false });
    reload(&edge, &file(&origins, true, &touches(&marker))).await;
    let path = "/v1/services/shop/rollout";
    let (status, said) = edge.admin("POST", path, &began.to_string()).await;
    assert_eq!(status, 201, "{said}");
    order(&edge, "/pause").await;
    reload(&edge, &file(&origins, false, "")).await;
    order(&edge, "/resume").await;
    let paused = until_status(&edge, |now| now["state"] == "paused").await;
    let why = paused["status"].to_string();
    assert!(why.contains("hook before_step") && why.contains("the config in force"), "{why}");
    assert!(!marker.exists(), "it was run");
}

#[tokio::test]
async fn a_hook_is_called_at_the_address_that_the_config_in_force_has() {
    let (origins, old, new) =
        (origins().await, Origin::named("yes").await, Origin::named("yes").await);
    let hooks = |at: &Origin| format!("before_step = \"http://{}/gate\"\n", at.address);
    let edge = Edge::start_file(&file(&origins, false, &hooks(&old)), false).await;
    let began = json!({ "to": "green", "hold": "1s", "min_requests": 0, "judge": false });
    let path = "/v1/services/shop/rollout";
    assert_eq!(edge.admin("POST", path, &began.to_string()).await.0, 201);
    order(&edge, "/pause").await;
    reload(&edge, &file(&origins, false, &hooks(&new))).await;
    order(&edge, "/resume").await;
    until_status(&edge, |now| now["share"] == 50.0).await;
    assert_eq!((old.asked(), new.asked() > 0), (0, true));
}

/// What `store export` prints of a rollout under way whose hook is a webhook, as a value.
async fn exported(origins: &[Origin; 2]) -> Value {
    let text = file(origins, false, "before_step = \"http://a.test/x\"\n");
    let edge = Edge::start_file(&text, false).await;
    let began = json!({ "to": "green", "hold": "1s", "min_requests": 0, "judge": false });
    let path = "/v1/services/shop/rollout";
    assert_eq!(edge.admin("POST", path, &began.to_string()).await.0, 201);
    order(&edge, "/pause").await;
    edge.admin("GET", "/v1/store", "").await.1
}

/// The rollout that is under way in an export.
fn plan(export: &mut Value) -> &mut Value {
    &mut export["tables"]["rollouts"]["shop"]["plan"]
}

/// Writes a config and an export into a folder and imports the one for the other: whether that was done, and
/// what was said.
pub async fn import(folder: &Path, text: &str, export: &Value, more: &[&str]) -> (bool, String) {
    std::fs::write(folder.join("p.toml"), text).unwrap();
    std::fs::write(folder.join("export.json"), export.to_string()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(["store", "import"])
        .arg(folder.join("p.toml"))
        .arg(folder.join("export.json"))
        .args(more)
        .output()
        .await
        .unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn an_import_with_commands_is_asked_for_and_what_it_brings_is_told() {
    let (folder, origins) = (TempDir::new().unwrap(), origins().await);
    let at = folder.path();
    let mut export = exported(&origins).await;
    let text = file(&origins, false, "");
    let marker = at.join("ran");
    let run = ["/bin/sh", "-c", &format!("echo x >> {}", marker.display())];
    plan(&mut export)["hooks"]["before_step"] =
        json!({ "command": { "run": run, "timeout": { "secs": 5, "nanos": 0 } } });
    let (done, said) = import(at, &text, &export, &[]).await;
    assert!(!done && said.contains("has commands"), "{said}");
    assert!(said.contains("rollout 1 of `shop`: before_step runs [\"/bin/sh\""), "{said}");
    assert!(said.contains("--with-commands") && !at.join("p.state").exists(), "{said}");
    let (done, said) = import(at, &text, &export, &["--with-commands"]).await;
    assert!(done && said.contains("rollout 1 of `shop`, under way: `blue` to `green`"), "{said}");
    // And what was imported runs nothing that the config does not say.
    let source = Source::file(at.join("p.toml"), Default::default());
    let options = Options { source, admin: None, watches_file: false };
    let server = Server::start(options).await.unwrap_or_else(|error| panic!("{error}"));
    let &ListenAddress::Tcp(admin) = server.admin_address() else { unreachable!() };
    let mut client = Client::connect(admin).await;
    let resume = "POST /v1/services/shop/rollout/resume HTTP/1.1\r\nhost: localhost\r\n\
                  content-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    client.send(resume).await;
    let resumed = client.response().await;
    assert_eq!(resumed.status, 200, "{}", resumed.body);
    until("it waits for somebody", async || {
        let said = get(admin, "localhost", "/v1/services/shop/rollout", &[]).await.body;
        said.contains("\"paused\"") && said.contains("the config in force")
    })
    .await;
    assert!(!marker.exists(), "it was run");
    server.stop().await;
}

#[tokio::test]
async fn what_is_imported_is_validated_like_a_config() {
    let (folder, origins) = (TempDir::new().unwrap(), origins().await);
    let export = exported(&origins).await;
    let text = file(&origins, false, "");
    type Edit = fn(&mut Value);
    let edits: [(Edit, &str); 19] = [
        (|plan| plan["steps"] = json!([5_000, 1_000]), "do not rise to 100 %"),
        (|plan| plan["to"] = json!("blue"), "only a rolling rollout stays in one pool"),
        (|plan| plan["hooks"]["before_step"]["webhook"]["url"] = json!("gopher://a/"), "`url`"),
        (
            |plan| {
                let timeout = json!({ "secs": 5, "nanos": 0 });
                plan["hooks"]["before_step"] =
                    json!({ "command": { "run": [], "timeout": timeout } });
            },
            "`run` names no program",
        ),
        (|plan| plan["at_once"] = json!(0), "`at_once`"),
        (|plan| plan["min_requests"] = json!(1_000_000_001), "`min_requests`"),
        (|plan| plan["judging"]["settings"]["alpha"] = json!(0.51), "`risk`"),
        (|plan| plan["judging"]["settings"]["tolerated_ratio"] = json!(0.9), "`ratio`"),
        (|plan| plan["judging"]["settings"]["tolerated_rate"] = json!(1.0), "`rate`"),
        (|plan| plan["judging"]["settings"]["latency_share"] = json!(-0.1), "`share`"),
        (|plan| plan["judging"]["settings"]["gate_ratio"] = json!(1.0), "`ratio`"),
        (|plan| plan["judging"]["settings"]["gate_rate"] = json!(0.0), "`rate`"),
        (|plan| plan["judging"]["settings"]["beta"] = json!(1e300), "`risk`"),
        (|plan| plan["judging"]["settings"]["guard"] = json!(0.0), "`guard`"),
        (|plan| plan["judging"]["settings"]["budget_share"] = json!(2.0), "`budget`"),
        (|plan| plan["judging"]["metrics"] = json!(["errors"]), "is a metric of the judge"),
        (|plan| plan["judging"]["errors"] = json!(["sloth"]), "`sloth` is none of"),
        (|plan| plan["judging"]["errors"] = json!([]), "nothing counts as an error"),
        (|plan| plan["to"] = json!("a b\nc"), "name"),
    ];
    for (edit, problem) in edits {
        let mut bad = export.clone();
        edit(plan(&mut bad));
        let (done, said) = import(folder.path(), &text, &bad, &["--with-commands"]).await;
        assert!(!done && said.contains("rollout 1 of `shop`"), "{problem}: {said}");
        assert!(said.contains(problem), "{problem}: {said}");
    }
    let (done, said) = import(folder.path(), &text, &export, &[]).await;
    assert!(done && said.contains("before_step calls http://a.test/…"), "{said}");
}

#[tokio::test]
async fn an_export_is_for_its_owner_and_follows_no_link() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, origins) = (TempDir::new().unwrap(), origins().await);
    let edge = Edge::start_file(&file(&origins, false, ""), false).await;
    let export = async |to: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_pointsman"))
            .args(["store", "export"])
            .arg(to)
            .args(["--admin", &edge.admin.to_string()])
            .output()
            .await
            .unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let to = folder.path().join("state.json");
    assert!(export(&to).await.0);
    assert_eq!(std::fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&to).unwrap();
    assert!(text.contains("\"secret\""), "{text}");
    let (link, elsewhere) = (folder.path().join("link"), folder.path().join("elsewhere"));
    std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
    let (done, said) = export(&link).await;
    assert!(!done && said.contains("cannot write"), "{said}");
    assert!(!elsewhere.exists());
    // What others could read before is its owner's then.
    std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(export(&to).await.0);
    assert_eq!(std::fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(
        std::fs::read_dir(folder.path())
            .unwrap()
            .filter(|it| { it.as_ref().unwrap().file_name().to_string_lossy().ends_with(".new") })
            .count(),
        0
    );
}
