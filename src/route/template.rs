//! A text with variables in it: what an operator wrote in, the same with what they stand for out.
//!
//! `{host}` is a variable, `{{` and `}}` are braces. Who writes the values knows where they end up, and
//! escapes them.

/// A text that was taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Variable(Variable),
}

/// What a part of a text stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// The client's address.
    Client,
    /// The id that the request is known by.
    RequestId,
    /// The service.
    Service,
    /// The pool that is asked.
    Pool,
    /// The number of the service's traffic state.
    Revision,
    /// The host that was asked for, without a port.
    Host,
    /// `http` or `https`, as the client came.
    Scheme,
    /// The path.
    Path,
    /// What of the path follows the route's prefix.
    Rest,
    /// The query.
    Query,
    /// A segment of the path, counted from 1.
    Segment(u8),
}

/// Why a text cannot be taken apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A brace that begins or ends nothing.
    #[error("a brace alone; write `{{{{` or `}}}}` for one that is meant")]
    Brace,
    /// A name that stands for nothing here.
    #[error("`{{{name}}}` is no variable; known here: {known}")]
    Unknown {
        /// What was written.
        name: String,
        /// What could be.
        known: String,
    },
}

impl Variable {
    /// The one of this name.
    fn named(name: &str) -> Option<Variable> {
        Some(match name {
            "client" => Variable::Client,
            "request_id" => Variable::RequestId,
            "service" => Variable::Service,
            "pool" => Variable::Pool,
            "revision" => Variable::Revision,
            "host" => Variable::Host,
            "scheme" => Variable::Scheme,
            "path" => Variable::Path,
            "rest" => Variable::Rest,
            "query" => Variable::Query,
            digit => match digit.as_bytes() {
                [digit @ b'1'..=b'9'] => Variable::Segment(digit - b'0'),
                _ => return None,
            },
        })
    }

    /// What it is called.
    fn name(self) -> String {
        match self {
            Variable::Client => "client".into(),
            Variable::RequestId => "request_id".into(),
            Variable::Service => "service".into(),
            Variable::Pool => "pool".into(),
            Variable::Revision => "revision".into(),
            Variable::Host => "host".into(),
            Variable::Scheme => "scheme".into(),
            Variable::Path => "path".into(),
            Variable::Rest => "rest".into(),
            Variable::Query => "query".into(),
            Variable::Segment(nth) => nth.to_string(),
        }
    }
}

impl Template {
    /// Takes a text apart in which these may stand.
    pub fn parse(text: &str, known: &[Variable]) -> Result<Template, TemplateError> {
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(behind) = rest.strip_prefix(brace) {
                plain.push_str(brace);
                rest = behind;
                continue;
            }
            let end = rest.find('}').filter(|_| brace == "{").ok_or(TemplateError::Brace)?;
            let name = &rest[..end];
            rest = &rest[end + 1..];
            let variable = Variable::named(name).filter(|variable| known.contains(variable));
            let Some(variable) = variable else {
                let known = known.iter().map(|known| format!("`{{{}}}`", known.name()));
                let known = known.collect::<Vec<_>>().join(", ");
                return Err(TemplateError::Unknown { name: name.into(), known });
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain).into()));
            }
            pieces.push(Piece::Variable(variable));
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain.into()));
        }
        Ok(Template(pieces))
    }

    /// Whether this stands in it.
    pub fn has(&self, variable: Variable) -> bool {
        self.0.contains(&Piece::Variable(variable))
    }

    /// The text with what its variables stand for, which `write` puts behind what there is so far.
    pub fn write(&self, into: &mut String, mut write: impl FnMut(Variable, &mut String)) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => into.push_str(text),
                Piece::Variable(variable) => write(*variable, into),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [Variable; 3] = [Variable::Host, Variable::Pool, Variable::Segment(2)];

    #[test]
    fn variables_stand_for_something_and_braces_for_themselves_if_there_are_two() {
        let written = |text: &str| {
            let template = Template::parse(text, &KNOWN)?;
            let mut written = String::new();
            template.write(&mut written, |variable, into| {
                into.push_str(match variable {
                    Variable::Host => "shop.test",
                    Variable::Segment(2) => "two",
                    _ => "blue",
                });
            });
            Ok(written)
        };
        for (text, wanted) in [
            ("", ""),
            ("plain", "plain"),
            ("{host}", "shop.test"),
            ("a {pool}{2} b", "a bluetwo b"),
            ("{{host}} {{{host}}}", "{host} {shop.test}"),
        ] {
            assert_eq!(written(text).as_deref(), Ok(wanted), "{text}");
        }
        for text in ["{", "}", "a{host", "host}", "{{}"] {
            assert_eq!(written(text), Err(TemplateError::Brace), "{text}");
        }
        let unknown = written("{path}").unwrap_err().to_string();
        assert_eq!(unknown, "`{path}` is no variable; known here: `{host}`, `{pool}`, `{2}`");
        assert!(written("{}").is_err() && written("{0}").is_err() && written("{Host}").is_err());
    }
}
