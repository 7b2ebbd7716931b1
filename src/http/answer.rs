//! What we say ourselves when no upstream answers: a cause and the request's `Accept` in, status,
//! fields and body out.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use smallvec::SmallVec;

use super::failure::Cause;
use super::fields::{FieldId, Fields};
use super::list;
use super::view::text;

/// When to ask again during maintenance, in seconds: nobody knows, and soon is not it.
const MAINTENANCE_SECONDS: u64 = 30;

/// What a client is told of a limit.
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// A limit on requests as its client is told of it.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// Which: nothing of what things are called behind us.
    pub name: &'static str,
    /// How many at once.
    pub burst: u32,
    /// In which time the limit is counted; one below a second is not told.
    pub period: Duration,
    /// How many are left.
    pub left: u32,
    /// After how long there is another one.
    pub wait: Duration,
}

/// A whole answer; the lane adds its length.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Fields, without those of framing.
    pub fields: SmallVec<[(HeaderName, HeaderValue); 4]>,
    /// Plain text, or a problem document (RFC 9457) for who accepts JSON.
    pub body: Bytes,
    /// Whether the client's connection can carry another request.
    pub keeps_connection: bool,
}

impl Answer {
    /// The answer for this cause, in the form that the request accepts.
    pub fn for_cause(cause: Cause, request: &Fields<'_>, request_id: &HeaderValue) -> Answer {
        Answer::with_detail(cause, cause.row().detail, request, request_id)
    }

    /// The same with these words instead of the usual ones.
    pub fn with_detail(
        cause: Cause,
        detail: &str,
        request: &Fields<'_>,
        request_id: &HeaderValue,
    ) -> Answer {
        let row = cause.row();
        let id = request_id.to_str().unwrap_or_default();
        let title = title(row.status);
        // People see a maintenance for longer than a moment, and were told to expect it.
        let (kind, body) = match Form::wanted(request, cause == Cause::Maintenance) {
            Form::Json => ("application/problem+json", problem(row.status, title, detail, id)),
            Form::Page => ("text/html; charset=utf-8", page(title, detail)),
            Form::Text => ("text/plain; charset=utf-8", format!("{title}: {detail}\n")),
        };
        let mut fields = SmallVec::new();
        fields.push((CONTENT_TYPE, HeaderValue::from_static(kind)));
        fields.push((CACHE_CONTROL, HeaderValue::from_static("no-store")));
        fields.push((FieldId::RequestId.name().clone(), request_id.clone()));
        if row.status == 503 {
            let seconds = if cause == Cause::Maintenance { MAINTENANCE_SECONDS } else { 1 };
            fields.push((RETRY_AFTER, HeaderValue::from(seconds)));
        }
        let keeps_connection = row.keeps_connection;
        Answer { status: row.status, fields, body: body.into(), keeps_connection }
    }
}

impl Answer {
    /// That there is nothing to say, and that this is right.
    pub fn nothing(request_id: &HeaderValue) -> Answer {
        let id = (FieldId::RequestId.name().clone(), request_id.clone());
        let fields = SmallVec::from_iter([id]);
        Answer { status: 204, fields, body: Bytes::new(), keeps_connection: true }
    }

    /// The same with what it is told of a limit (draft-ietf-httpapi-ratelimit-headers-10).
    pub fn with_limit(mut self, quota: &Quota) -> Answer {
        let Quota { name, burst, period, left, wait } = *quota;
        let seconds = rounded(wait);
        self.fields.push((RETRY_AFTER, HeaderValue::from(seconds)));
        let window = match period.as_secs() {
            0 => String::new(),
            whole => format!(";w={whole}"),
        };
        let mut add = |field, text: String| {
            self.fields.extend(HeaderValue::try_from(text).ok().map(|value| (field, value)));
        };
        add(RATE_LIMIT_POLICY, format!("\"{name}\";q={burst}{window}"));
        add(RATE_LIMIT, format!("\"{name}\";r={left};t={seconds}"));
        self
    }

