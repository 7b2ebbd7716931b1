//! What we say ourselves when no upstream answers: a cause and the request's `Accept` in, status,
//! fields and body out.

use bytes::Bytes;
use http::HeaderMap;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use smallvec::SmallVec;

use super::exchange::REQUEST_ID;
use super::failure::Cause;
use crate::fallback::{MARK, StaleResponse, StaticAnswer, Step};

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
    pub fn for_cause(cause: Cause, request: &HeaderMap, request_id: &HeaderValue) -> Answer {
        Answer::with_detail(cause, cause.row().detail, request, request_id)
    }

    /// The same with these words instead of the usual ones.
    pub fn with_detail(
        cause: Cause,
        detail: &str,
        request: &HeaderMap,
        request_id: &HeaderValue,
    ) -> Answer {
        let row = cause.row();
        let id = request_id.to_str().unwrap_or_default();
        let title = title(row.status);
        let (kind, body) = match accepts_json(request) {
            true => ("application/problem+json", problem(row.status, title, detail, id)),
            false => ("text/plain; charset=utf-8", format!("{title}: {detail}\n")),
        };
        let mut fields = SmallVec::new();
        fields.push((CONTENT_TYPE, HeaderValue::from_static(kind)));
        fields.push((CACHE_CONTROL, HeaderValue::from_static("no-store")));
        fields.push((REQUEST_ID, request_id.clone()));
        if row.status == 503 {
            fields.push((RETRY_AFTER, HeaderValue::from_static("1")));
        }
        let keeps_connection = row.keeps_connection;
        Answer { status: row.status, fields, body: body.into(), keeps_connection }
    }
}

impl Answer {
    /// The service's own answer for a time when nobody can be asked.
    pub fn fixed(answer: &StaticAnswer, request_id: &HeaderValue) -> Answer {
        let mut fields: SmallVec<[_; 4]> = answer.headers.iter().cloned().collect();
        let mut add = |name: HeaderName, value: HeaderValue| {
            if !fields.iter().any(|(known, _)| *known == name) {
                fields.push((name, value));
            }
        };
        add(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        add(MARK, Step::Answer.mark());
        add(REQUEST_ID, request_id.clone());
        if answer.status == 503 {
            add(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        // The rim has read the file; an answer without content is all there is otherwise.
        let body = answer.body.text().cloned().unwrap_or_default();
        Answer { status: answer.status, fields, body, keeps_connection: true }
    }

    /// A response kept from before; it says so itself.
    pub fn kept(kept: StaleResponse, request_id: &HeaderValue) -> Answer {
        let mut fields: SmallVec<[_; 4]> = kept.headers.into_iter().collect();
        fields.push((REQUEST_ID, request_id.clone()));
        Answer { status: kept.status, fields, body: kept.body, keeps_connection: true }
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

/// The reason phrase of a status code.
fn title(status: u16) -> &'static str {
    http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Request Failed")
}

fn accepts_json(request: &HeaderMap) -> bool {
    let mut lines = request.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    lines.any(|line| line.contains("application/json") || line.contains("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(accept: Option<&'static str>) -> (String, String) {
        let mut request = HeaderMap::new();
        if let Some(accept) = accept {
            request.insert(ACCEPT, HeaderValue::from_static(accept));
        }
        let id = HeaderValue::from_static("id-1");
        let answer = Answer::for_cause(Cause::NoUpstream, &request, &id);
        let kind = answer.fields[0].1.to_str().unwrap().to_string();
        (kind, String::from_utf8(answer.body.to_vec()).unwrap())
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
