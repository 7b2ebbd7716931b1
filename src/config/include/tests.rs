use super::*;
use crate::config::{AdminPlace, Config, Expansion, Parsed};

const MAIN: &str = "include = \"conf.d/*.toml\"\n[[listeners]]\naddress = \":80\"\n\
    [services.shop]\nsplit = { blue = 100, green = 0 }\n[services.shop.pools]\nblue.upstreams = [\"a:1\"]\n";

fn texts(included: &[&str]) -> Texts {
    let part = |(nth, text): (usize, &&str)| Text {
        path: format!("conf.d/{nth}.toml"),
        text: text.to_string(),
    };
    let included = included.iter().enumerate().map(part).collect();
    Texts { main: Text { path: "main.toml".into(), text: MAIN.into() }, included }
}

fn parse(texts: &Texts) -> Result<Parsed, Problems> {
    let mut read = |_: &str| Err("no file is read".to_string());
    Config::parse_texts(texts, &AdminPlace::File, &Expansion::None, &mut read)
}

fn told(included: &[&str]) -> Vec<String> {
    let texts = texts(included);
    parse(&texts).map_or_else(|problems| problems, |parsed| parsed.odd).lines_of(&texts)
}

const GREEN: &str = "[services.shop.pools.green]\nupstreams = [\"b:1\"]\n";

#[test]
fn files_say_together_what_one_could_say() {
    let texts = texts(&[
        GREEN,
        "[[routes]]\nhosts = [\"a.test\"]\nservice = \"shop\"\n[[listeners]]\naddress = \":81\"\n",
        "[server]\nworkers = 2\n[[routes]]\nhosts = [\"b.test\"]\nservice = \"web\"\n\
         [services.web.pools.only]\nupstreams = [\"c:1\"]\n",
    ]);
    let parsed = parse(&texts).map_err(|problems| problems.render_of(&texts, false)).unwrap();
    let config = parsed.config;
    let listeners: Vec<_> = config.listeners.iter().map(|one| one.address.to_string()).collect();
    assert_eq!(listeners, ["0.0.0.0:80", "0.0.0.0:81"]);
    let hosts: Vec<_> = config.routes.iter().map(|route| route.hosts[0].to_string()).collect();
    assert_eq!(hosts, ["a.test", "b.test"]);
    let shop = config.service("shop").unwrap();
    assert_eq!(shop.pool_names(), ["blue".into(), "green".into()]);
    assert!(config.service("web").is_some());
    assert_eq!(config.server.workers.map(|workers| workers.get()), Some(2));
}

#[test]
fn what_is_said_twice_is_told_with_both_places() {
    let cases = [
        (
            "[services.shop.pools.blue]\nupstreams = [\"b:1\"]\n",
            "`services.shop.pools.blue.upstreams` is said twice",
            "2:1",
        ),
        ("[services.shop]\nhealth.tcp = true\n", "`services.shop` is said twice", "1:1"),
        ("[services]\nshop.split = { blue = 100 }\n", "`services.shop.split` is said twice", "2:6"),
        ("services = { }\n", "`services` is said twice", "1:1"),
    ];
    for (more, what, place) in cases {
        let found = told(&[GREEN, more]);
        assert_eq!(found[..1], [format!("conf.d/1.toml:{place}: {what}")], "{more}");
        let texts = texts(&[GREEN, more]);
        let picture = parse(&texts).unwrap_err().render_of(&texts, false);
        assert!(picture.contains("--> conf.d/1.toml:"), "{picture}");
        assert!(
            picture.contains("::: main.toml:") || picture.contains("--> main.toml:"),
            "{picture}"
        );
        assert!(picture.contains("the first"), "{picture}");
    }
    let found = told(&["[server]\nworkers = 1\n", &format!("{GREEN}[server]\nname = \"x\"\n")]);
    assert_eq!(found, ["conf.d/1.toml:3:1: `server` is said twice"]);
}

#[test]
fn a_mistake_is_told_where_it_is() {
    let broken = told(&[GREEN, "x = \"", "[[routes\n"]);
    assert_eq!(broken[0], "conf.d/1.toml:1:5: this quote is not closed");
    assert!(broken[1].starts_with("conf.d/2.toml:1:"), "{broken:?}");
    let unknown = told(&[&format!("\n{GREEN}upstreems = []\n")]);
    assert_eq!(unknown, ["conf.d/0.toml:4:1: unknown key `upstreems` in `pools.green`"]);
    let main = told(&["[server]\nworkers = 1\n"]);
    assert_eq!(main, ["main.toml:5:23: no pool is named `green`"]);
    let deeper = told(&[&format!("include = \"x.toml\"\n{GREEN}")]);
    assert!(deeper[0].contains("includes nothing itself"), "{deeper:?}");
}

#[test]
fn a_pattern_stays_beside_the_file() {
    let parse = |text: &str| Include::parse(text).map(|include| (include.folder, include.name));
    assert_eq!(parse("conf.d/*.toml"), Ok(("conf.d".into(), "*.toml".into())));
    assert_eq!(parse("a.toml"), Ok((String::new(), "a.toml".into())));
    for refused in
        ["", "/etc/x.toml", "../x.toml", "a/../b.toml", "..", "a*/b.toml", "a/", "${X}.toml"]
    {
        assert!(parse(refused).is_err(), "{refused}");
    }
    let spans: Vec<_> = includes(&Text { path: String::new(), text: MAIN.into() });
    assert_eq!(spans.len(), 1);
    assert_eq!(&MAIN[spans[0].1.clone()], "\"conf.d/*.toml\"");
}

#[test]
fn names_are_matched_character_by_character() {
    let admits = |pattern: &str, name: &str| Include::parse(pattern).unwrap().admits(name);
    for (pattern, name) in [
        ("*.toml", "a.toml"),
        ("*.toml", "a.toml.toml"),
        ("*", "a"),
        ("a?c", "abc"),
        ("a?c", "aéc"),
        ("*a*b*", "xxaxxbxx"),
        ("**", "a"),
        (".hidden", ".hidden"),
        ("a.toml", "a.toml"),
    ] {
        assert!(admits(pattern, name), "{pattern} {name}");
    }
    for (pattern, name) in [
        ("*.toml", "a.toml~"),
        ("*.toml", ".a.toml"),
        ("*.toml", "a.toml.swp"),
        ("a?c", "ac"),
        ("a?c", "abbc"),
        ("*a*b*", "ba"),
        ("a.toml", "axtoml"),
        ("*.toml", "toml"),
    ] {
        assert!(!admits(pattern, name), "{pattern} {name}");
    }
}
