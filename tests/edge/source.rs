//! The rules of the house that a program can check: what may import what, who
//! may read the clock, and what may be in the tree of dependencies.
//!
//! Exceptions stand here with their reasons, and each must still be needed: the lists only shrink.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// No runtime, no pingora, no file, no socket, no clock and no random source; and of our own rooms
/// only each other.
const CORE: [&str; 32] = [
    "aa",
    "acme",
    "auth",
    "automation",
    "balance",
    "capacity",
    "certificate",
    "clock",
    "config",
    "doctor",
    "event",
    "exchange",
    "fallback",
    "history",
    "http",
    "incident",
    "judge",
    "mirror",
    "orders",
    "rate",
    "record",
    "recording",
    "rehearsal",
    "rollout",
    "route",
    "sampling",
    "slo",
    "snapshot",
    "split",
    "state",
    "traces",
    "upstream",
];

/// What the core may not name, and what it would be used for.
const OUTSIDE: [(&str, &str); 14] = [
    ("tokio::", "a runtime"),
    ("hyper", "a client or server"),
    ("axum::", "a server"),
    ("redb::", "a disk"),
    ("socket2::", "sockets"),
    ("std::fs", "files"),
    ("std::io::", "files and sockets"),
    ("std::os::", "the system"),
    ("std::env", "the environment"),
    ("std::process", "other processes"),
    ("std::thread", "threads"),
    ("net::Tcp", "sockets"),
    ("net::Udp", "sockets"),
    ("tracing::", "the log"),
];

/// Files of the core that use something of [`OUTSIDE`] all the same.
const CORE_EXCEPTIONS: [(&str, &str, &str); 1] =
    [("rehearsal/mod.rs", "std::thread", "computes on all cores; nothing leaves the call")];

/// Rooms of the rim that a room of the core imports all the same.
const RIM_EXCEPTIONS: [(&str, &str); 0] = [];

/// Imports that close a circle of rooms.
const CIRCLES: [(&str, &str); 0] = [];

/// What reads the time or draws chance.
const CHANCE: [&str; 5] =
    ["Instant::now(", "SystemTime::now(", "getrandom::", "fastrand::", "rand::rng("];

/// Crates that must not come in, and what is used instead.
const BANNED: [(&str, &str); 6] = [
    ("openssl", "rustls"),
    ("openssl-sys", "rustls"),
    ("native-tls", "rustls"),
    ("reqwest", "the client in `outgoing/`"),
    ("async-std", "tokio"),
    ("actix-web", "axum"),
];

/// Crates that are there in several versions, and who brings the older ones.
const DUPLICATES: [(&str, &str); 12] = [
    ("base64", "0.23: pem, which rcgen writes with"),
    ("core-foundation", "for a system that we do not build for"),
    ("cpufeatures", "0.2: sha2 0.10, which hmac 0.12 goes with"),
    ("getrandom", "0.2: ring, which aws-lc-rs's place can take; 0.3: ours; 0.4: rand 0.10"),
    ("itertools", "0.13: criterion, and what writes prost's types; 0.14: ratatui"),
    ("r-efi", "of getrandom, for systems that we do not build for"),
    ("rand", "0.9: the SDK of opentelemetry, of which only types are used"),
    ("rand_core", "of rand 0.9"),
    ("syn", "2 and 3: derive macros that have not all moved yet"),
    ("synstructure", "of what reads certificates in rcgen and instant-acme, which is not built"),
    ("untrusted", "0.7: aws-lc-rs as instant-acme has it; 0.9: ring and webpki"),
    ("windows-sys", "for a system that we do not build for"),
];

/// A source file: its path below `src/`, its room, and its code without comments and tests.
struct Source {
    path: String,
    room: String,
    code: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    collect(&root().join("src"), &mut found);
    assert!(found.len() > 200, "the sources are elsewhere: {} files", found.len());
    found
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        if path.is_dir() {
            if !["tests", "simulation"].contains(&&*name) {
                collect(&path, found);
            }
        } else if name.ends_with(".rs") && name != "tests.rs" && !is_for_tests(&path) {
            let inside = path.strip_prefix(root().join("src")).unwrap();
            let room = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
            let code = code(&fs::read_to_string(&path).unwrap());
            let path = inside.to_str().unwrap().to_string();
            found.push(Source { path, room: room.to_string(), code });
        }
    }
}

