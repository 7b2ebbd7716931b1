//! How fields are compressed: h2spec's group `hpack`.

use super::super::frames::*;
use super::{Answer::*, Case};

pub fn cases() -> Vec<Case> {
    let broken = |name, before: &[u8], behind: &[u8]| {
        let block = [before, &request("GET"), behind].concat();
        Case::new(name).send(headers(1, END, &block)).then(Goaway(&[COMPRESSION]))
    };
    let name_70 = [&number(0x40, 6, 70)[..], b"\x04test"].concat();
    vec![
        broken("hpack/2.3.3/1: an index that there is not", b"", &number(0x80, 7, 70)),
        broken("hpack/2.3.3/2: a name's index that there is not", b"", &name_70),
        broken("hpack/4.2/1: the table's size at a block's end", b"", b"\x20\x3f\xe1\x1f"),
        broken(
            "hpack/5.2/1: padding of more than 7 bits",
            b"",
            b"\0\x85\xf2\xb2\x4a\x84\xff\x85\x9c\x48\xac\xa4\xff",
        ),
        broken(
            "hpack/5.2/2: padding of zeros",
            b"",
            b"\0\x85\xf2\xb2\x4a\x84\x80\x84\x9c\x48\xac\xa4",
        ),
        broken(
            "hpack/5.2/3: the end of a string within it",
            b"",
            b"\0\x85\xf2\xb2\x4a\x84\xff\x88\x9c\x48\xac\xa4\xff\xff\xff\xff",
        ),
        broken("hpack/6.1/1: index 0", b"", b"\x80"),
        broken("hpack/6.3/1: a table above its limit", &number(0x20, 5, 4097), b""),
    ]
}
