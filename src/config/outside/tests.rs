use super::*;
use crate::config::{AdminPlace, Config, Live, Parsed, Texts, diff};

const FILE: &str = "[[listeners]]\naddress = \"127.0.0.1:${PORT}\"\n[services.shop]\n\
    health.http.path = \"${HEALTH:-/healthz}\"\n[services.shop.pools.blue]\n\
    upstreams = [\"${BLUE}\"]\n";

fn environment(variables: &[(&str, &str)]) -> Expansion {
    let all = variables.iter().map(|(name, value)| (name.into(), value.into()));
    Expansion::Of(Environment::of(all))
}

fn parse(text: &str, expansion: &Expansion) -> Result<Parsed, Problems> {
    let mut read = |path: &str| match path {
        "token" => Ok("s3cret-of-a-file".to_string()),
        _ => Err(format!("cannot read `{path}`: it is not there")),
    };
    Config::parse_texts(&Texts::of("t", text), &AdminPlace::File, expansion, &mut read)
}

fn filled(text: &str, variables: &[(&str, &str)]) -> Config {
    let parsed = parse(text, &environment(variables));
    parsed.map_err(|problems| problems.render(text, "t", false)).unwrap().config
}

fn told(text: &str, expansion: &Expansion) -> String {
    parse(text, expansion).unwrap_err().render(text, "t", false)
}

/// One text as it is filled in.
fn text(written: &str, variables: &[(&str, &str)]) -> Result<String, Vec<String>> {
    let source = format!("x = '{written}'");
    let (mut root, _) = DeTable::parse_recoverable(&source);
    let run = Run::of("t", &source);
    let mut read = |path: &str| match path {
        "dir/token" => Ok("of a file".to_string()),
        _ => Err("none".to_string()),
    };
    let (_, unfilled) = expand(root.get_mut(), &run, &environment(variables), &mut read);
    let told = |problem: Problem| source[problem.span.unwrap()].to_string();
    match unfilled.problems.is_empty() {
        true => Ok(root.get_ref()["x"].get_ref().as_str().unwrap().to_string()),
        false => Err(unfilled.problems.into_iter().map(told).collect()),
    }
}

#[test]
fn a_text_is_filled_in_once_and_what_cannot_be_had_is_told_where_it_stands() {
    let set = [("A", "a"), ("EMPTY", ""), ("NESTED", "${A}"), ("_1", "one")];
    let good = [
        ("${A}", "a"),
        ("x${A}y${A}z", "xayaz"),
        ("${EMPTY}", ""),
        ("${EMPTY:-d}", "d"),
        ("${NONE:-}", ""),
        ("${NONE:-a:-b}", "a:-b"),
        ("${_1}", "one"),
        ("${NESTED}", "${A}"),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("$A $ {A} {A} $", "$A $ {A} {A} $"),
        ("${file:dir/token}!", "of a file!"),
    ];
    for (written, value) in good {
        assert_eq!(text(written, &set), Ok(value.to_string()), "{written}");
    }
    let bad = [
        ("a ${NONE} b", "${NONE}"),
        ("${A", "${"),
        ("${}", "${}"),
        ("${1A}", "${1A}"),
        ("${A-b}", "${A-b}"),
        ("${A:b}", "${A:b}"),
        ("${A:-${A}}", "${A:-${A}"),
        ("${file:none}", "${file:none}"),
    ];
    for (written, at) in bad {
        assert_eq!(text(written, &set), Err(vec![at.to_string()]), "{written}");
    }
    assert_eq!(text("${B} ${C}", &set), Err(vec!["${B}".into(), "${C}".into()]));
}

#[test]
fn values_are_texts_and_never_numbers_lists_keys_or_tables() {
    let set = [("PORT", "8080"), ("BLUE", "a:1"), ("N", "3"), ("LIST", "\"a:1\", \"b:1\"")];
    let config = filled(FILE, &set);
    assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:8080");
    assert_eq!(config.services[0].pools[0].upstreams[0].0.to_string(), "a:1");
    let with = |line: &str| told(&format!("[server]\n{line}\n{FILE}"), &environment(&set));
    let number = with("workers = \"${N}\"");
    assert!(number.contains("`workers` must be a whole number"), "{number}");
    let list = told(&FILE.replace("${BLUE}", "${LIST}"), &environment(&set));
    assert!(list.contains("t:6:14") && list.contains("bad value for `upstreams`"), "{list}");
    let key = told(&FILE.replace("pools.blue", "pools.\"${BLUE}\""), &environment(&set));
    assert!(key.contains("bad pool name"), "{key}");
}

#[test]
fn a_variable_that_is_not_set_is_an_error_with_a_caret_and_nothing_follows_from_it() {
    let told = told(FILE, &environment(&[("BLUE", "a:1")]));
    assert!(told.contains("--> t:2:22"), "{told}");
    assert!(told.contains("error: `PORT` is not set in the environment"), "{told}");
    assert!(told.contains("^^^^^^^ not set"), "{told}");
    assert!(told.contains("${PORT:-…}"), "{told}");
    assert_eq!(told.matches("error").count(), 1, "{told}");
}