/// Whether the module of a file is declared for tests alone, or for them and for fuzzing.
fn is_for_tests(path: &Path) -> bool {
    let name = path.file_stem().unwrap().to_str().unwrap();
    let parent = fs::read_to_string(path.parent().unwrap().join("mod.rs")).unwrap_or_default();
    let declarations = ["mod", "pub mod", "pub(crate) mod", "pub(super) mod"];
    let conditions = ["test", "any(test, fuzzing)"];
    declarations.iter().any(|word| {
        let declared = |of: &str| parent.contains(&format!("#[cfg({of})]\n{word} {name};"));
        conditions.iter().any(|of| declared(of))
    })
}

/// Without comments, and without the tests at the end.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = text.lines().map(|line| match line.trim_start().starts_with("//") {
        true => "",
        false => line.split(" // ").next().unwrap_or_default(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The rooms that a file imports.
fn imports(source: &Source, rooms: &BTreeSet<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in source.code.match_indices("crate::") {
        let rest = &source.code[at + "crate::".len()..];
        let list = match rest.strip_prefix('{') {
            // Nested braces hold no rooms, but what stands behind them may be one.
            Some(list) => list.split("};").next().unwrap_or_default(),
            None => rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or(""),
        };
        let words = list.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        found.extend(words.filter(|word| rooms.contains(*word)).map(str::to_string));
    }
    found.remove(&source.room);
    found
}

fn rooms(sources: &[Source]) -> BTreeSet<String> {
    let rooms = sources.iter().map(|source| source.room.clone());
    rooms.filter(|room| !["lib", "main"].contains(&&**room)).collect()
}

/// Room by room, the rooms it imports.
fn arrows(sources: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let rooms = rooms(sources);
    let mut arrows = BTreeMap::<String, BTreeSet<String>>::new();
    for source in sources.iter().filter(|source| rooms.contains(&source.room)) {
        arrows.entry(source.room.clone()).or_default().extend(imports(source, &rooms));
    }
    arrows
}

#[test]
fn the_core_imports_nothing_of_the_rim() {
    let found: BTreeSet<(String, String)> = arrows(&sources())
        .into_iter()
        .filter(|(room, _)| CORE.contains(&&**room))
        .flat_map(|(room, to)| to.into_iter().map(move |to| (room.clone(), to)))
        .filter(|(_, to)| !CORE.contains(&&**to))
        .collect();
    let known = RIM_EXCEPTIONS.map(|(from, to)| (from.to_string(), to.to_string()));
    assert_eq!(found, known.into(), "room of the core, room of the rim that it imports");
}

#[test]
fn the_core_names_nothing_that_does_work() {
    let mut found = BTreeSet::new();
    for source in sources().iter().filter(|source| CORE.contains(&&*source.room)) {
        for (word, for_what) in OUTSIDE {
            if names(&source.code, word) {
                found.insert((source.path.clone(), word.to_string(), for_what));
            }
        }
    }
    let for_what = |word: &str| OUTSIDE.iter().find(|(known, _)| *known == word).unwrap().1;
    let known = CORE_EXCEPTIONS
        .iter()
        .map(|(path, word, _)| (path.to_string(), word.to_string(), for_what(word)));
    assert_eq!(found, known.collect(), "file of the core, what it names, what that is for");
}

/// Whether a word begins somewhere in a code.
fn names(code: &str, word: &str) -> bool {
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '"'))
}

#[test]
fn no_circle_leads_from_a_room_back_to_it() {
    let mut arrows = arrows(&sources());
    for (from, to) in CIRCLES {
        let is_there = arrows.get_mut(from).is_some_and(|rooms| rooms.remove(to));
        assert!(is_there, "`{from}` does not import `{to}` any more: take it off the list");
    }
    // A room that imports nothing that is left is on no circle.
    while let Some(done) =
        arrows.iter().find(|(_, to)| !to.iter().any(|to| arrows.contains_key(to))).map(|(r, _)| r)
    {
        let done = done.clone();
        arrows.remove(&done);
    }
    assert!(arrows.is_empty(), "these import each other in a circle: {arrows:#?}");
}

#[test]
fn one_file_reads_the_clock_and_draws_chance() {
    let uses = |source: &Source| CHANCE.iter().any(|word| names(&source.code, word));
    let found: Vec<_> = sources().into_iter().filter(uses).map(|source| source.path).collect();
    assert_eq!(found, ["server/clock.rs"]);
}

#[test]
fn every_room_that_says_something_can_be_told_how_much() {
    let says = sources().into_iter().filter(|source| names(&source.code, "tracing::"));
    let found: BTreeSet<String> = says.map(|source| source.room).collect();
    assert_eq!(found, pointsman::logs::ROOMS.map(str::to_string).into(), "`ROOMS` of src/logs");
}

