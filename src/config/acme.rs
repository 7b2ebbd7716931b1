//! Certificates that we order ourselves from an authority (ACME, RFC 8555): the table in, whom to ask and
//! for which names out.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::key::{Key, Kind, Table, Without, table, text, text_option, texts, word_option};
use super::notify::web_address;
use super::section::{Found, Section};
use super::values::path;
use super::{Listener, Problem, Problems};
use crate::route::{HostPattern, Route};

/// Let's Encrypt's.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// What nobody has in the whole world's name space (RFC 6761 and 6762, and ICANN's `internal`).
const NOT_PUBLIC: [&str; 6] = ["test", "localhost", "invalid", "example", "local", "internal"];

/// Where the certificates of a listener are ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// Whom they are ordered from, and how.
    pub authority: Arc<AcmeAuthority>,
    /// For whom: those that were given, else all hosts that routes name. In order, none twice.
    pub names: Vec<AcmeName>,
}

/// An authority, and what it is told of us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeAuthority {
    /// Its address, which says what it can do: `https`.
    pub directory: Arc<str>,
    /// Where it may write to; most never do.
    pub email: Option<String>,
    /// Who signs its own certificate (PEM); none for the system's authorities.
    pub ca: Option<PathBuf>,
    /// What kind of certificates; none for its own choice.
    pub profile: Option<String>,
    /// How it looks whether a name is ours; none for what seems to fit.
    pub challenge: Option<Challenge>,
    /// An account elsewhere that ours is bound to.
    pub external_account: Option<ExternalAccount>,
}

/// An account with an authority that was made by other means (RFC 8555 section 7.3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalAccount {
    /// What the authority calls it.
    pub id: String,
    /// The file of its key, in base64 as authorities give it.
    pub key_file: PathBuf,
}

/// How an authority looks whether a name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// By a request in the clear, to port 80 (RFC 8555 section 8.3).
    Http,
    /// By a handshake, with port 443 (RFC 8737).
    TlsAlpn,
}

/// A name that a certificate can be ordered for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AcmeName {
    /// A host, in lower case and without a star.
    Host(Arc<str>),
    /// An address.
    Address(IpAddr),
}

impl AcmeName {
    /// The name that a pattern of hosts stands for; none of one with a star.
    fn of(pattern: &HostPattern) -> Option<AcmeName> {
        let HostPattern::Exact(host) = pattern else { return None };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        Some(bare.parse().map_or_else(|_| AcmeName::Host(host.as_str().into()), AcmeName::Address))
    }

    /// Whether it can mean the same to everybody, so that an authority which anybody can ask would look.
    fn is_public(&self) -> bool {
        match self {
            AcmeName::Host(host) => host.rsplit_once('.').is_some_and(|(_, last)| {
                !NOT_PUBLIC.contains(&last) && !host.ends_with(".home.arpa")
            }),
            AcmeName::Address(IpAddr::V4(v4)) => {
                let is_odd = v4.is_loopback() || v4.is_unspecified() || v4.is_documentation();
                !is_odd && !v4.is_private() && !v4.is_link_local()
            }
            AcmeName::Address(IpAddr::V6(v6)) => {
                let is_odd = v6.is_loopback() || v6.is_unspecified();
                !is_odd && !v6.is_unique_local() && !v6.is_unicast_link_local()
            }
        }
    }
}

impl fmt::Display for AcmeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AcmeName::Host(host) => f.write_str(host),
            AcmeName::Address(address) => address.fmt(f),
        }
    }
}

pub(super) static ACME: Table = Table::new(
    "",
    &[
        text_option("email", "\"you@example.com\""),
        text("directory", LETS_ENCRYPT),
        text_option("ca", "\"authority.pem\""),
        texts("names", &[]),
        text_option("profile", "\"shortlived\""),
        word_option("challenge", &["http-01", "tls-alpn-01"], "\"http-01\""),
        table("external_account", &EXTERNAL_ACCOUNT, Without::Off),
    ],
);

