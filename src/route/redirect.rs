//! Where a redirect leads: a request's parts and what the operator wrote in, a place that a field can
//! hold out.
//!
//! What a client sends must not choose the host that is led to. So only a host that the route names may
//! stand in one, pieces of a path stand behind a whole host only, and a place on our own host begins with
//! one slash.

use std::borrow::Cow;

use http::header::HeaderValue;
use http::uri::Authority;

use super::template::{Template, TemplateError, Variable};
use crate::http::path::{behind, one_slash, write_encoded, write_query, write_value};

/// What may stand in it.
const KNOWN: [Variable; 14] = [
    Variable::Scheme,
    Variable::Host,
    Variable::Path,
    Variable::Rest,
    Variable::Query,
    Variable::Segment(1),
    Variable::Segment(2),
    Variable::Segment(3),
    Variable::Segment(4),
    Variable::Segment(5),
    Variable::Segment(6),
    Variable::Segment(7),
    Variable::Segment(8),
    Variable::Segment(9),
];

/// Leads requests elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// All that is before the query, and the query with what follows it.
    before: Template,
    query: Option<Template>,
    status: u16,
}

/// A request that is led elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Led<'r> {
    /// `http` or `https`.
    pub scheme: &'r str,
    /// The host that it asked for, in lower case and without a port.
    pub host: &'r str,
    /// What it asked for, as it was spelled: a path and perhaps a query.
    pub path_and_query: &'r str,
    /// The route's prefix in its normal form, without a slash at its end.
    pub prefix: &'r str,
}

/// Why a text does not say where to lead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    /// It is no such text.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// It has no whole host, and does not begin with one slash.
    #[error(
        "expected a URL such as `https://www.example.com{{path}}`, or a path that begins with `/`"
    )]
    Place,
    /// A piece of what a client sends would choose the host.
    #[error("a piece of the path stands behind the host")]
    Host,
    /// It would give two slashes.
    #[error("`{{path}}` and `{{rest}}` begin with `/`: leave out the one before")]
    TwoSlashes,
    /// It says what is no text of a URL.
    #[error("a URL has no spaces, quotes, controls and letters beyond ASCII: write them as %20")]
    Odd,
    /// There is none.
    #[error("`{{host}}` needs a route that names its `hosts`: without, a client could choose any")]
    NoHosts,
}

impl Redirect {
    /// To this place; `names_hosts`: whether the route does.
    pub fn new(to: &str, status: u16, names_hosts: bool) -> Result<Redirect, RedirectError> {
        let is_odd =
            |byte: u8| !byte.is_ascii_graphic() || matches!(byte, b'"' | b'<' | b'>' | b'\\');
        if to.bytes().any(is_odd) {
            return Err(RedirectError::Odd);
        }
        let (before, query) = match to.find(['?', '#']) {
            Some(at) => (&to[..at], Some(&to[at..])),
            None => (to, None),
        };
        let before = Template::parse(before, &KNOWN)?;
        let query = query.map(|query| Template::parse(query, &KNOWN)).transpose()?;
        let has = |variable| {
            before.has(variable) || query.as_ref().is_some_and(|query| query.has(variable))
        };
        if has(Variable::Host) && !names_hosts {
            return Err(RedirectError::NoHosts);
        }
        check(&before)?;
        Ok(Redirect { before, query, status })
    }

