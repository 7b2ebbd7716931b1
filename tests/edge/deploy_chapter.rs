//! docs/deploy.md is true: its file is one, its commands are understood, and its script for one machine
//! with Docker does what it says, with a Docker that keeps its containers in a file.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pointsman::config::Config;
use tempfile::TempDir;
use tokio::process::Command;

use crate::cli::pointsman;
use crate::documented::{blocks_of, commands, root};
use crate::harness::running::free;
use crate::harness::{Edge, Origin, Reply};

/// What is between the chapter's fences of a language.
fn blocks(language: &str) -> Vec<String> {
    let all = blocks_of(&root().join("docs/deploy.md")).into_iter();
    all.filter(|block| block.language == language).map(|block| block.text).collect()
}

#[test]
fn the_file_of_the_chapter_is_one() {
    let [text] = &blocks("toml")[..] else { panic!("one file is shown") };
    let (config, warnings) = Config::parse(text).unwrap();
    assert_eq!((config.services.len(), warnings.0.len()), (1, 0), "{warnings:?}");
}

/// Commands of ours in a text, without what a shell or a pipeline puts into them.
fn ours(text: &str) -> Vec<String> {
    let lines = commands(text).into_iter().filter_map(|line| {
        let at = line.find("pointsman ")?;
        let is_word = line[..at].chars().last().is_none_or(|before| " (".contains(before));
        (is_word && !line.starts_with('-')
            || line.contains("- pointsman")
            || line.contains("run: pointsman"))
        .then(|| line[at..].to_string())
    });
    let without = |line: String| {
        let mut line = line;
        while let (Some(from), Some(to)) = (line.find("${{"), line.find("}}")) {
            line.replace_range(from..to + 2, "x");
        }
        let ends = [" ||", " >>", " > ", ")"];
        let line = line.replace("\"$(cat at)\"", "127.0.0.1:9").replace("$port", "9");
        let cut = ends.iter().filter_map(|end| line.find(end)).min().unwrap_or(line.len());
        line[..cut].to_string()
    };
    lines.map(without).collect()
}

#[tokio::test]
async fn each_command_of_the_chapter_is_understood() {
    let blocks = [blocks("sh"), blocks("yaml")].concat();
    let all: Vec<String> = blocks.iter().flat_map(|block| ours(block)).collect();
    assert!(all.len() >= 8, "{all:?}");
    let admin = free().to_string();
    for command in all {
        let script = format!("set -- {}; shift; exec \"$BINARY\" \"$@\"", command);
        let output = Command::new("sh")
            .args(["-c", &script])
            .env("BINARY", env!("CARGO_BIN_EXE_pointsman"))
            .env("POINTSMAN_ADMIN", &admin)
            .env("tag", "v42")
            .env("CI_COMMIT_SHORT_SHA", "0f0f0f")
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // It has got as far as the network, where nobody is.
        assert_eq!(output.status.code(), Some(69), "{command}: {said}");
    }
}

/// As much of Docker as the script asks of it: port and name of each container, the newest first.
const DOCKER: &str = r#"#!/bin/sh
all="$(dirname "$0")/containers"
case "$1" in
    run)
        while [ $# -gt 0 ]; do
            case "$1" in
                --name) name=$2 ;;
                shop.port=*) port=${1#shop.port=} ;;
            esac
            shift
        done
        { echo "$port $name"; cat "$all"; } > "$all.new"
        mv "$all.new" "$all" ;;
    ps)
        case "$*" in
            *label=shop.port=*) grep "^${*##*shop.port=} " "$all" | cut -d ' ' -f 2 ;;
            *) cat "$all" ;;
        esac ;;
    rm)
        grep -v " $3\$" "$all" > "$all.new"
        mv "$all.new" "$all" ;;
    logs) echo "the last words of $4" ;;
esac
"#;

fn program(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn the_script_for_docker_keeps_what_serves_and_the_way_back_and_nothing_else() {
    // What runs in a container is there already; its smoke requests fail while it is bad.
    let is_bad = Arc::new(AtomicBool::new(false));
    let mut origins = Vec::new();
    for _ in 0..3 {
        let is_bad = is_bad.clone();
        let at = free();
        let script = move |request: &crate::harness::origin::Received| {
            let fails = request.head.starts_with("GET /smoke") && is_bad.load(Ordering::Relaxed);
            match fails {
                true => Reply::head("500 Oh", &[], "no"),
                false => Reply::ok(&at.port().to_string()),
            }
        };
        origins.push(Origin::at(at, script).await);
    }
    let port = |at: usize| origins[at].address.port().to_string();
    let edge = Edge::start(&format!(
        "[services.shop]\nsplit = {{ blue = 100, green = 0 }}\n[services.shop.judge]\nenabled = false\n\
         [services.shop.rollout]\nstrategy = \"blue-green\"\nwatch = \"0s\"\ndrain = \"1s\"\n\
         smoke = [{{ path = \"/smoke\" }}]\n[services.shop.pools]\n\
         blue.upstreams = [\"{}\"]\ngreen.upstreams = []\n",
        origins[0].address
    ))
    .await;
    let folder = TempDir::new().unwrap();
    let of = |name: &str| folder.path().join(name);
    program(&of("docker"), DOCKER);
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_pointsman"), of("pointsman")).unwrap();
    std::fs::write(of("containers"), format!("{} shop-v1\n", port(0))).unwrap();
    let script = blocks("sh").into_iter().find(|block| block.contains("docker run")).unwrap();
    let ports = format!("{} {} {}", port(0), port(1), port(2));
    program(&of("deploy.sh"), &script.replace("9001 9002 9003", &ports));
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let run = async |tag: &str| {
        let output = Command::new(of("deploy.sh"))
            .arg(tag)
            .env("PATH", &path)
            .env("POINTSMAN_ADMIN", edge.admin.to_string())
            .output()
            .await
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    };
    let containers = || std::fs::read_to_string(of("containers")).unwrap();
    let (code, said) = run("v2").await;
    assert_eq!(
        (code, containers()),
        (0, format!("{} shop-v2\n{} shop-v1\n", port(1), port(0))),
        "{said}"
    );
    let (code, said) = run("v3").await;
    assert_eq!(
        (code, containers()),
        (0, format!("{} shop-v3\n{} shop-v2\n", port(2), port(1))),
        "{said}"
    );
    assert_eq!(edge.get(&[]).await.body, port(2));
    // One that fails leaves no container behind, and its last words.
    is_bad.store(true, Ordering::Relaxed);
    let (code, said) = run("v4").await;
    assert_eq!(
        (code, containers()),
        (3, format!("{} shop-v3\n{} shop-v2\n", port(2), port(1))),
        "{said}"
    );
    assert!(said.contains("the last words of shop-v4"), "{said}");
    assert_eq!(edge.get(&[]).await.body, port(2));
    // After a rollback what serves now is kept, and the next one takes the place of what was left.
    is_bad.store(false, Ordering::Relaxed);
    let admin = edge.admin.to_string();
    assert_eq!(pointsman(&["rollback", "shop", "--admin", &admin]).await.code, 0);
    assert_eq!(edge.get(&[]).await.body, port(1));
    let (code, said) = run("v5").await;
    assert_eq!(
        (code, containers()),
        (0, format!("{} shop-v5\n{} shop-v2\n", port(0), port(1))),
        "{said}"
    );
    // Where the proxy cannot be asked nothing is started and nothing is removed.
    edge.server.stop().await;
    let before = containers();
    assert_ne!(run("v6").await.0, 0);
    assert_eq!(containers(), before);
}
