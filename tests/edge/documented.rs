//! What README and docs show is as it is shown. Each block says what it is behind its language: `run` is a
//! script for a running edge, which this test executes; `parse` is commands, which the command line must
//! understand, a part of a file, which must be one without mistakes, or what Prometheus is to read, which
//! `promtool` must understand; `show` is output.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pointsman::cli::Cli;
use pointsman::config::Config;
use tokio::process::Command;
use toml::{Table, Value};

use crate::harness::edge::shop;
use crate::harness::{Edge, Origin};

/// A block: where it begins, its language, what it is, and its lines.
pub struct Block {
    place: String,
    pub language: String,
    kind: String,
    pub text: String,
}

/// Programs that commands may call beside ours.
const OTHERS: [&str; 26] = [
    "apt-get",
    "bash",
    "cargo",
    "cat",
    "cd",
    "chmod",
    "chown",
    "cp",
    "curl",
    "df",
    "docker",
    "dpkg",
    "export",
    "getent",
    "install",
    "journalctl",
    "kill",
    "ls",
    "mkdir",
    "openssl",
    "prlimit",
    "ss",
    "systemctl",
    "systemd-sysusers",
    "systemd-tmpfiles",
    "top",
];

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<PathBuf> {
    let mut found = vec![root().join("README.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(kind) if kind == "md" => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// The blocks of a document.
pub fn blocks_of(path: &Path) -> Vec<Block> {
    let text = fs::read_to_string(path).unwrap();
    let name = path.strip_prefix(root()).unwrap().display().to_string();
    let (mut found, mut open): (Vec<Block>, Option<Block>) = (Vec::new(), None);
    for (number, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (Some(_), Some("")) => found.extend(open.take()),
            (Some(block), _) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, Some(says)) => {
                let (language, kind) = says.split_once(' ').unwrap_or((says, ""));
                let place = format!("{name}:{}", number + 1);
                let (language, kind) = (language.to_string(), kind.to_string());
                open = Some(Block { place, language, kind, text: String::new() });
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{name}: a block has no end");
    found
}

fn blocks() -> Vec<Block> {
    documents().iter().flat_map(|path| blocks_of(path)).collect()
}

/// The commands of a script: lines that go on are one, comments are none.
pub fn commands(script: &str) -> Vec<String> {
    let joined = script.replace("\\\n", " ");
    let mut found = Vec::new();
    for line in joined.lines() {
        let line = without_comment(line);
        found.extend(line.split("&&").map(str::trim).filter(|it| !it.is_empty()).map(String::from));
    }
    found
}

/// A comment begins with a `#` behind a space, outside quotes.
fn without_comment(line: &str) -> &str {
    let (mut quote, mut before) = (None, ' ');
    for (at, letter) in line.char_indices() {
        match (quote, letter) {
            (None, '#') if before.is_whitespace() => return &line[..at],
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            _ => {}
        }
        before = letter;
    }
    line
}

/// The words of a command, as a shell has them.
fn words(command: &str) -> Vec<String> {
    let (mut found, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in command.chars() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, _) if letter.is_whitespace() => found.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    found.extend(word);
    found
}

/// What is wrong with a command, if something is.
fn mistake(command: &str) -> Option<String> {
    let all = words(command);
    let is_setting = |word: &&String| {
        word.split_once('=').is_some_and(|(name, _)| {
            name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_')
        })
    };
    let mut rest = all.iter().skip_while(|word| is_setting(word) || *word == "sudo").peekable();
    let program = rest.next()?;
    let name = program.rsplit('/').next().unwrap_or_default();
    if name != "pointsman" {
        return (!OTHERS.contains(&name)).then(|| format!("what is `{name}`?"));
    }
    let ends = |word: &&String| !["|", ">", "||", ";", "2>&1"].contains(&word.as_str());
    Cli::understand(rest.take_while(ends).map(String::as_str)).err()
}

/// What a shell has against a script, without running it.
fn mistake_of_script(text: &str) -> Option<String> {
    let output = std::process::Command::new("bash").args(["-nc", text]).output().unwrap();
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The queries of a block, which are apart from each other by a blank line.
fn queries(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n\n").map(str::trim).filter(|query| !query.is_empty())
}

/// A file of Prometheus's that asks these.
fn rules(text: &str) -> String {
    let rule = |(nth, query): (usize, &str)| {
        format!("- record: docs:{nth}\n  expr: |\n    {}\n", query.replace('\n', "\n    "))
    };
    let rules: String = queries(text).enumerate().map(rule).collect();
    format!("groups:\n- name: docs\n  rules:\n  {}", rules.replace('\n', "\n  "))
}

/// What Prometheus has against a file of this kind.
fn promtool(kind: &str, text: &str) -> Option<String> {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("file.yml");
    fs::write(&file, text).unwrap();
    let output = std::process::Command::new("promtool").args(["check", kind]).arg(file).output();
    let output = output.expect("promtool is installed (Debian package `prometheus`)");
    let said = [output.stdout, output.stderr].concat();
    (!output.status.success()).then(|| String::from_utf8_lossy(&said).into_owned())
}

/// What is added where a part of a file lacks it.
const WHOLE: &str = r#"
[[listeners]]
address = "127.0.0.1:0"
[services.shop]
split = { blue = 100, green = 0 }
[services.shop.pools]
blue.upstreams = ["192.0.2.1:80"]
green.upstreams = ["192.0.2.2:80"]
"#;

/// A part of a file with what it lacks; tables are joined, anything else is as the part says.
fn join(whole: &mut Table, part: Table) {
    for (name, value) in part {
        match (whole.get_mut(&name), value) {
            (Some(Value::Table(known)), Value::Table(more)) => join(known, more),
            (_, value) => drop(whole.insert(name, value)),
        }
    }
}

/// With what variables would be, their defaults if they have any.
fn filled_in(part: &str) -> String {
    let mut pieces = part.split("${");
    let mut filled = pieces.next().unwrap_or_default().to_string();
    for piece in pieces {
        let (variable, rest) = piece.split_once('}').expect("a variable has an end");
        let value = match variable.split_once(":-") {
            Some((_, default)) => default,
            None if variable.starts_with("file:") => "https://chat.example.com/hook",
            None => "value",
        };
        filled.push_str(value);
        filled.push_str(rest);
    }
    filled
}

/// What is wrong with a part of a file, if something is.
fn mistake_of_part(part: &str) -> Option<String> {
    let mut part: Table = match filled_in(part).parse() {
        Ok(part) => part,
        Err(error) => return Some(format!("{error}")),
    };
    // Which files there are is not to be known here.
    part.remove("include");
    let mut whole: Table = WHOLE.parse().unwrap();
    // A service that is shown alone is alone.
    if let Some(Value::Table(shown)) = part.get("services")
        && !shown.contains_key("shop")
        && !part.contains_key("routes")
    {
        whole.remove("services");
    }
    // Services that are routed to and are not shown are like the shop.
    let routes = part.get("routes").and_then(Value::as_array).cloned().unwrap_or_default();
    let named: BTreeSet<_> =
        routes.iter().filter_map(|route| route.get("service")?.as_str()).collect();
    if let Some(Value::Table(services)) = whole.get_mut("services") {
        for name in named {
            let like = services["shop"].clone();
            services.entry(name).or_insert(like);
        }
    }
    join(&mut whole, part);
    let text = toml::to_string(&whole).unwrap();
    let problems = Config::parse(&text).err()?;
    Some(problems.render(&text, "part.toml", false))
}

#[test]
fn each_block_of_the_docs_says_what_it_is_and_is_that() {
    let mut mistakes = Vec::new();
    for Block { place, language, kind, text } in blocks() {
        let found = match (&*language, &*kind) {
            (_, "show") => None,
            ("sh", "run") => None,
            // A whole script is one to a shell; what it calls is for whoever shows it to test.
            ("sh", "parse") if text.starts_with("#!") => mistake_of_script(&text),
            ("sh", "parse") => {
                let wrong = |command: &String| Some(format!("`{command}`: {}", mistake(command)?));
                commands(&text).iter().find_map(wrong)
            }
            ("toml", "parse") => mistake_of_part(&text),
            ("promql", "parse") => promtool("rules", &rules(&text)),
            ("yaml", "parse") => promtool("config", &text),
            _ => Some("behind the language: `run`, `parse` or `show`".to_string()),
        };
        mistakes.extend(found.map(|found| format!("{place}: {found}")));
    }
    assert!(mistakes.is_empty(), "\n{}", mistakes.join("\n"));
}

/// Where the links of a text lead, but for those to other machines.
fn links(text: &str) -> Vec<&str> {
    let ends = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    ends.map(|(link, _)| link).filter(|link| !link.contains("://")).collect()
}

/// The anchors of a text's headings, as they are made of them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let words = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        words.chars().filter(|it| it.is_alphanumeric() || *it == '-' || *it == '_').collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn each_link_of_the_docs_leads_somewhere() {
    let mut dead = Vec::new();
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for link in links(&text) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let to = if file.is_empty() { path.clone() } else { path.with_file_name(file) };
            let has_anchor = || {
                let text = fs::read_to_string(&to).unwrap_or_default();
                anchor.is_empty() || anchors(&text).contains(anchor)
            };
            if !to.exists() || !has_anchor() {
                dead.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(dead.is_empty(), "\n{}", dead.join("\n"));
}

#[tokio::test]
async fn what_the_docs_say_is_to_be_run_runs() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let scripts: Vec<_> = blocks().into_iter().filter(|block| block.kind == "run").collect();
    assert!(!scripts.is_empty());
    let program = Path::new(env!("CARGO_BIN_EXE_pointsman"));
    let path =
        format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    for script in scripts {
        let edge = Edge::start(&shop(&[("blue", &blue), ("green", &green)], "")).await;
        let folder = tempfile::TempDir::new().unwrap();
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", &script.text]).current_dir(folder.path());
        shell.env("PATH", &path).env("USER", "ann");
        shell.env("POINTSMAN_ADMIN", edge.admin.to_string()).env("EDGE", edge.address.to_string());
        let output = shell.output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", script.place);
    }
}

/// Names of ours in a query, without what a histogram adds to its name.
fn metrics_in(query: &str) -> Vec<String> {
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = query.split(|letter| !is_of_name(letter)).filter(|it| it.starts_with("pointsman_"));
    let name = |word: &str| word.strip_suffix("_bucket").unwrap_or(word).to_string();
    words.map(name).collect()
}

#[tokio::test]
async fn the_metrics_that_the_docs_ask_for_are_there() {
    let (blue, green) = (Origin::named("blue").await, Origin::named("green").await);
    let edge = Edge::start(&shop(&[("blue", &blue), ("green", &green)], "")).await;
    edge.get(&[]).await;
    let (_, deployed) = edge
        .admin(
            "POST",
            "/v1/services/shop/deploy",
            "{\"to\": [\"127.0.0.1:1\"], \"pool\": \"green\", \"tag\": \"v2\"}",
        )
        .await;
    assert_eq!(deployed["pool"], "green", "{deployed}");
    // Who is refused is counted from the first one on.
    edge.raw("GET / HTTP/1.1\r\nhost: a b\r\n\r\n").await;
    let metrics = edge.admin_with("GET", "/metrics", "", &[]).await.body;
    let known: BTreeSet<&str> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let asked = blocks().into_iter().filter(|block| block.language == "promql");
    let asked: Vec<String> = asked.flat_map(|block| metrics_in(&block.text)).collect();
    assert!(asked.len() > 10, "{asked:?}");
    let unknown: Vec<_> = asked.iter().filter(|name| !known.contains(name.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn mistakes_in_blocks_are_seen() {
    assert_eq!(promtool("rules", &rules("# x\nup == 0\n\nsum(up)\n  / 2\n")), None);
    assert!(promtool("rules", &rules("up == 0\n\nsum(up")).is_some());
    assert!(promtool("config", "scrape_configs: [{ job: a }]").is_some());
    assert_eq!(mistake("pointsman shift shop blue=90 green=10"), None);
    assert_eq!(mistake("POINTSMAN_ADMIN=a sudo target/debug/pointsman status | less"), None);
    for command in ["pointsman shfit shop", "pointsman shift shop --no-such", "frobnicate"] {
        assert!(mistake(command).is_some(), "{command}");
    }
    assert_eq!(mistake_of_part("[services.shop.slo]\navailability = \"99%\""), None);
    assert!(mistake_of_part("[services.shop.slo]\navailabilty = \"99%\"").is_some());
    assert!(mistake_of_part("[services.shop").is_some());
    assert_eq!(commands("a b \\\n  c # no\n# no\nd && e '#'"), ["a b    c", "d", "e '#'"]);
}