static EXTERNAL_ACCOUNT: Table =
    Table::new("", &[Key::of("id", Kind::Text(None)), Key::of("key_file", Kind::Text(None))]);

/// What a listener's table says; names that it does not give come later, from routes.
pub(super) fn acme(mut section: Section<'_>, problems: &mut Problems) -> Option<Acme> {
    let email = section.text(problems, "email", email);
    let directory = section.text(problems, "directory", directory);
    let ca = section.text(problems, "ca", path);
    let names = section.texts(problems, "names", name);
    let profile = section.text(problems, "profile", word);
    let challenge = section.word(problems, "challenge", |word| match word {
        "http-01" => Some(Challenge::Http),
        "tls-alpn-01" => Some(Challenge::TlsAlpn),
        _ => None,
    });
    let external = section.table_if_given(problems, "external_account");
    let external_account = external.and_then(|section| external_account(section, problems));
    section.close(problems);
    let authority = AcmeAuthority {
        directory: directory?.value,
        email: email.map(|found| found.value),
        ca: ca.map(|found| found.value),
        profile: profile.map(|found| found.value),
        challenge,
        external_account,
    };
    let names: BTreeSet<AcmeName> = names.into_iter().map(|found| found.value).collect();
    Some(Acme { authority: Arc::new(authority), names: names.into_iter().collect() })
}

fn external_account(mut section: Section<'_>, problems: &mut Problems) -> Option<ExternalAccount> {
    let id = section.text(problems, "id", word);
    let key_file = section.text(problems, "key_file", path);
    for key in ["id", "key_file"] {
        if !section.has(key) {
            let message = format!("`{key}` is missing here");
            problems.0.push(Problem::error(section.span.clone(), message));
        }
    }
    section.close(problems);
    Some(ExternalAccount { id: id?.value, key_file: key_file?.value })
}

/// Gives the hosts of all routes to listeners that order certificates and do not say for whom. Those that
/// are nobody's in the whole world only to who asks an authority of his own.
pub(super) fn give_names<'r>(
    listeners: &mut [Found<Listener>],
    routes: impl Iterator<Item = &'r Route>,
    problems: &mut Problems,
) {
    let hosts = routes.flat_map(|route| &route.hosts).filter_map(AcmeName::of);
    let hosts: BTreeSet<AcmeName> = hosts.collect();
    let tables = listeners.iter_mut().filter_map(|found| {
        let acme = found.value.tls.as_mut()?.acme.as_mut()?;
        acme.names.is_empty().then_some((found.span.clone(), acme))
    });
    for (place, acme) in tables {
        let is_private = acme.authority.ca.is_some();
        let hosts = hosts.iter().filter(|name| is_private || name.is_public());
        acme.names = hosts.cloned().collect();
        if acme.names.is_empty() {
            let message = "no certificate is ordered for this listener: no route names a public \
                           host without a star";
            let problem = Problem::error(place, message).warning();
            let help =
                "give routes `hosts`, or name them: `tls.acme.names = [\"shop.example.com\"]`";
            problems.0.push(problem.help(help));
        }
    }
}

/// Tells of listeners that order from one authority in different ways: there is one account with it.
pub(super) fn keep_alike(listeners: &[Found<Listener>], problems: &mut Problems) {
    let mut known: Vec<(&AcmeAuthority, Range<usize>)> = Vec::new();
    for found in listeners {
        let acme = found.value.tls.as_ref().and_then(|tls| tls.acme.as_ref());
        let Some(authority) = acme.map(|acme| &*acme.authority) else { continue };
        match known.iter().find(|(known, _)| known.directory == authority.directory) {
            Some((first, _)) if *first == authority => {}
            Some((_, place)) => {
                let message =
                    "two listeners order certificates from one authority in different ways";
                let problem = Problem::error(found.span.clone(), message).label("the second");
                let problem = problem.other(place.clone(), "the first");
                problems.0.push(problem.help("all but `names` has to be the same in `tls.acme`"));
            }
            None => known.push((authority, found.span.clone())),
        }
    }
}

