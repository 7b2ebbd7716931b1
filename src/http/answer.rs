//! What we say ourselves when no upstream answers: a cause and the request's fields in, status, fields
//! and body out.
//!
//! Each form tells the request's id and who speaks, and none a version, an upstream or anything else of
//! what is behind us. What others wrote in it, such as an id or a maintenance's message, is escaped.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{
    CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use smallvec::SmallVec;

use super::failure::Cause;
use super::fields::{FieldId, Fields};
use super::form::Form;
use super::page::{About, ErrorPages, NAME};
use super::response::Edit;

/// When to ask again during maintenance, in seconds: nobody knows, and soon is not it.
const MAINTENANCE_SECONDS: u64 = 30;

/// How a call of gRPC went, and why.
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

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

impl Quota {
    /// The fields that tell of it (draft-ietf-httpapi-ratelimit-headers-10).
    pub fn fields(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let Quota { name, burst, period, left, wait } = *self;
        let seconds = rounded(wait);
        let window = match period.as_secs() {
            0 => String::new(),
            whole => format!(";w={whole}"),
        };
        let told = [
            (RATE_LIMIT_POLICY, format!("\"{name}\";q={burst}{window}")),
            (RATE_LIMIT, format!("\"{name}\";r={left};t={seconds}")),
        ];
        told.into_iter()
            .filter_map(|(field, text)| Some((field, HeaderValue::try_from(text).ok()?)))
    }
}

/// A whole answer; the lane adds its length.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Fields, without those of framing.
    pub fields: SmallVec<[(HeaderName, HeaderValue); 4]>,
    /// Plain text, a problem document (RFC 9457), a page, or nothing, by what the request accepts.
    pub body: Bytes,
    /// Whether the client's connection can carry another request.
    pub keeps_connection: bool,
    /// Whether a browser is told of HTTPS with it, where its listener says so.
    pub tells_of_https: bool,
}

/// Whom an answer is for, and what it is written on.
#[derive(Clone, Copy)]
pub struct For<'a> {
    /// The fields of the request.
    pub request: &'a Fields<'a>,
    /// What it is known by.
    pub request_id: &'a HeaderValue,
    /// Its trace, if that is told of.
    pub trace_id: Option<&'a str>,
    /// The pages of its service, if it has one.
    pub pages: Option<&'a ErrorPages>,
}

impl Answer {
    /// The answer for this cause, in the form that the request accepts.
    pub fn for_cause(cause: Cause, to: &For<'_>) -> Answer {
        Answer::with_detail(cause, cause.row().detail, to)
    }

