//! Pages for people: a status, words and an id in, HTML out; ours, or one that an operator wrote.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Who speaks. Nothing says in which version: whoever looks for one that has a hole is not helped.
pub(super) const NAME: &str = "Pointsman";

/// What is known of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct About<'a> {
    pub status: u16,
    pub title: &'a str,
    pub detail: &'a str,
    pub request_id: &'a str,
    /// Hex digits; none if it is told of in no trace.
    pub trace_id: Option<&'a str>,
}

/// The pages of a service, by the status that they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorPages(Vec<(Statuses, Page)>);

/// Which statuses a page is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statuses {
    /// This one.
    One(u16),
    /// All that begin with this digit and have no page of their own.
    Hundred(u16),
}

/// A page that an operator wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// In a file, as the config names it: the rim has yet to read it.
    File(PathBuf),
    /// Here, with places to fill: `{{status}}`, `{{title}}`, `{{detail}}`, `{{request_id}}` and `{{trace_id}}`.
    Text(Arc<str>),
}

impl std::str::FromStr for Statuses {
    type Err = &'static str;

    /// `503`, or `5xx` for all of them.
    fn from_str(text: &str) -> Result<Statuses, &'static str> {
        match text {
            "4xx" => Ok(Statuses::Hundred(4)),
            "5xx" => Ok(Statuses::Hundred(5)),
            _ => {
                let status = text.parse().ok().filter(|status| (400..600).contains(status));
                status
                    .map(Statuses::One)
                    .ok_or("expected a status from 400 to 599, or `4xx` or `5xx`")
            }
        }
    }
}

impl ErrorPages {
    /// These pages.
    pub fn new(pages: Vec<(Statuses, Page)>) -> ErrorPages {
        ErrorPages(pages)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The files that are yet to be read.
    pub fn files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.0.iter_mut().filter_map(|(_, page)| match page {
            Page::File(file) => Some(file),
            Page::Text(_) => None,
        })
    }

    /// These with what is in their files; `read` is asked once for each.
    pub fn resolve<E>(
        &self,
        mut read: impl FnMut(&Path) -> Result<Arc<str>, E>,
    ) -> Result<ErrorPages, E> {
        let one = |(statuses, page): &(Statuses, Page)| {
            let page = match page {
                Page::File(file) => Page::Text(read(file)?),
                page => page.clone(),
            };
            Ok((*statuses, page))
        };
        self.0.iter().map(one).collect::<Result<_, E>>().map(ErrorPages)
    }

    /// The page for a status, if there is one.
    pub(super) fn of(&self, status: u16) -> Option<&str> {
        let find = |wanted: Statuses| {
            let page = self.0.iter().find(|(statuses, _)| *statuses == wanted);
            page.and_then(|(_, page)| match page {
                Page::Text(text) => Some(&**text),
                Page::File(_) => None,
            })
        };
        find(Statuses::One(status)).or_else(|| find(Statuses::Hundred(status / 100)))
    }
}

impl About<'_> {
    /// A small page that says no more than it was given.
    pub(super) fn page(&self) -> String {
        let About { title, detail, request_id, .. } = *self;
        let (detail, id) = (escaped(detail), escaped(request_id));
        let trace = self.trace_id.map(|trace| format!(", trace <code>{trace}</code>"));
        let trace = trace.unwrap_or_default();
        format!(
            "<!doctype html>\n<html><head><meta charset=\"utf-8\"><title>{title}</title>\
             <meta name=\"viewport\" content=\"width=device-width\"></head>\n\
             <body style=\"font: 1.2em sans-serif; max-width: 36em; margin: 20vh auto; padding: 0 1em\">\
             <p>{detail}</p><p><small>{NAME}, request <code>{id}</code>{trace}</small></p></body></html>\n"
        )
    }

    /// An operator's page with its places filled. One that does not show the id says it in a comment:
    /// who is asked for help asks for it.
    pub(super) fn fill(&self, page: &str) -> String {
        let mut filled = String::with_capacity(page.len() + 128);
        let (mut rest, mut shows_id) = (page, false);
        while let Some(at) = rest.find("{{") {
            filled.push_str(&rest[..at]);
            let inner = &rest[at + 2..];
            let known = inner.find("}}").and_then(|end| {
                let value = match inner[..end].trim() {
                    "status" => self.status.to_string(),
                    "title" => escaped(self.title),
                    "detail" => escaped(self.detail),
                    "request_id" => escaped(self.request_id),
                    "trace_id" => self.trace_id.unwrap_or_default().to_string(),
                    _ => return None,
                };
                shows_id |= inner[..end].trim() == "request_id";
                Some((value, end))
            });
            match known {
                Some((value, end)) => {
                    filled.push_str(&value);
                    rest = &inner[end + 2..];
                }
                // Somebody else's braces, such as those of a script.
                None => {
                    filled.push_str("{{");
                    rest = inner;
                }
            }
        }
        filled.push_str(rest);
        if !shows_id {
            filled.push_str(&format!("<!-- {NAME}, request {} -->\n", escaped(self.request_id)));
        }
        filled
    }
}

/// A text that no browser takes for anything else.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' => escaped.push_str("<br>"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: About<'_> = About {
        status: 503,
        title: "Service Unavailable",
        detail: "<b>back</b> at '14:00'\n& later",
        request_id: "--><script>{{detail}}",
        trace_id: None,
    };

    #[test]
    fn what_others_wrote_is_text_in_any_page() {
        let id = "--&gt;&lt;script&gt;{{detail}}";
        let detail = "&lt;b&gt;back&lt;/b&gt; at &#39;14:00&#39;<br>&amp; later";
        let page = ABOUT.page();
        assert!(page.contains(&format!("<p>{detail}</p>")) && page.contains(id), "{page}");
        let own = "<h1>{{status}} {{ title }}</h1>{{detail}} {{request_id}} {{other}} {{ }";
        let filled = format!("<h1>503 Service Unavailable</h1>{detail} {id} {{{{other}}}} {{{{ }}");
        assert_eq!(ABOUT.fill(own), filled);
        let traced = About { trace_id: Some("0af7"), ..ABOUT };
        assert_eq!(ABOUT.fill("{{request_id}}{{trace_id}}"), id);
        assert!(traced.fill("{{trace_id}}").starts_with("0af7<!--"));
        assert_eq!(ABOUT.fill("x"), format!("x<!-- Pointsman, request {id} -->\n"));
    }

    #[test]
    fn a_page_of_one_status_comes_before_that_of_all() {
        let page = |name: &str| Page::File(name.into());
        let pages = ErrorPages::new(vec![
            ("5xx".parse().unwrap(), page("all")),
            ("503".parse().unwrap(), page("busy")),
        ]);
        assert_eq!(pages.of(503), None, "nobody has read it");
        let read = |path: &Path| Ok::<_, ()>(Arc::from(path.to_str().unwrap()));
        let pages = pages.resolve(read).unwrap();
        let of = [503, 502, 404].map(|status| pages.of(status));
        assert_eq!(of, [Some("busy"), Some("all"), None]);
        for bad in ["200", "600", "5x", "xxx", ""] {
            assert!(bad.parse::<Statuses>().is_err(), "{bad}");
        }
    }
}
