//! In which form somebody reads an answer of ours: a request's fields in, a form out.

use super::fields::{FieldId, Fields};
use super::list;
use super::view::text;

/// What an answer of ours can be written as; of several named and wished for alike, the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A problem document (RFC 9457).
    Json,
    /// A page of HTML.
    Page,
    /// A line or two.
    Text,
    /// A status of gRPC, for a call of gRPC: its clients read nothing else.
    Grpc,
}

impl Form {
    /// The form of a call of gRPC, else that which a request's `Accept` prefers (RFC 9110 section
    /// 12.5.1). Text is what `*/*` means here, and what whoever takes none of them gets.
    pub fn wanted(request: &Fields<'_>) -> Form {
        if request.first(FieldId::ContentType).is_some_and(is_grpc) {
            return Form::Grpc;
        }
        let forms = [Form::Json, Form::Page, Form::Text].into_iter().enumerate();
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
            Form::Text | Form::Grpc => ("text", of.eq_ignore_ascii_case("plain")),
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

/// Whether a body of this type is a call of gRPC: `application/grpc`, also with a `+proto` behind it;
/// gRPC-Web is another protocol.
fn is_grpc(kind: &[u8]) -> bool {
    const KIND: &[u8] = b"application/grpc";
    let is_it = kind.get(..KIND.len()).is_some_and(|start| start.eq_ignore_ascii_case(KIND));
    is_it && matches!(kind.get(KIND.len()), None | Some(b'+' | b';' | b' '))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};

    use super::*;

    #[test]
    fn the_form_is_the_one_that_is_wanted_most() {
        let wanted = |accept: &str| {
            let value = HeaderValue::from_str(accept).unwrap();
            Form::wanted(&Fields::new(&HeaderMap::from_iter([(ACCEPT, value)])))
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
            assert_eq!(wanted(accept), form, "{accept}");
        }
    }

    #[test]
    fn a_call_of_grpc_reads_nothing_else() {
        let wanted = |kind: &'static str| {
            let fields = [(CONTENT_TYPE, kind), (ACCEPT, "application/json")];
            let fields = fields.map(|(name, value)| (name, HeaderValue::from_static(value)));
            Form::wanted(&Fields::new(&HeaderMap::from_iter(fields)))
        };
        for call in ["application/grpc", "Application/gRPC+proto", "application/grpc;charset=x"] {
            assert_eq!(wanted(call), Form::Grpc, "{call}");
        }
        for other in ["application/grpc-web+proto", "application/grpcx", "application/json"] {
            assert_eq!(wanted(other), Form::Json, "{other}");
        }
    }
}