    /// The same with these words instead of the usual ones.
    pub fn with_detail(cause: Cause, detail: &str, to: &For<'_>) -> Answer {
        let row = cause.row();
        let id = to.request_id.to_str().unwrap_or_default();
        let (status, title) = (row.status, title(row.status));
        let mut fields = SmallVec::new();
        let mut add = |name: HeaderName, value| fields.push((name, value));
        let form = Form::wanted(to.request);
        let (kind, body) = match form {
            Form::Json => ("application/problem+json", problem(status, title, detail, to)),
            Form::Page => {
                let about = About { status, title, detail, request_id: id, trace_id: to.trace_id };
                let own = to.pages.and_then(|pages| pages.of(status));
                let page = own.map_or_else(|| about.page(), |own| about.fill(own));
                ("text/html; charset=utf-8", page)
            }
            Form::Text => {
                let trace = to.trace_id.map(|trace| format!(", trace {trace}")).unwrap_or_default();
                let text = format!("{title}: {detail}\n{NAME}, request {id}{trace}\n");
                ("text/plain; charset=utf-8", text)
            }
            Form::Grpc => ("application/grpc", String::new()),
        };
        add(CONTENT_TYPE, HeaderValue::from_static(kind));
        add(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        add(FieldId::RequestId.name().clone(), to.request_id.clone());
        if form == Form::Grpc {
            // All of such an answer is in its head ("Trailers-Only").
            add(GRPC_STATUS, HeaderValue::from(grpc_status(status)));
            let message = format!("{detail} ({NAME}, request {id})");
            if let Ok(message) = HeaderValue::try_from(percent_encoded(&message)) {
                add(GRPC_MESSAGE, message);
            }
        } else {
            add(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
        if status == 503 {
            let seconds = if cause == Cause::Maintenance { MAINTENANCE_SECONDS } else { 1 };
            add(RETRY_AFTER, HeaderValue::from(seconds));
        }
        let status = if form == Form::Grpc { 200 } else { status };
        let keeps_connection = row.keeps_connection;
        Answer { status, fields, body: body.into(), keeps_connection, tells_of_https: true }
    }
}

impl Answer {
    /// One without a body.
    fn of(status: u16, fields: SmallVec<[(HeaderName, HeaderValue); 4]>) -> Answer {
        let (body, keeps_connection, tells_of_https) = (Bytes::new(), true, true);
        Answer { status, fields, body, keeps_connection, tells_of_https }
    }

    /// Makes these changes to what it says.
    pub fn edit(&mut self, edits: Vec<Edit<'_>>) {
        for edit in edits {
            self.tells_of_https &= edit != Edit::Remove(STRICT_TRANSPORT_SECURITY);
            edit.apply(&mut self.fields);
        }
    }

    /// That there is nothing to say, and that this is right.
    pub fn nothing(request_id: &HeaderValue) -> Answer {
        let id = (FieldId::RequestId.name().clone(), request_id.clone());
        Answer::of(204, SmallVec::from_iter([id]))
    }

    /// The same with what it is told of a limit that it was refused by.
    pub fn with_limit(mut self, quota: &Quota) -> Answer {
        self.fields.push((RETRY_AFTER, HeaderValue::from(rounded(quota.wait))));
        self.fields.extend(quota.fields());
        self
    }

    /// That it is to be asked for there, by the same method (RFC 9110 section 15.4.9); of what every
    /// client knows how to repeat, in the oldest way.
    pub fn moved(
        method: &Method,
        place: (HeaderName, HeaderValue),
        request_id: &HeaderValue,
    ) -> Answer {
        let is_plain = matches!(*method, Method::GET | Method::HEAD);
        let status = if is_plain { 301 } else { 308 };
        let id = (FieldId::RequestId.name().clone(), request_id.clone());
        let fields = SmallVec::from_iter([place, id]);
        Answer::of(status, fields)
    }

    /// That it is to be asked for there, with this status.
    pub fn led(status: u16, location: Option<HeaderValue>, request_id: &HeaderValue) -> Answer {
        let id = (FieldId::RequestId.name().clone(), request_id.clone());
        let location = location.map(|location| (LOCATION, location));
        let fields = location.into_iter().chain([id]).collect();
        Answer::of(status, fields)
    }

    /// What an authority looks for (RFC 8555 section 8.3).
    pub fn found(what: Bytes, request_id: &HeaderValue) -> Answer {
        let kind = (CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        let kept = (CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let id = (FieldId::RequestId.name().clone(), request_id.clone());
        let fields = SmallVec::from_iter([kind, kept, id]);
        Answer { body: what, ..Answer::of(200, fields) }
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

fn problem(status: u16, title: &str, detail: &str, to: &For<'_>) -> String {
    let mut problem = serde_json::json!({
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": to.request_id.to_str().unwrap_or_default(),
        "server": NAME,
    });
    if let Some(trace) = to.trace_id {
        problem["trace_id"] = trace.into();
    }
    format!("{problem}\n")
}

/// What gRPC calls a status of HTTP that we give ourselves: what may be tried again is unavailable.
fn grpc_status(status: u16) -> u16 {
    match status {
        401 => 16,
        403 => 7,
        404 => 12,
        408 | 504 => 4,
        413 | 429 | 431 => 8,
        502 | 503 => 14,
        _ => 13,
    }
}

/// As gRPC writes a message into a field (gRPC over HTTP/2, "Responses").
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | ..b' ' | 0x7f.. => encoded.push_str(&format!("%{byte:02X}")),
            byte => encoded.push(char::from(byte)),
        }
    }
    encoded
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

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use http::header::ACCEPT;

    fn of<'a>(request: &'a Fields<'a>, request_id: &'a HeaderValue) -> For<'a> {
        For { request, request_id, trace_id: None, pages: None }
    }

    fn body(accept: Option<&'static str>) -> (String, String) {
        let mut request = HeaderMap::new();
        if let Some(accept) = accept {
            request.insert(ACCEPT, HeaderValue::from_static(accept));
        }
        let id = HeaderValue::from_static("id-1");
        let answer = Answer::for_cause(Cause::NoUpstream, &of(&Fields::new(&request), &id));
        let kind = answer.fields[0].1.to_str().unwrap().to_string();
        (kind, String::from_utf8(answer.body.to_vec()).unwrap())
    }

    #[test]
    fn maintenance_is_a_page_for_browsers_with_nothing_but_text_in_it() {
        let mut request = HeaderMap::new();
        request.insert(ACCEPT, HeaderValue::from_static("text/html,*/*;q=0.8"));
        let id = HeaderValue::from_static("id-1");
        let message = "<b>back</b> at 14:00 & \"later\"";
        let fields = Fields::new(&request);
        let answer = Answer::with_detail(Cause::Maintenance, message, &of(&fields, &id));
        let page = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(page.contains("<p>&lt;b&gt;back&lt;/b&gt; at 14:00 &amp; &quot;later&quot;</p>"));
        assert_eq!(answer.fields[0].1, "text/html; charset=utf-8");
        let field = |answer: &Answer| {
            let found = answer.fields.iter().find(|(name, _)| *name == RETRY_AFTER);
            found.map(|(_, value)| value.to_str().unwrap().to_string())
        };
        assert_eq!(field(&answer).as_deref(), Some("30"));
        let answer = Answer::for_cause(Cause::Open, &of(&fields, &id));
        assert_eq!(field(&answer.retry_after(Duration::from_millis(3_200))).as_deref(), Some("4"));
    }

    #[test]
    fn json_for_who_accepts_it_and_text_for_the_rest() {
        let text = "Service Unavailable: no upstream is available\nPointsman, request id-1\n";
        assert_eq!(body(None), ("text/plain; charset=utf-8".into(), text.into()));
        assert!(body(Some("text/html, */*")).1.contains("<p>no upstream is available</p>"));
        let (kind, json) = body(Some("application/json"));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(kind, "application/problem+json");
        assert_eq!(
            (json["status"].as_u64(), json["request_id"].as_str()),
            (Some(503), Some("id-1"))
        );
        assert_eq!(json.get("trace_id"), None);
    }

    #[test]
    fn a_trace_that_is_told_of_is_in_each_form() {
        let id = HeaderValue::from_static("id-1");
        for accept in ["application/json", "text/html", "*/*"] {
            let request = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            let fields = Fields::new(&request);
            let to = For { trace_id: Some("0af7"), ..of(&fields, &id) };
            let body = Answer::for_cause(Cause::NoUpstream, &to).body;
            let body = std::str::from_utf8(&body).unwrap();
            assert!(body.contains("id-1") && body.contains("0af7"), "{accept}: {body}");
        }
    }

    #[test]
    fn a_call_of_grpc_is_told_in_its_head() {
        let kind = HeaderValue::from_static("application/grpc+proto");
        let request = HeaderMap::from_iter([(CONTENT_TYPE, kind)]);
        let (fields, id) = (Fields::new(&request), HeaderValue::from_static("id%1"));
        let answer = Answer::with_detail(Cause::Maintenance, "zurück\num 14:00", &of(&fields, &id));
        let field = |name: HeaderName| {
            let found = answer.fields.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.to_str().unwrap())
        };
        assert_eq!((answer.status, answer.body.len()), (200, 0));
        assert_eq!(field(CONTENT_TYPE), Some("application/grpc"));
        let message = "zur%C3%BCck%0Aum 14:00 (Pointsman, request id%251)";
        assert_eq!((field(GRPC_STATUS), field(GRPC_MESSAGE)), (Some("14"), Some(message)));
    }
}