#[test]
fn a_text_of_a_stranger_takes_nothing_from_outside() {
    let told = told(FILE, &Expansion::Refused);
    assert_eq!(told.matches("takes nothing from outside").count(), 3, "{told}");
    let literal = "[[listeners]]\naddress = \":80\"\n[services.a]\n\
        health.http.path = \"/$${x}\"\n[services.a.pools.b]\nupstreams = [\"a:1\"]\n";
    assert!(parse(literal, &Expansion::Refused).is_ok());
    let ours = parse(&literal.replace("$$", "$"), &Expansion::None).unwrap().config;
    let http = format!("{:?}", ours.services[0].stability.health);
    assert!(http.contains("/${x}"), "what we made ourselves is as it is: {http}");
}

#[test]
fn problems_show_nothing_of_what_came_from_outside() {
    let secret = "hunter22:notaport";
    let wrong = told(FILE, &environment(&[("PORT", "80"), ("BLUE", secret)]));
    assert!(wrong.contains("bad value for `upstreams`"), "{wrong}");
    for word in ["hunter22", "notaport"] {
        assert!(!wrong.contains(word), "{wrong}");
    }
    let routes = "[[routes]]\nhosts = [\"${HOST}\"]\nservice = \"${TO}\"\n";
    let set = [("PORT", "80"), ("BLUE", "a:1"), ("HOST", "x.test"), ("TO", "elsewhere")];
    let wrong = told(&format!("{FILE}{routes}"), &environment(&set));
    assert!(wrong.contains("no service is named `${TO}`"), "{wrong}");
    assert!(!wrong.contains("elsewhere"), "{wrong}");
}

#[test]
fn a_diff_shows_what_is_written() {
    let set = [("PORT", "80"), ("BLUE", "10.0.0.1:80"), ("GREEN", "10.0.0.2:80"), ("Z", "b2")];
    let file = "[services.shop.pools.green]\nupstreams = [{ address = \"${GREEN}\", labels = \
        { zone = \"${Z}\" } }]\nhttp2 = true\n[services.shop.fallback]\nanswer.headers = { x-a = \"${Z}\" }\n";
    let written = |text: &str| filled(text, &set);
    let lines = |old: &str, new: &str| -> Vec<String> {
        let changes = diff(&written(old), &written(new), &Live::default());
        changes.iter().map(ToString::to_string).collect()
    };
    let base = FILE.replace("[services.shop]", "[services.shop]\nsplit = { blue = 100 }");
    let both = format!("{base}{file}");
    assert_eq!(
        lines(&base, &both.replace("[\"${BLUE}\"]", "[\"${BLUE}\", \"${GREEN}\"]")),
        [
            "service shop: fallback off → on: answer on: headers.x-a set",
            "pool shop/blue: upstream ${GREEN} added, gets 50 % of the traffic",
            "pool shop/green: added with 1 upstream, gets 0 % of the traffic",
        ]
    );
    assert_eq!(
        lines(&both, &both.replace("\"${Z}\" } }", "\"a1\" } }").replace(":${PORT}", ":81")),
        [
            "listener 127.0.0.1:${PORT}: removed",
            "listener 127.0.0.1:81: added",
            "pool shop/green: upstream ${GREEN} labels zone=${Z} → zone=a1",
        ]
    );
    assert_eq!(
        lines(&both, &both.replace("${HEALTH:-/healthz}", "/up")),
        ["service shop: health.http.path ${HEALTH:-/healthz} → /up"]
    );
    assert_eq!(lines(&both, &both), [""; 0]);
}

#[test]
fn a_short_value_from_outside_is_not_seen_in_what_nobody_took_from_there() {
    let variables = [("PORT", "80"), ("BLUE", "10.0.0.5:9000"), ("HEALTH", "/h")];
    let taken = filled(FILE, &variables).taken;
    for (said, shown) in [
        ("10.0.0.6:80", "10.0.0.6:80"),
        ("80 %", "80 %"),
        ("127.0.0.1:80", "127.0.0.1:${PORT}"),
        ("/h", "${HEALTH:-/healthz}"),
        ("no answer of 10.0.0.5:9000 in time", "no answer of ${BLUE} in time"),
    ] {
        assert_eq!(taken.within(said), shown);
    }
}

#[test]
fn what_comes_of_a_task_says_nothing_from_outside() {
    use crate::rollout::{SmokeError, TaskError};
    let file = FILE.replace("${HEALTH:-/healthz}", "/health?key=${KEY}");
    let variables = [("PORT", "80"), ("BLUE", "10.0.0.5:9000"), ("KEY", "s3cret")];
    let taken = filled(&file, &variables).taken;
    let error = TaskError::Smoke {
        request: "GET /x?key=s3cret".into(),
        upstream: "10.0.0.9:80".parse().unwrap(),
        why: SmokeError::Body { expected: "s3cret".into(), got: "`no s3cret here`".into() },
    };
    assert_eq!(
        error.told(|text| taken.within(text)).to_string(),
        "GET /x?key=${KEY} at 10.0.0.9:80: expected a body with `${KEY}`, got `no ${KEY} here`"
    );
}
