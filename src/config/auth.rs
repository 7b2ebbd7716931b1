//! Who may come in by a route beside whom its lists let in: its `auth` table in, a checked [`Rule`] out.

use std::ops::Range;
use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};
use http::uri::PathAndQuery;

use super::actions::{FRAMING, OURS};
use super::key::{Key, Kind, Table, boolean, secs, text_option, texts, time};
use super::listener::Listener;
use super::notify::web_address;
use super::section::{Found, Section};
use super::values::{header_name, path};
use super::{ListenAddress, Problem, Problems};
use crate::auth::{Ask, Rule};
use crate::upstream::Address;

pub(super) static AUTH: Table = Table::new(
    "",
    &[
        text_option("basic", "\"users\""),
        boolean("pass", false),
        Key::of("ask", Kind::Web).option("\"http://127.0.0.1:4180/auth\""),
        texts("copy", &[]),
        texts("send", &["cookie", "authorization"]),
        time("timeout", secs(1)),
    ],
);

/// What the reference shows of it.
pub(super) const AUTH_SHOWN: &str = "\
# Who is let in by name and password: `basic` is a file beside this one with a line `name:hash` for
# each, as `htpasswd -B` writes it; bcrypt or Argon2. With `pass` the upstream gets Authorization, too.
# auth = { basic = \"users\", pass = true }
# Or whom another service lets in: it gets method, host and path in x-forwarded-method, -host and -uri,
# and the fields in `send`. 2xx is in, with the fields in `copy` of its answer; 401, 403, 301, 302,
# 303, 307 and 308 go to the client; anything else, or nothing in time, is a 503. One on a socket of this
# machine is `unix:/run/auth.sock:/auth`.
# auth = { ask = \"http://127.0.0.1:4180/auth\", copy = [\"x-user\"], send = [\"cookie\"], timeout = \"2s\" }
";

/// A rule that was read.
pub(super) struct ReadRule {
    pub rule: Rule,
    /// Where its file of passwords is named, if it has one.
    pub basic: Option<Range<usize>>,
}

/// Who may come in.
pub(super) fn auth(mut section: Section<'_>, problems: &mut Problems) -> Option<ReadRule> {
    let users = section.text(problems, "basic", path);
    let passes_on = section.boolean(problems, "pass");
    let whom = section.text(problems, "ask", whom);
    let copy = section.texts(problems, "copy", copied);
    let send = section.texts(problems, "send", sent);
    let timeout = section.time(problems, "timeout");
    match (section.has("basic"), section.has("ask")) {
        (true, true) => {
            let message = "a route is either asked for by `basic` or by `ask`";
            let problem = Problem::error(section.place("ask"), message).label("the second");
            problems.0.push(problem.other(section.place("basic"), "the first"));
        }
        (false, false) => {
            let problem = Problem::error(section.span.clone(), "`auth` needs a `basic`");
            problems
                .0
                .push(problem.help("or an `ask`, such as `ask = \"http://127.0.0.1:4180/auth\"`"));
        }
        (is_basic, _) => {
            let others: &[&str] = if is_basic { &["copy", "send", "timeout"] } else { &["pass"] };
            let whose = if is_basic { "ask" } else { "basic" };
            for key in others.iter().filter(|key| section.has(key)) {
                let message = format!("`{key}` is for `{whose}`, and there is none");
                problems.0.push(Problem::error(section.place(key), message));
            }
        }
    }
    let names = |found: Vec<Found<HeaderName>>, key: &str, problems: &mut Problems| {
        let mut names: Vec<HeaderName> = Vec::new();
        for Found { value, span } in found {
            match names.contains(&value) {
                true => {
                    let message = format!("`{value}` is in `{key}` twice");
                    problems.0.push(Problem::error(span, message));
                }
                false => names.push(value),
            }
        }
        names
    };
    let copy = names(copy, "copy", problems);
    let send = names(send, "send", problems);
    section.close(problems);
    if let Some(Found { value: users, span }) = users {
        return Some(ReadRule { rule: Rule::Basic { users, passes_on }, basic: Some(span) });
    }
    let Whom { address, is_https, authority, target } = whom?.value;
    let ask = Ask { address, is_https, authority, target, copy, send, timeout };
    Some(ReadRule { rule: Rule::Ask(Arc::new(ask)), basic: None })
}

/// Who is asked: where it is, what it is asked for there in `Host`, and path and query.
struct Whom {
    address: Address,
    is_https: bool,
    authority: HeaderValue,
    target: Box<str>,
}