    /// The same for a client that had better wait so long.
    pub fn retry_after(mut self, length: Duration) -> Answer {
        let seconds = rounded(length);
        for (_, value) in self.fields.iter_mut().filter(|(name, _)| *name == RETRY_AFTER) {
            *value = HeaderValue::from(seconds);
        }
        self
    }
}

fn problem(status: u16, title: &str, detail: &str, id: &str) -> String {
    let problem = serde_json::json!({
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": id,
    });
    format!("{problem}\n")
}

/// A small page that says no more than it was given.
fn page(title: &str, detail: &str) -> String {
    let mut escaped = String::with_capacity(detail.len());
    for c in detail.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("<br>"),
            c => escaped.push(c),
        }
    }
    format!(
        "<!doctype html>\n<html><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"></head>\n\
         <body style=\"font: 1.2em sans-serif; max-width: 36em; margin: 20vh auto; padding: 0 1em\">\
         <p>{escaped}</p></body></html>\n"
    )
}

/// Whole seconds, at least one.
fn rounded(length: Duration) -> u64 {
    length.as_secs_f64().ceil().max(1.0) as u64
}

/// The reason phrase of a status code.
fn title(status: u16) -> &'static str {
    http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Request Failed")
}

/// What an answer of ours can be written as; of several named and wished for alike, the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Page,
    Text,
}

impl Form {
    /// The form that a request's `Accept` prefers (RFC 9110 section 12.5.1). Text is what `*/*`
    /// means here, and what whoever takes none of them gets.
    fn wanted(request: &Fields<'_>, has_page: bool) -> Form {
        let forms = [Form::Json, Form::Page, Form::Text].into_iter().enumerate();
        let forms = forms.filter(|(_, form)| has_page || *form != Form::Page);
        let wishes = forms.map(|(place, form)| {
            let (weight, is_named) = form.wish(request);
            let order = if is_named { -(place as i8) } else { place as i8 };
            ((weight, is_named, order), form)
        });
        let taken = wishes.filter(|((weight, ..), _)| *weight > 0);
        taken.max_by_key(|(rank, _)| *rank).map_or(Form::Text, |(_, form)| form)
    }

    /// How much a request wants it, in thousandths, by the most specific range that takes it, and
    /// whether that one names it.
    fn wish(self, request: &Fields<'_>) -> (u16, bool) {
        if !request.has(FieldId::Accept) {
            return (1_000, false);
        }
        let ranges = request.all(FieldId::Accept).flat_map(list::members).map(|range| {
            let mut parts = list::parts(range, b';');
            let kind = parts.next().and_then(text);
            (self.closeness(kind.unwrap_or_default()), weight(parts))
        });
        let (closeness, weight) = ranges.filter(|(close, _)| *close > 0).max().unwrap_or_default();
        (weight, closeness == 3)
    }

    /// 3 for a range that names it, 1 and 2 for wider ones, 0 for one that does not take it.
    fn closeness(self, range: &str) -> u8 {
        let Some((kind, of)) = range.split_once('/') else { return 0 };
        let (own, is_named) = match self {
            // Whoever asks for any kind of JSON can read a problem in it.
            Form::Json => ("application", of.eq_ignore_ascii_case("json") || ends_in_json(of)),
            Form::Page => ("text", of.eq_ignore_ascii_case("html")),
            Form::Text => ("text", of.eq_ignore_ascii_case("plain")),
        };
        match (kind, of) {
            ("*", "*") => 1,
            _ if !kind.eq_ignore_ascii_case(own) => 0,
            (_, "*") => 2,
            _ if is_named => 3,
            _ => 0,
        }
    }
}

fn ends_in_json(subtype: &str) -> bool {
    let start = subtype.len().saturating_sub("+json".len());
    subtype.get(start..).is_some_and(|end| end.eq_ignore_ascii_case("+json"))
}

