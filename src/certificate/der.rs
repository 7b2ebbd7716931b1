//! What a certificate is written in (X.690): bytes in, one element after the other out.

/// Elements that have not been read yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elements<'d>(&'d [u8]);

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element<'d> {
    pub tag: u8,
    /// What it holds.
    pub content: &'d [u8],
    /// With its tag and length.
    pub whole: &'d [u8],
}

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const OBJECT: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const TIME: u8 = 0x18;

impl<'d> Elements<'d> {
    pub fn of(bytes: &'d [u8]) -> Elements<'d> {
        Elements(bytes)
    }

    /// The next one; none at the end, and none of what is none.
    pub fn next(&mut self) -> Option<Element<'d>> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let length = match first {
            0..=0x7f => usize::from(first),
            // Certificates are no larger than four bytes can say.
            0x81..=0x84 => {
                let (digits, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
                rest = after;
                digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit))
            }
            _ => return None,
        };
        let (content, after) = rest.split_at_checked(length)?;
        let whole = &self.0[..self.0.len() - after.len()];
        self.0 = after;
        Some(Element { tag, content, whole })
    }

    /// The next one, which is of this kind.
    pub fn expect(&mut self, tag: u8) -> Option<Element<'d>> {
        self.next().filter(|element| element.tag == tag)
    }

    /// The next one if it is of this kind; else nothing is read.
    pub fn take(&mut self, tag: u8) -> Option<Element<'d>> {
        let before = *self;
        let found = self.expect(tag);
        if found.is_none() {
            *self = before;
        }
        found
    }
}

impl<'d> Element<'d> {
    /// What it holds, element by element.
    pub fn inside(&self) -> Elements<'d> {
        Elements(self.content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_off_is_no_element() {
        let whole = [SEQUENCE, 0x82, 0x00, 0x03, OCTETS, 0x01, 0xaa];
        let element = Elements::of(&whole).next().unwrap();
        assert_eq!(element.inside().expect(OCTETS).unwrap().content, [0xaa]);
        assert_eq!(element.whole, whole);
        for length in 0..whole.len() {
            assert_eq!(Elements::of(&whole[..length]).next(), None, "{length}");
        }
        for (bytes, why) in [
            (&[SEQUENCE, 0x80][..], "of no length"),
            (&[SEQUENCE, 0x85, 0, 0, 0, 0, 1, 0], "of a length of five bytes"),
            (&[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff], "longer than there is"),
        ] {
            assert_eq!(Elements::of(bytes).next(), None, "{why}");
        }
    }
}