/// `http://host:port/path`, `https://…`, or a socket of this machine: `unix:/run/auth.sock:/path`.
fn whom(text: &str) -> Result<Whom, String> {
    if let Some(rest) = text.strip_prefix("unix:") {
        let (socket, target) = match rest.split_once(":/") {
            Some((socket, path)) => (socket, format!("/{path}")),
            None => (rest, "/".into()),
        };
        let address: Address = format!("unix:{socket}").parse().map_err(|e| format!("{e}"))?;
        let is_path = target.parse::<PathAndQuery>().is_ok() && !target.contains('#');
        return match is_path {
            true => Ok(Whom {
                address,
                is_https: false,
                authority: HeaderValue::from_static("localhost"),
                target: target.into(),
            }),
            false => {
                Err("expected a path behind the socket, as in `unix:/run/auth.sock:/auth`".into())
            }
        };
    }
    let url = web_address(text)?;
    let is_https = url.scheme_str() == Some("https");
    let usual = if is_https { 443 } else { 80 };
    let (host, port) = (url.host().unwrap_or_default(), url.port_u16().unwrap_or(usual));
    let authority = url.authority().and_then(|all| HeaderValue::from_str(all.as_str()).ok());
    match (format!("{host}:{port}").parse(), authority) {
        (Ok(address), Some(authority)) => {
            let target = url.path_and_query().map_or("/", |target| target.as_str()).into();
            Ok(Whom { address, is_https, authority, target })
        }
        _ => Err("the address's host is no name and no address".into()),
    }
}

/// A field that may be set in a request by the answer of who is asked.
fn copied(text: &str) -> Result<HeaderName, String> {
    let name = header_name(text).map_err(str::to_string)?;
    match name.as_str() {
        "host" => Err("a route's `host` says this".into()),
        known if is_ours(known) => Err(format!("`{name}` is Pointsman's to write")),
        _ => Ok(name),
    }
}

/// A field that who is asked may get.
fn sent(text: &str) -> Result<HeaderName, String> {
    let name = header_name(text).map_err(str::to_string)?;
    let is_told = matches!(name.as_str(), "host" | "x-forwarded-method" | "x-forwarded-uri");
    match is_told || is_ours(name.as_str()) {
        true => Err(format!("`{name}` is Pointsman's to write")),
        false => Ok(name),
    }
}

fn is_ours(name: &str) -> bool {
    FRAMING.contains(&name) || OURS.contains(&name) || name.starts_with("x-pointsman-")
}

/// Warns of passwords that go in the clear from other machines to us.
pub(super) fn warn_of_plain(
    listeners: &[Found<Listener>],
    named: impl Iterator<Item = Range<usize>>,
    problems: &mut Problems,
) {
    let is_plain = |found: &&Found<Listener>| {
        let listener = &found.value;
        let is_near = match &listener.address {
            ListenAddress::Tcp(address) => address.ip().to_canonical().is_loopback(),
            ListenAddress::Unix(_) => true,
        };
        listener.tls.is_none() && listener.https_port.is_none() && !is_near
    };
    let Some(plain) = listeners.iter().find(is_plain) else { return };
    for span in named {
        let message = format!(
            "passwords come in the clear by `{}`, and whoever is on the way can read them",
            plain.value.address
        );
        let problem = Problem::error(span, message).warning();
        let problem = problem.other(plain.span.clone(), "this listener has no `tls`");
        problems
            .0
            .push(problem.help("give it `tls`, or lead to one that has: `redirect_to_https`"));
    }
}

#[cfg(test)]
mod tests {
    use crate::auth::Rule;
    use crate::config::{Config, Level};

    fn file(listener: &str, auth: &str) -> String {
        format!(
            "[[listeners]]\n{listener}\n[[routes]]\nservice = \"a\"\n{auth}\n\
             [services.a.pools.b]\nupstreams = [\"a:1\"]\n"
        )
    }

    fn rule(auth: &str) -> Rule {
        let text = file("address = \"127.0.0.1:0\"", &format!("auth = {{ {auth} }}"));
        let (config, problems) = Config::parse(&text).unwrap();
        assert!(problems.0.is_empty(), "{problems:?}");
        assert!(config.routes[0].is_guarded);
        config.route_actions[0].as_ref().unwrap().auth.clone().unwrap()
    }

    fn refused(lines: &str) -> Vec<String> {
        let text = file("address = \"127.0.0.1:0\"", lines);
        let problems = Config::parse(&text).unwrap_err().0.into_iter();
        let line = |problem: crate::config::Problem| {
            let (line, _) = problem.position(&text).unwrap();
            format!("{line}: {} ({})", problem.message, problem.label).replace(" ()", "")
        };
        problems.map(line).collect()
    }

