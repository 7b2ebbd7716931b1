//! The field lines of a head or of trailers: its bytes in, where each line lies out, in one walk.

use super::{Malformed, Span, colon, is_plain_name, is_space, name_end, text_end};
use crate::http::fields::{FieldId, Known};

/// Where one field line lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which field it is, of those that rules are about.
    pub id: Option<FieldId>,
    /// Whether its name is letters, digits and hyphens only.
    pub is_plain: bool,
    name: u32,
    colon: u32,
    value: u32,
    value_end: u32,
    end: u32,
}

impl Line {
    /// Its name, as it came.
    pub fn name(self, bytes: &[u8]) -> &[u8] {
        span(self.name, self.colon).of(bytes)
    }

    /// Its value, without the space around it.
    pub fn value(self, bytes: &[u8]) -> &[u8] {
        span(self.value, self.value_end).of(bytes)
    }

    /// Whether there is one space before its value and none behind, as nearly all write it.
    pub fn is_evenly_spaced(self, bytes: &[u8]) -> bool {
        let before = span(self.colon + 1, self.value).of(bytes);
        before == b" " && self.end == self.value_end + 2
    }

    /// All of it, with its end.
    pub fn whole(self) -> Span {
        span(self.name, self.end)
    }
}

/// The line that begins at this place, if it is a name of letters, digits and hyphens, a colon, one space, a
/// text that neither begins nor ends with space, and its end.
fn usual(bytes: &[u8], at: usize) -> Option<Line> {
    let colon = colon(bytes, at)?;
    let name = bytes.get(at..colon)?;
    let id = FieldId::of_line(name);
    // One that is known is made of nothing else: of what is no token only a carriage return would be taken for
    // a hyphen, and there is none.
    if id.is_none() && (name.is_empty() || !is_plain_name(name)) {
        return None;
    }
    let value = colon + 2;
    let end = text_end(bytes, value);
    let text = bytes.get(value..end)?;
    // What is in a text and no larger than a space is a space or a tab.
    let is_even = *text.first()? > b' ' && *text.last()? > b' ';
    let is_usual = is_even && bytes[colon + 1] == b' ' && bytes.get(end..)?.starts_with(b"\r\n");
    // A head has less than 2³² bytes.
    is_usual.then_some(Line {
        id,
        is_plain: true,
        name: at as u32,
        colon: colon as u32,
        value: value as u32,
        value_end: end as u32,
        end: end as u32 + 2,
    })
}

fn span(from: u32, to: u32) -> Span {
    Span { from: from as usize, to: to as usize }
}

/// The lines of one section, read so far.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    list: Vec<Line>,
    known: Known,
    part: Part,
    /// The next byte to look at.
    at: usize,
    is_plain: bool,
    name: usize,
    colon: usize,
    value: usize,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Begin,
    Name,
    Before,
    Value,
    LineFeed,
    LastLineFeed,
}

impl Lines {
    /// Begins anew, with the section whose first byte is at this place.
    pub fn begin(&mut self, at: usize) {
        self.list.clear();
        (self.known, self.part, self.at) = (Known::NONE, Part::Begin, at);
    }

    /// All of them, in order.
    pub fn list(&self) -> &[Line] {
        &self.list
    }

    /// Which of the fields that rules are about are among them.
    pub fn known(&self) -> Known {
        self.known
    }

    /// The values of all lines of this field.
    pub fn all<'b>(&self, id: FieldId, bytes: &'b [u8]) -> impl Iterator<Item = &'b [u8]> {
        let list = if self.known.has(id) { &self.list[..] } else { &[] };
        list.iter().filter(move |line| line.id == Some(id)).map(|line| line.value(bytes))
    }

    /// The value of its first line.
    pub fn first<'b>(&self, id: FieldId, bytes: &'b [u8]) -> Option<&'b [u8]> {
        self.all(id, bytes).next()
    }

    /// Goes on reading. `bytes` are all of the head that have come. Answers with the place behind the
    /// section once that is whole.
    pub fn read(&mut self, bytes: &[u8], most: usize) -> Result<Option<usize>, Malformed> {
        loop {
            if self.part == Part::Begin {
                self.read_usual(bytes, most);
                let Some(&byte) = bytes.get(self.at) else { return Ok(None) };
                self.begin_line(byte, most)?;
            }
            if self.part == Part::Name {
                let (at, is_plain) = name_end(bytes, self.at);
                self.at = at;
                self.is_plain &= is_plain;
                match bytes.get(at) {
                    None => return Ok(None),
                    Some(b':') if at > self.name => (self.colon, self.part) = (at, Part::Before),
                    Some(&byte) if is_space(byte) => return Err(Malformed::SpaceBeforeColon),
                    Some(_) => return Err(Malformed::FieldName),
                }
                self.at = at + 1;
            }
            if self.part == Part::Before {
                while bytes.get(self.at).is_some_and(|&byte| is_space(byte)) {
                    self.at += 1;
                }
                if self.at == bytes.len() {
                    return Ok(None);
                }
                (self.value, self.part) = (self.at, Part::Value);
            }
            if self.part == Part::Value {
                self.at = text_end(bytes, self.at);
                match bytes.get(self.at) {
                    None => return Ok(None),
                    Some(b'\r') => self.part = Part::LineFeed,
                    Some(b'\n') => return Err(Malformed::BareLineFeed),
                    Some(_) => return Err(Malformed::FieldValue),
                }
                self.at += 1;
            }
            match bytes.get(self.at) {
                None => return Ok(None),
                Some(b'\n') => {}
                Some(_) => return Err(Malformed::BareCarriageReturn),
            }
            self.at += 1;
            if self.part == Part::LastLineFeed {
                return Ok(Some(self.at));
            }
            self.push(bytes);
            self.part = Part::Begin;
        }
    }

    /// Reads lines that are there as a whole and written as nearly all are. What is not, or may not be, is
    /// left to who goes from part to part.
    fn read_usual(&mut self, bytes: &[u8], most: usize) {
        while self.list.len() < most
            && let Some(line) = usual(bytes, self.at)
        {
            line.id.into_iter().for_each(|id| self.known.note(id));
            self.at = line.end as usize;
            self.list.push(line);
        }
    }

    fn begin_line(&mut self, byte: u8, most: usize) -> Result<(), Malformed> {
        match byte {
            b'\r' => {
                self.part = Part::LastLineFeed;
                self.at += 1;
            }
            b'\n' => return Err(Malformed::BareLineFeed),
            _ if is_space(byte) => return Err(Malformed::Fold),
            _ if self.list.len() >= most => return Err(Malformed::TooManyFields),
            _ => (self.name, self.is_plain, self.part) = (self.at, true, Part::Name),
        }
        Ok(())
    }

    /// The line that ends before `at`.
    fn push(&mut self, bytes: &[u8]) {
        let value = &bytes[self.value..self.at - 2];
        let length = value.iter().rposition(|&byte| !is_space(byte)).map_or(0, |last| last + 1);
        let id = FieldId::of_line(&bytes[self.name..self.colon]);
        id.into_iter().for_each(|id| self.known.note(id));
        // A head has less than 2³² bytes.
        self.list.push(Line {
            id,
            is_plain: self.is_plain,
            name: self.name as u32,
            colon: self.colon as u32,
            value: self.value as u32,
            value_end: (self.value + length) as u32,
            end: self.at as u32,
        });
    }
}