fn email(text: &str) -> Result<String, &'static str> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b",;<>\"?&".contains(&byte);
    match text.split_once('@') {
        Some((whose, host))
            if !whose.is_empty() && host.contains('.') && text.bytes().all(is_plain) =>
        {
            Ok(text.to_string())
        }
        _ => Err("expected an address such as `you@example.com`"),
    }
}

fn directory(text: &str) -> Result<Arc<str>, &'static str> {
    let url = web_address(text)?;
    match url.scheme_str() {
        Some("https") => Ok(text.into()),
        _ => Err("an authority is asked by `https://` alone"),
    }
}

fn name(text: &str) -> Result<AcmeName, String> {
    match HostPattern::parse(text) {
        Ok(pattern) => AcmeName::of(&pattern).ok_or_else(|| {
            "certificates with a star are not ordered; name hosts, or give a file of one in \
             `certificates`"
                .into()
        }),
        // Without brackets too, as certificates have them.
        Err(error) => match text.parse() {
            Ok(address) => Ok(AcmeName::Address(address)),
            Err(_) => Err(error.to_string()),
        },
    }
}

fn word(text: &str) -> Result<String, &'static str> {
    let is_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_word { Ok(text.to_string()) } else { Err("expected a word") }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Level};

    /// What is said of a listener with these keys, and another with those.
    fn told(one: &str, other: &str) -> Vec<(Level, String)> {
        let listener = |port, keys: &str| {
            format!("[[listeners]]\naddress = \":{port}\"\ntls.acme = {{ {keys} }}\n")
        };
        let text = format!(
            "{}{}[[routes]]\nhosts = [\"shop.example.com\"]\nservice = \"a\"\n\
             [services.a.pools.b]\nupstreams = [\"a:1\"]\n",
            listener(1, one),
            listener(2, other)
        );
        let problems = match Config::parse(&text) {
            Ok((_, problems)) | Err(problems) => problems.0,
        };
        problems.into_iter().map(|problem| (problem.level, problem.message)).collect()
    }

    #[test]
    fn what_no_authority_would_take_is_told() {
        let bad = |keys: &str| {
            let told = told(keys, "");
            assert_eq!(told.len(), 1, "{keys}: {told:?}");
            assert_eq!(told[0].0, Level::Error, "{keys}");
        };
        for keys in [
            "email = \"ada\"",
            "email = \"ada@example.com, bob@example.com\"",
            "directory = \"http://authority.example.com/\"",
            "directory = \"authority\"",
            "names = [\"*.example.com\"]",
            "names = [\"https://shop.example.com\"]",
            "profile = \"\"",
            "challenge = \"dns-01\"",
            "external_account = { id = \"x\" }",
            "mail = \"ada@example.com\"",
        ] {
            bad(keys);
        }
        let same = "email = \"ada@example.com\"";
        assert_eq!(told(same, same), []);
    }

    #[test]
    fn one_authority_is_asked_in_one_way() {
        let said = told("email = \"ada@example.com\"", "email = \"bob@example.com\"");
        let message = "two listeners order certificates from one authority in different ways";
        assert_eq!(said, [(Level::Error, message.into())]);
        assert_eq!(told("", "directory = \"https://b.example.com/\", profile = \"x\""), []);
        assert_eq!(told("names = [\"a.example.com\"]", "names = [\"b.example.com\"]"), []);
    }

    #[test]
    fn a_listener_for_which_nothing_is_ordered_is_told_of() {
        let text = "[[listeners]]\naddress = \":443\"\ntls.acme = {}\n[services.a.pools.b]\n\
                    upstreams = [\"a:1\"]\n";
        let (_, odd) = Config::parse(text).unwrap();
        let said: Vec<_> = odd.0.iter().map(|odd| (odd.level, &odd.message[..22])).collect();
        assert_eq!(said, [(Level::Warning, "no certificate is orde")]);
    }
}