    #[test]
    fn every_key_is_read() {
        let basic = |passes_on| Rule::Basic { users: "users".into(), passes_on };
        assert_eq!(rule("basic = \"users\""), basic(false));
        assert_eq!(rule("basic = \"users\", pass = true"), basic(true));
        let Rule::Ask(ask) = rule("ask = \"http://127.0.0.1:4180/auth?a=b\"") else { panic!() };
        assert_eq!((ask.address.to_string(), &*ask.target), ("127.0.0.1:4180".into(), "/auth?a=b"));
        assert_eq!((ask.authority.to_str().unwrap(), ask.is_https), ("127.0.0.1:4180", false));
        assert_eq!(
            (ask.copy.len(), &ask.send[..]),
            (0, &["cookie", "authorization"].map(|n| n.parse().unwrap())[..])
        );
        assert_eq!(ask.timeout.as_secs(), 1);
        let Rule::Ask(ask) = rule(
            "ask = \"https://Auth.internal\", copy = [\"x-user\", \"authorization\"], send = [], \
             timeout = \"3s\"",
        ) else {
            panic!()
        };
        assert_eq!((ask.address.to_string(), &*ask.target), ("auth.internal:443".into(), "/"));
        assert!(ask.is_https && ask.send.is_empty());
        assert_eq!(
            ask.copy,
            ["x-user", "authorization"].map(|n| n.parse::<http::HeaderName>().unwrap())
        );
        assert_eq!(ask.timeout.as_secs(), 3);
        let Rule::Ask(ask) = rule("ask = \"http://[::1]:80\"") else { panic!() };
        assert_eq!(ask.address.to_string(), "[::1]:80");
        for (written, target) in [
            ("unix:/run/a.sock", "/"),
            ("unix:/run/a.sock:/", "/"),
            ("unix:/run/a.sock:/auth?a=b:/c", "/auth?a=b:/c"),
        ] {
            let Rule::Ask(ask) = rule(&format!("ask = \"{written}\"")) else { panic!() };
            assert_eq!((&*ask.address.to_string(), &*ask.target), ("unix:/run/a.sock", target));
            assert_eq!((ask.authority.to_str().unwrap(), ask.is_https), ("localhost", false));
        }
    }

    #[test]
    fn what_cannot_be_is_told_where_it_is() {
        let ask = "ask = \"http://127.0.0.1:1/\"";
        for (auth, wanted) in [
            ("", "5: `auth` needs a `basic`"),
            (
                "basic = \"u\", ask = \"http://a/\"",
                "5: a route is either asked for by `basic` or by `ask` (the second)",
            ),
            ("basic = \"u\", copy = [\"x-a\"]", "5: `copy` is for `ask`, and there is none"),
            (&format!("{ask}, pass = true"), "5: `pass` is for `basic`, and there is none"),
            ("ask = \"127.0.0.1:1\"", "5: "),
            ("ask = \"http://a b/\"", "5: "),
            ("ask = \"http://a:b@c/\"", "5: "),
            ("ask = \"unix:run/a.sock\"", "5: "),
            ("ask = \"unix:/run/a.sock:/a b\"", "5: "),
            ("ask = \"unix:/run/a.sock:/a#b\"", "5: "),
            (&format!("{ask}, copy = [\"Host\"]"), "5: "),
            (&format!("{ask}, copy = [\"content-length\"]"), "5: "),
            (&format!("{ask}, copy = [\"x-forwarded-for\"]"), "5: "),
            (&format!("{ask}, copy = [\"x-pointsman-pool\"]"), "5: "),
            (&format!("{ask}, copy = [\"x a\"]"), "5: "),
            (&format!("{ask}, copy = [\"x-a\", \"X-A\"]"), "5: `x-a` is in `copy` twice"),
            (&format!("{ask}, send = [\"x-forwarded-uri\"]"), "5: "),
            (&format!("{ask}, send = [\"transfer-encoding\"]"), "5: "),
            (&format!("{ask}, timeout = \"0s\""), "5: "),
            (&format!("{ask}, other = 1"), "5: "),
        ] {
            let found = refused(&format!("auth = {{ {auth} }}"));
            assert!(found.len() == 1 && found[0].starts_with(wanted), "{auth}: {found:?}");
        }
        let both =
            format!("auth = {{ {ask}, copy = [\"x-user\"] }}\nrequest.set = {{ X-User = \"a\" }}");
        assert_eq!(refused(&both), ["5: `x-user` is in `copy` and in `request`"]);
    }

    #[test]
    fn passwords_in_the_clear_are_warned_of() {
        let warnings = |listener: &str| {
            let text = file(listener, "auth = { basic = \"users\" }");
            let (_, problems) = Config::parse(&text).unwrap();
            assert!(problems.0.iter().all(|problem| problem.level == Level::Warning));
            problems.0.len()
        };
        assert_eq!(warnings("address = \"0.0.0.0:80\""), 1);
        assert_eq!(warnings("address = \"127.0.0.1:80\"\n[[listeners]]\naddress = \"[::]:81\""), 1);
        for near in [
            "address = \"127.0.0.1:80\"",
            "address = \"[::1]:80\"",
            "address = \"unix:/run/a.sock\"",
            "address = \"0.0.0.0:80\"\nredirect_to_https = true\nhttps_port = 8443",
            "address = \"0.0.0.0:443\"\ntls.certificates = [{ certificate = \"a\", key = \"b\" }]",
        ] {
            assert_eq!(warnings(near), 0, "{near}");
        }
        let asks = file("address = \"0.0.0.0:80\"", "auth = { ask = \"http://127.0.0.1:1/\" }");
        assert!(Config::parse(&asks).unwrap().1.0.is_empty());
    }
}