/// The packages of the lock file, name and version.
fn packages() -> Vec<(String, String)> {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let value = |package: &str, key: &str| {
        let line = package.lines().find_map(|line| line.strip_prefix(&format!("{key} = \"")))?;
        Some(line.trim_end_matches('"').to_string())
    };
    let packages = lock.split("[[package]]").skip(1);
    let packages: Option<Vec<_>> = packages
        .map(|package| Some((value(package, "name")?, value(package, "version")?)))
        .collect();
    packages.unwrap()
}

#[test]
fn no_banned_crate_comes_in() {
    let packages = packages();
    for (banned, instead) in BANNED {
        let is_there = packages.iter().any(|(name, _)| name == banned);
        assert!(!is_there, "`{banned}` has come in; use {instead}, or say here why not");
    }
}

/// Crates that are in the lock file for a feature that is off, and the feature.
const OF_FEATURES: [(&str, &str); 1] = [("tonic", "traces-grpc")];

#[test]
fn what_a_feature_brings_is_not_in_the_build_that_everybody_gets() {
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let cargo: toml::Table = text.parse().unwrap();
    let features = cargo["features"].as_table().unwrap();
    for (name, feature) in OF_FEATURES {
        assert_eq!(cargo["dependencies"][name]["optional"].as_bool(), Some(true), "{name}");
        let brings = |listed: &toml::Value| {
            listed
                .as_array()
                .unwrap()
                .iter()
                .any(|one| one.as_str() == Some(&format!("dep:{name}")))
        };
        let those: Vec<_> = features.iter().filter(|(_, listed)| brings(listed)).collect();
        assert!(matches!(those[..], [(only, _)] if only == feature), "{name}: {those:?}");
        let asks = |listed: &toml::Value| {
            listed.as_array().unwrap().iter().any(|one| one.as_str() == Some(feature))
        };
        assert!(!features.iter().any(|(_, listed)| asks(listed)), "{feature} is on by default");
    }
}

#[test]
fn what_is_there_in_several_versions_has_a_reason() {
    let mut versions = BTreeMap::<String, Vec<String>>::new();
    for (name, version) in packages() {
        versions.entry(name).or_default().push(version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    let found: Vec<&str> = versions.keys().map(|name| &**name).collect();
    let known: Vec<&str> = DUPLICATES.iter().map(|(name, _)| *name).collect();
    assert_eq!(found, known, "a second version: find out who brings it, and say so here, in order");
}

/// The tests of the whole house, by their names.
fn tests(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            // The name follows its mark, with other marks and `async` between.
            for after in text.split("test]\n").skip(1) {
                let head = after.split_once('(').map_or("", |(head, _)| head);
                if let Some((_, name)) = head.rsplit_once("fn ") {
                    found.insert(name.to_string());
                }
            }
        }
    }
}

#[test]
fn each_class_of_attack_in_the_docs_has_its_tests() {
    let mut known = BTreeSet::new();
    ["src", "tests"].iter().for_each(|folder| tests(&root().join(folder), &mut known));
    let page = fs::read_to_string(root().join("docs/attacks.md")).unwrap();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with('|')).skip(2).collect();
    assert!(rows.len() >= 20, "{}", rows.len());
    for row in rows {
        let named = row.trim_end_matches(" |").rsplit_once("| ").map_or("", |(_, named)| named);
        for test in named.split(", ") {
            let test = test.trim_matches('`');
            assert!(known.contains(test), "docs/attacks.md names no test that is there: {test}");
        }
    }
}

#[test]
fn each_cannot_in_the_docs_has_its_test() {
    let mut known = BTreeSet::new();
    ["src", "tests"].iter().for_each(|folder| tests(&root().join(folder), &mut known));
    assert!(known.len() > 900, "the tests are elsewhere: {}", known.len());
    let page = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let actors: Vec<&str> = page.split("\n## ").skip(1).collect();
    assert_eq!(actors.len(), 6, "client, proxy, upstream, token, state folder, neighbour");
    for actor in actors {
        let tables = actor.split("cannot | Test |\n").skip(1);
        let rows =
            tables.flat_map(|table| table.lines().skip(1).take_while(|line| line.starts_with('|')));
        let rows: Vec<&str> = rows.collect();
        assert!(!rows.is_empty(), "nothing is said that it cannot: {actor}");
        for row in rows {
            let test = row.trim_end_matches(" |").rsplit_once("| `");
            let test = test.map(|(_, test)| test.trim_end_matches('`')).unwrap_or_default();
            assert!(known.contains(test), "docs/security.md names no test that is there: {row}");
        }
    }
}
