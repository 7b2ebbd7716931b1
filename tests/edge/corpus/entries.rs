//! The corpus as it is written in `tests/data/`: its text in, messages as bytes and what becomes of them
//! out. The format is described where requests begin.

/// One message, or more on one connection.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: String,
    pub bytes: Vec<u8>,
    pub wanted: Vec<Word>,
    /// What its section says of how it is sent.
    pub settings: Vec<String>,
}

/// One word of what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// A body.
    Body(Vec<u8>),
    /// Anything else.
    Plain(String),
}

/// All entries of a file.
pub fn entries(text: &str) -> Vec<Entry> {
    let (mut all, mut template, mut settings) = (Vec::<Entry>::new(), "\\~", Vec::new());
    for line in text.lines() {
        match line.split_at_checked(2) {
            None | Some(("; ", _)) => {}
            Some(("# ", _)) => (template, settings) = ("\\~", Vec::new()),
            Some(("= ", rest)) => template = rest,
            Some(("! ", rest)) => settings.push(rest.to_string()),
            Some(_) => {
                let mut columns = line.splitn(3, '|').map(|column| column.trim());
                let mut next = || columns.next().unwrap_or_else(|| panic!("no column: {line}"));
                let (name, wanted, bytes) = (next().to_string(), words(next()), next());
                assert!(all.iter().all(|entry| entry.name != name), "twice: {name}");
                let bytes = unescaped(&template.replacen("\\~", bytes, 1));
                all.push(Entry { name, bytes, wanted, settings: settings.clone() });
            }
        }
    }
    all
}

fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(body) = rest.strip_prefix('"') {
            let end = body.find('"').expect("a body ends with a quote");
            words.push(Word::Body(unescaped(&body[..end])));
            rest = body[end + 1..].trim_start();
        } else {
            let end = rest.find(' ').unwrap_or(rest.len());
            words.push(Word::Plain(rest[..end].into()));
            rest = rest[end..].trim_start();
        }
    }
    words
}

fn unescaped(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let (kind, behind) = rest[at + 1..].split_at(1);
        rest = behind;
        match kind {
            "r" => bytes.push(b'\r'),
            "n" => bytes.push(b'\n'),
            "t" => bytes.push(b'\t'),
            "0" => bytes.push(0),
            "s" => bytes.push(b' '),
            "x" => {
                bytes.push(u8::from_str_radix(&rest[..2], 16).expect("two hexadecimal digits"));
                rest = &rest[2..];
            }
            "(" => {
                let (both, behind) = rest.split_once(')').expect("a repetition ends");
                let (what, times) = both.rsplit_once('*').expect("a repetition has a number");
                bytes.extend(unescaped(what).repeat(times.parse().expect("a number")));
                rest = behind;
            }
            "\\" | "\"" => bytes.extend_from_slice(kind.as_bytes()),
            other => panic!("no escape: \\{other} in {text}"),
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}
