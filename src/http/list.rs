//! Lists in the values of fields (RFC 9110 section 5.6.1): a line in, its members out.
//!
//! Two grammars share the comma. Where members may hold quoted strings, a comma in one of those
//! parts nothing; where they are tokens, a quote is a character like any other and must not hide
//! what comes after it. Empty members say nothing and are left out, as is white space around the
//! others. Nothing is copied.

/// The members of a list of tokens, such as `Connection` and `Vary` have.
pub fn tokens(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// The members of a list that may hold quoted strings, such as `Cache-Control` and `Accept` have.
pub fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    parts(line, b',')
}

/// What lies between separators that stand in no quoted string. A quote that is never closed holds
/// all that follows.
pub fn parts(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let parts = text.split(move |&b| {
        match b {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            _ => {}
        }
        b == separator && !is_quoted
    });
    parts.map(<[u8]>::trim_ascii).filter(|part| !part.is_empty())
}

/// A member of the form `name`, `name=token` or `name="quoted string"`: the name, and the argument
/// without its quotes, with its escapes as they are. None for any other form.
pub fn directive(member: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let end = member.iter().position(|&b| !is_token(b)).unwrap_or(member.len());
    let (name, rest) = member.split_at(end);
    let rest = rest.trim_ascii_start();
    if name.is_empty() || rest.is_empty() {
        return (!name.is_empty()).then_some((name, None));
    }
    let argument = rest.strip_prefix(b"=")?.trim_ascii_start();
    let argument = match argument.strip_prefix(b"\"") {
        Some(quoted) => unquoted(quoted)?,
        None => Some(argument).filter(|argument| argument.iter().all(|&b| is_token(b)))?,
    };
    Some((name, Some(argument)))
}

/// What comes before the closing quote; none if that is not the last byte.
fn unquoted(quoted: &[u8]) -> Option<&[u8]> {
    let mut is_escaped = false;
    let is_end = |&b: &u8| {
        let ends = b == b'"' && !is_escaped;
        is_escaped = b == b'\\' && !is_escaped;
        ends
    };
    let end = quoted.iter().position(is_end)?;
    (end + 1 == quoted.len()).then(|| &quoted[..end])
}

/// A byte of a token (RFC 9110 section 5.6.2).
fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Vec<&'a str> {
        parts.map(|part| std::str::from_utf8(part).unwrap()).collect()
    }

    #[test]
    fn commas_part_members_and_empty_ones_are_none() {
        for list in ["", " ", ",", " , \t,, "] {
            assert_eq!(shown(tokens(list.as_bytes())), [""; 0]);
            assert_eq!(shown(members(list.as_bytes())), [""; 0]);
        }
        let list = b", close ,\tX-A,,x-b";
        assert_eq!(shown(tokens(list)), ["close", "X-A", "x-b"]);
        assert_eq!(shown(members(list)), ["close", "X-A", "x-b"]);
    }

    #[test]
    fn a_quote_holds_commas_together_only_where_members_may_be_quoted() {
        let list = br#"a="x, y" , b="\", z", c="#;
        assert_eq!(shown(members(list)), [r#"a="x, y""#, r#"b="\", z""#, "c="]);
        assert_eq!(shown(members(b"a\", b")), ["a\", b"]);
        assert_eq!(shown(members(br"a\, b")), [r"a\", "b"]);
        assert_eq!(shown(tokens(b"\", x-secret")), ["\"", "x-secret"]);
        assert_eq!(shown(parts(br#"a/b; t="x;y" ;q=1"#, b';')), ["a/b", r#"t="x;y""#, "q=1"]);
    }

    #[test]
    fn a_directive_is_a_name_with_an_argument_or_without() {
        type Directive = (&'static str, Option<&'static str>);
        let cases: [(&str, Option<Directive>); 14] = [
            ("public", Some(("public", None))),
            ("max-age=60", Some(("max-age", Some("60")))),
            ("max-age = \"60\"", Some(("max-age", Some("60")))),
            ("a=", Some(("a", Some("")))),
            ("a=\"\"", Some(("a", Some("")))),
            (r#"a="b\"c""#, Some(("a", Some(r#"b\"c"#)))),
            ("", None),
            ("=5", None),
            ("a==5", None),
            ("a b", None),
            ("a=5 6", None),
            ("a=\"5", None),
            (r#"a="5\""#, None),
            ("a=\"5\"6", None),
        ];
        for (member, wanted) in cases {
            let wanted =
                wanted.map(|(name, argument)| (name.as_bytes(), argument.map(str::as_bytes)));
            assert_eq!(directive(member.as_bytes()), wanted, "{member}");
        }
    }
}
