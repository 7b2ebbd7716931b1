//! What a service makes smaller for clients that take it smaller: its table in, [`Compression`] out.

use super::key::{Table, size, texts};
use super::section::Section;
use super::suggestion::nearest;
use super::{Problem, Problems};
use crate::http::compression::{Coding, Compression};

/// Codings, the one that is liked best first.
const CODINGS: &[&str] = &["zstd", "br", "gzip"];

/// What is text, whatever it is called.
const TYPES: &[&str] = &[
    "text/*",
    "application/json",
    "application/*+json",
    "application/javascript",
    "application/xml",
    "application/*+xml",
    "application/wasm",
    "image/svg+xml",
];

pub(super) static COMPRESSION: Table = Table::new(
    "Answers are made smaller for clients that say so in Accept-Encoding; off by default. Not those in a \
     coding already, with `no-transform`, a digest or a part of the whole (206). A strong ETag becomes a \
     weak one, and Vary says what the answer depends on. Who puts secrets and what a client chose into one \
     page had better not: its length tells of both (BREACH).",
    &[
        texts("codings", CODINGS).about("the one that is liked best first"),
        texts("types", TYPES).about("of the content; one `*` in each at most"),
        size("least", (64, 1 << 30), 1_024).about("of a body whose length is known"),
    ],
);

pub(super) fn compression_of(mut section: Section<'_>, problems: &mut Problems) -> Compression {
    let coding = |text: &str| match Coding::ALL.into_iter().find(|coding| coding.name() == text) {
        Some(coding) => Ok(coding),
        None => Err(match nearest(text, CODINGS.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are {}", CODINGS.join(", ")),
        }),
    };
    let is_token = |part: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+*".contains(&byte);
        !part.is_empty() && part.bytes().all(fits)
    };
    let kind = |text: &str| match text.split_once('/') {
        Some((kind, rest)) if is_token(kind) && is_token(rest) && text.matches('*').count() < 2 => {
            Ok(text.to_ascii_lowercase())
        }
        _ => Err("expected a type such as `text/html` or `text/*`"),
    };
    let codings = section.texts(problems, "codings", coding);
    let types = section.texts(problems, "types", kind);
    for (key, what) in [("codings", "nothing would be made smaller"), ("types", "nothing would be")]
    {
        section.no_empty_list(problems, key, what, "leave out the whole table for nothing");
    }
    let least = section.number(problems, "least");
    let mut known: Vec<Coding> = Vec::new();
    for found in codings {
        if known.contains(&found.value) {
            let message = format!("`{}` is named twice", found.value.name());
            problems.0.push(Problem::error(found.span, message).warning());
            continue;
        }
        known.push(found.value);
    }
    section.close(problems);
    let types = types.into_iter().map(|found| found.value).collect();
    Compression { codings: known, types, least }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(lines: &str) -> Result<Option<Compression>, Vec<String>> {
        let text = format!(
            "[[listeners]]\naddress = \":80\"\n[services.a]\n{lines}\n[services.a.pools.b]\n\
             upstreams = [\"a:1\"]\n"
        );
        match Config::parse(&text) {
            Ok((config, _)) => Ok(config.services[0].compression.as_deref().cloned()),
            Err(problems) => Err(problems.lines(&text, "t")),
        }
    }

    #[test]
    fn nothing_is_made_smaller_without_the_table_and_text_is_with_it() {
        assert_eq!(parse(""), Ok(None));
        let usual = parse("compression = {}").unwrap().unwrap();
        assert_eq!((usual.codings, usual.least), (Coding::ALL.to_vec(), 1_024));
        let own = "compression = { codings = [\"gzip\"], types = \"Text/HTML\", least = \"2KiB\" }";
        let own = parse(own).unwrap().unwrap();
        assert_eq!(own.codings, [Coding::Gzip]);
        assert_eq!((own.types, own.least), (vec!["text/html".to_string()], 2_048));
    }

    #[test]
    fn mistakes_are_told_where_they_stand() {
        let told = |lines: &str| parse(lines).unwrap_err().join(" ");
        for (lines, what) in [
            ("compression.codings = [\"bro\"]", "t:4:24: bad value for `codings`"),
            ("compression.codings = []", "`codings` is empty"),
            ("compression.types = [\"html\"]", "t:4:22: bad value for `types`"),
            ("compression.types = [\"*/*\"]", "bad value for `types`"),
            ("compression.least = \"1B\"", "`least` is out of range"),
        ] {
            let told = told(lines);
            assert!(told.contains(what), "{lines}: {told}");
        }
    }
}