    /// The status that tells of it: 301, 302, 303, 307 or 308.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Where a request is led: a URL, or a path on the same host.
    pub fn place(&self, led: &Led<'_>) -> String {
        let (path, query) = match led.path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (led.path_and_query, None),
        };
        // `*` is the server itself.
        let path = if path.starts_with('/') { path } else { "/" };
        let mut place = String::with_capacity(led.path_and_query.len() + 64);
        self.before.write(&mut place, |variable, into| match variable {
            Variable::Scheme => into.push_str(led.scheme),
            Variable::Host => into.push_str(led.host),
            Variable::Query => write_query(query.unwrap_or_default(), into),
            piece => write_encoded(&piece_of(piece, path, led), into),
        });
        if place.starts_with('/') {
            // Two slashes would begin a host.
            place = one_slash(&place).into_owned();
        }
        match (&self.query, query) {
            (Some(own), _) => own.write(&mut place, |variable, into| match variable {
                Variable::Scheme => into.push_str(led.scheme),
                Variable::Host => into.push_str(led.host),
                Variable::Query => write_query(query.unwrap_or_default(), into),
                piece => write_value(&piece_of(piece, path, led), into),
            }),
            (None, Some(query)) => {
                place.push('?');
                write_query(query, &mut place);
            }
            (None, None) => {}
        }
        place
    }

    /// The same as a field's value.
    pub fn location(&self, led: &Led<'_>) -> Option<HeaderValue> {
        HeaderValue::try_from(self.place(led)).ok()
    }
}

/// A piece of a path, as it was spelled.
fn piece_of<'p>(piece: Variable, path: &'p str, led: &Led<'_>) -> Cow<'p, str> {
    match piece {
        Variable::Rest => one_slash(behind(path, led.prefix).unwrap_or(path)),
        Variable::Segment(nth) => {
            let mut segments = path.split('/').filter(|segment| !segment.is_empty());
            segments.nth(usize::from(nth) - 1).unwrap_or_default().into()
        }
        _ => one_slash(path),
    }
}

