//! What clients are recognised by.

use toml::de::DeValue;

use super::Problem;
use super::Problems;
use super::key::{Shape, Table, boolean, free, text_option};
use super::section::{Section, text_of, wrong_kind};
use super::values::header_name;
use crate::split::{COOKIE_NAME, Sticky, StickyKey};

pub(super) static STICKY: Table = Table::new(
    "Who counts as one client, so that it stays on its side of the split: the first of these that a \
     request carries, in this order. Default: nothing, each request is drawn by itself.",
    &[
        text_option("header", "\"x-user-id\"").example("\"x-user-id\"").about("a request field"),
        text_option("cookie", "\"session\"").example("\"session\"").about("the application's"),
        free("own_cookie", "false").shape(Shape::FlagOrText).about(
            "true sets a cookie on clients that carry neither: a random, signed id named \
             pointsman_cohort (or a name in quotes), for seven days, HttpOnly, SameSite=Lax, Secure \
             on TLS. Upstreams see it; one that we did not sign is replaced. A response that brings \
             it says `Cache-Control: private`, so that no shared cache gives it to others. Nobody \
             reaches client_ip then. Services on one host may share a name: the id means something \
             else to each",
        ),
        boolean("client_ip", false).about("the client's address"),
    ],
);

pub(super) static HASH: Table = Table::new(
    "",
    &[
        text_option("header", "\"x-user-id\"").about("a request field"),
        text_option("cookie", "\"session\"").about("the application's"),
        boolean("client_ip", false).option("true").about("the client's address"),
    ],
);

/// What a service recognises its clients by.
pub(super) fn sticky(mut section: Section<'_>, problems: &mut Problems) -> Sticky {
    let own = own_cookie(&mut section, problems);
    let mut keys = keys(&mut section, problems);
    if let Some(name) = own {
        if keys.contains(&StickyKey::Cookie(name.clone())) {
            let place = section.place("own_cookie");
            let problem = Problem::error(place, "`own_cookie` has the name of `cookie`");
            problems.0.push(problem.label("the application's cookie needs another name"));
        }
        if keys.last() == Some(&StickyKey::ClientIp) {
            let place = section.place("client_ip");
            let problem = Problem::error(place, "`client_ip` is never reached").warning();
            problems.0.push(problem.label("whoever brings no cookie is given our own"));
        }
        let address = keys.iter().position(|key| *key == StickyKey::ClientIp);
        keys.insert(address.unwrap_or(keys.len()), StickyKey::OwnCookie(name));
    }
    section.close(problems);
    Sticky { keys }
}

/// What consistent hashing knows clients by.
pub(super) fn hash(mut section: Section<'_>, problems: &mut Problems) -> Sticky {
    let keys = keys(&mut section, problems);
    section.close(problems);
    Sticky { keys }
}

/// The keys that a request brings, in the order in which they are tried.
pub(super) fn keys(section: &mut Section<'_>, problems: &mut Problems) -> Vec<StickyKey> {
    let header = section.text(problems, "header", header_name);
    let cookie = section.text(problems, "cookie", cookie_name);
    let client_ip = section.boolean(problems, "client_ip");
    let header = header.map(|found| StickyKey::Header(found.value));
    let cookie = cookie.map(|found| StickyKey::Cookie(found.value));
    let client_ip = client_ip.then_some(StickyKey::ClientIp);
    header.into_iter().chain(cookie).chain(client_ip).collect()
}

/// `own_cookie = true`, or the name that it is to have.
fn own_cookie(section: &mut Section<'_>, problems: &mut Problems) -> Option<String> {
    let value = section.value("own_cookie")?;
    match value.get_ref() {
        DeValue::Boolean(wanted) => wanted.then(|| COOKIE_NAME.to_string()),
        DeValue::String(_) => {
            text_of(problems, "own_cookie", value, cookie_name).map(|found| found.value)
        }
        _ => {
            problems.0.push(wrong_kind("own_cookie", value, "`true`, `false` or a cookie's name"));
            None
        }
    }
}

fn cookie_name(text: &str) -> Result<String, &'static str> {
    let fits = |b: u8| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&b);
    match !text.is_empty() && text.bytes().all(fits) {
        true => Ok(text.to_string()),
        false => Err("not a cookie name"),
    }
}