/// The `q` of a range's parameters, in thousandths; 1 if there is none that makes sense.
fn weight<'r>(parameters: impl Iterator<Item = &'r [u8]>) -> u16 {
    let mut pairs = parameters.filter_map(list::directive);
    let q = pairs.find(|(name, _)| name.eq_ignore_ascii_case(b"q"));
    let q = q.and_then(|(_, value)| text(value?)?.parse::<f32>().ok());
    q.filter(|q| (0.0..=1.0).contains(q)).map_or(1_000, |q| (q * 1_000.0).round() as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use http::header::ACCEPT;

    fn body(accept: Option<&'static str>) -> (String, String) {
        let mut request = HeaderMap::new();
        if let Some(accept) = accept {
            request.insert(ACCEPT, HeaderValue::from_static(accept));
        }
        let id = HeaderValue::from_static("id-1");
        let answer = Answer::for_cause(Cause::NoUpstream, &Fields::new(&request), &id);
        let kind = answer.fields[0].1.to_str().unwrap().to_string();
        (kind, String::from_utf8(answer.body.to_vec()).unwrap())
    }

    #[test]
    fn maintenance_is_a_page_for_browsers_with_nothing_but_text_in_it() {
        let mut request = HeaderMap::new();
        request.insert(ACCEPT, HeaderValue::from_static("text/html,*/*;q=0.8"));
        let id = HeaderValue::from_static("id-1");
        let message = "<b>back</b> at 14:00 & \"later\"";
        let answer = Answer::with_detail(Cause::Maintenance, message, &Fields::new(&request), &id);
        let page = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(page.contains("<p>&lt;b&gt;back&lt;/b&gt; at 14:00 &amp; &quot;later&quot;</p>"));
        assert_eq!(answer.fields[0].1, "text/html; charset=utf-8");
        let field = |answer: &Answer| {
            let found = answer.fields.iter().find(|(name, _)| *name == RETRY_AFTER);
            found.map(|(_, value)| value.to_str().unwrap().to_string())
        };
        assert_eq!(field(&answer).as_deref(), Some("30"));
        let answer = Answer::for_cause(Cause::Open, &Fields::new(&request), &id);
        assert_eq!(field(&answer.retry_after(Duration::from_millis(3_200))).as_deref(), Some("4"));
    }

    #[test]
    fn the_form_is_the_one_that_is_wanted_most() {
        let wanted = |accept: &str, has_page| {
            let value = HeaderValue::from_str(accept).unwrap();
            Form::wanted(&Fields::new(&HeaderMap::from_iter([(ACCEPT, value)])), has_page)
        };
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        let cases = [
            (browser, Form::Page),
            ("*/*", Form::Text),
            ("", Form::Text),
            ("text/*", Form::Text),
            ("application/*", Form::Json),
            ("application/json, text/plain, */*", Form::Json),
            ("application/vnd.shop+JSON", Form::Json),
            ("application/json;q=0.5, text/html", Form::Page),
            ("text/html;q=0.5, application/json", Form::Json),
            ("text/html;level=1;q=0.2, text/plain; q=0.3", Form::Text),
            ("application/json;q=0, */*;q=0.1", Form::Text),
            ("application/json;q=0", Form::Text),
            ("text/html;q=0, text/*;q=0.5", Form::Text),
            ("image/png", Form::Text),
            ("text/htmlx, application/jsonx", Form::Text),
            ("text/html;q=2", Form::Page),
            // What stands in quotes is neither a range nor a weight.
            ("text/plain;t=\"a, text/html;q=1\";q=0.1, application/json;q=0.2", Form::Json),
            (", ,text/html ; Q=0.9,, text/plain;q=0.8", Form::Page),
        ];
        for (accept, form) in cases {
            assert_eq!(wanted(accept, true), form, "{accept}");
        }
        assert_eq!(wanted(browser, false), Form::Text);
        assert_eq!(wanted("application/json;q=0.1, text/html", false), Form::Json);
    }

    #[test]
    fn json_for_who_accepts_it_and_text_for_the_rest() {
        let text = "Service Unavailable: no upstream is available\n";
        assert_eq!(body(None), ("text/plain; charset=utf-8".into(), text.into()));
        assert_eq!(body(Some("text/html, */*")).1, text);
        let (kind, json) = body(Some("application/json"));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(kind, "application/problem+json");
        assert_eq!(
            (json["status"].as_u64(), json["request_id"].as_str()),
            (Some(503), Some("id-1"))
        );
    }
}