/// Whether no piece of what a client sends can end up in a host.
fn check(before: &Template) -> Result<(), RedirectError> {
    // What begins with a slash, and what else a client chooses.
    const SLASHED: char = '\u{1}';
    const CHOSEN: char = '\u{2}';
    let mut sample = String::new();
    before.write(&mut sample, |variable, into| match variable {
        Variable::Scheme => into.push_str("https"),
        Variable::Host => into.push_str("host.invalid"),
        Variable::Path | Variable::Rest => into.push(SLASHED),
        _ => into.push(CHOSEN),
    });
    let bare = sample.strip_prefix("https://").or_else(|| sample.strip_prefix("http://"));
    let path = match bare {
        Some(bare) => {
            let end = bare.find(['/', SLASHED]).unwrap_or(bare.len());
            let (host, path) = bare.split_at(end);
            if host.contains(CHOSEN) {
                return Err(RedirectError::Host);
            }
            let is_host = !host.contains('@') && host.parse::<Authority>().is_ok();
            if !is_host {
                return Err(RedirectError::Place);
            }
            path
        }
        None if sample.starts_with(SLASHED) => &sample,
        None if sample.starts_with('/') && !sample.starts_with("//") => &sample,
        None => return Err(RedirectError::Place),
    };
    match path.contains("/\u{1}") {
        true => Err(RedirectError::TwoSlashes),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn led<'r>(path_and_query: &'r str, prefix: &'r str) -> Led<'r> {
        Led { scheme: "http", host: "shop.test", path_and_query, prefix }
    }

    fn place(to: &str, path_and_query: &str) -> String {
        Redirect::new(to, 308, true).unwrap().place(&led(path_and_query, "/old"))
    }

    #[test]
    fn pieces_of_a_request_are_kept_and_the_query_too() {
        for (to, asked, wanted) in [
            ("https://www.example.com{path}", "/a/b?c=d", "https://www.example.com/a/b?c=d"),
            ("https://{host}{path}", "/a", "https://shop.test/a"),
            ("{scheme}://{host}:8443{rest}", "/old/x?y", "http://shop.test:8443/x?y"),
            ("{rest}", "/old?y", "/?y"),
            ("/new{rest}", "/%6fld/%7e", "/new/%7e"),
            ("/new{rest}", "/elsewhere", "/new/elsewhere"),
            ("/{2}/{1}", "/old/x/y", "/x/old"),
            ("https://e.test", "/a?b", "https://e.test?b"),
            ("https://e.test/?from={path}", "/a b&c?d", "https://e.test/?from=/a%20b%26c"),
            ("https://e.test/x?{query}#top", "/a?b=c", "https://e.test/x?b=c#top"),
            ("https://e.test/{{x}}", "/a", "https://e.test/{x}"),
            ("https://e.test{path}", "*", "https://e.test/"),
        ] {
            assert_eq!(place(to, asked), wanted, "{to} {asked}");
        }
    }

    #[test]
    fn nothing_that_a_client_sends_chooses_the_host() {
        for (to, asked, wanted) in [
            ("https://e.test{path}", "//evil.test/x", "https://e.test/evil.test/x"),
            ("{path}", "//evil.test/x", "/evil.test/x"),
            ("{path}", "/\\evil.test", "/%5Cevil.test"),
            ("{rest}", "/old//evil.test", "/evil.test"),
            ("/{3}/{1}", "/evil.test", "/evil.test"),
            ("https://e.test{path}", "/@evil.test", "https://e.test/@evil.test"),
            ("https://e.test{path}", "/\u{e9}\"<", "https://e.test/%C3%A9%22%3C"),
            ("https://e.test{path}", "/a%0d%0ax", "https://e.test/a%0d%0ax"),
            ("https://e.test{path}", "/a?\u{e9}\r\nx: y", "https://e.test/a?%C3%A9%0D%0Ax:%20y"),
        ] {
            assert_eq!(place(to, asked), wanted, "{to} {asked}");
            let redirect = Redirect::new(to, 308, true).unwrap();
            assert!(redirect.location(&led(asked, "/old")).is_some());
        }
    }

    #[test]
    fn what_could_lead_anywhere_is_refused() {
        use RedirectError::*;
        for (to, error) in [
            ("", Place),
            ("www.example.com", Place),
            ("ftp://e.test/", Place),
            ("https://", Place),
            ("https:///x", Place),
            ("https://user@e.test/", Place),
            ("//e.test/", Place),
            ("https://{1}.e.test/", Host),
            ("https://e.test{1}/", Host),
            ("https://e.test{query}/", Host),
            ("https://e.test/{path}", TwoSlashes),
            ("/{rest}", TwoSlashes),
            ("https://e.test/a b", Odd),
            ("https://e.test/\u{e9}", Odd),
            ("https://e.test/{", Template(TemplateError::Brace)),
        ] {
            assert_eq!(Redirect::new(to, 308, true).err(), Some(error), "{to}");
        }
        let with_host = Redirect::new("https://{host}{path}", 308, false);
        assert_eq!(with_host.err(), Some(NoHosts));
        assert!(matches!(Redirect::new("/{client}", 308, true), Err(Template(_))));
    }

    proptest! {
        /// Whatever a client sends: one value, to the host that was written.
        #[test]
        fn a_place_is_on_the_host_that_the_operator_wrote(
            path in "(/|//|/old|/old/|\\*)[^?\u{0}]{0,12}",
            query in proptest::option::of("[^\u{0}]{0,8}"),
            to in proptest::sample::select(vec![
                "https://e.test{path}", "https://e.test{rest}", "https://e.test/{1}/{2}?x={path}",
                "{path}", "{rest}", "/{1}/{2}", "/{9}{query}", "https://e.test/x{rest}#{path}",
            ]),
        ) {
            let asked = query.map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
            let redirect = Redirect::new(to, 302, true).unwrap();
            let location = redirect.location(&led(&asked, "/old")).unwrap();
            let location = location.to_str().unwrap();
            prop_assert!(location.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert!(!location.contains('\\') && !location.contains('"'));
            let is_elsewhere = to.starts_with("https");
            match location.strip_prefix("https://e.test/") {
                Some(_) => prop_assert!(is_elsewhere),
                None => {
                    prop_assert!(!is_elsewhere, "{}", location);
                    prop_assert!(location.starts_with('/') && !location.starts_with("//"), "{}", location);
                }
            }
        }
    }
}
