//! A body on its way to a client that takes it smaller: pieces in, bytes of a coding out.
//!
//! Who tells something bit by bit is heard bit by bit: what has been taken in goes out when nothing more is
//! at hand. Levels are those that keep up with a connection; windows are bounded, and so is the number of
//! coders: each lives as long as its client takes to read.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use brotli::CompressorWriter;
use flate2::Compression as Level;
use flate2::write::GzEncoder;
use zstd::stream::raw::CParameter;
use zstd::stream::write::Encoder as ZstdEncoder;

use crate::http::compression::Coding;

const GZIP: u32 = 5;
const BROTLI: u32 = 4;
const ZSTD: i32 = 3;

/// Bytes that are looked back at, as a power of two: 256 KiB. What takes in zstd need not take more than
/// 8 MiB (RFC 8878, 3.1.1.1.2), and little is gained beyond this.
const WINDOW: u32 = 18;

/// How much goes into brotli at once, in bytes.
const GATHERED: usize = 4 * 1024;

/// Bodies that are coded at once, in all: at 1 to 1.5 MB each less than 400 MB.
const MOST: usize = 256;

/// Where coders come from.
#[derive(Debug, Default)]
pub(super) struct Coders {
    live: Arc<AtomicUsize>,
}

/// One coder's place among those that there may be; given back on drop.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Coders {
    /// One of this coding; none while there are as many as there may be.
    pub fn make(&self, coding: Coding) -> io::Result<Coder> {
        let place = Place(self.live.clone());
        if self.live.fetch_add(1, Ordering::Relaxed) >= MOST {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        Coder::new(coding, place)
    }
}

/// The encoder of one body.
pub(super) struct Coder {
    encoder: Encoder,
    _place: Place,
    /// Something has been taken in that may not have come out.
    holds: bool,
}

enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Zstd(ZstdEncoder<'static, Vec<u8>>),
    /// It has ended.
    Over,
}

impl std::fmt::Debug for Coder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Coder(…)")
    }
}

impl Coder {
    fn new(coding: Coding, place: Place) -> io::Result<Coder> {
        let encoder = match coding {
            Coding::Gzip => Encoder::Gzip(GzEncoder::new(Vec::new(), Level::new(GZIP))),
            Coding::Brotli => {
                let writer = CompressorWriter::new(Vec::new(), GATHERED, BROTLI, WINDOW);
                Encoder::Brotli(Box::new(writer))
            }
            Coding::Zstd => {
                let mut encoder = ZstdEncoder::new(Vec::new(), ZSTD)?;
                encoder.set_parameter(CParameter::WindowLog(WINDOW))?;
                Encoder::Zstd(encoder)
            }
        };
        Ok(Coder { encoder, _place: place, holds: false })
    }

    /// Takes a piece in; what has come out so far goes into `out`.
    pub fn take(&mut self, piece: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        self.holds = true;
        match &mut self.encoder {
            Encoder::Gzip(encoder) => encoder.write_all(piece)?,
            Encoder::Brotli(encoder) => encoder.write_all(piece)?,
            Encoder::Zstd(encoder) => encoder.write_all(piece)?,
            Encoder::Over => {}
        }
        self.drain(out);
        Ok(())
    }

    /// All that was taken in comes out.
    pub fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        if !std::mem::take(&mut self.holds) {
            return Ok(());
        }
        match &mut self.encoder {
            Encoder::Gzip(encoder) => encoder.flush()?,
            Encoder::Brotli(encoder) => encoder.flush()?,
            Encoder::Zstd(encoder) => encoder.flush()?,
            Encoder::Over => {}
        }
        self.drain(out);
        Ok(())
    }

    /// The end of the body.
    pub fn end(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let rest = match std::mem::replace(&mut self.encoder, Encoder::Over) {
            Encoder::Gzip(encoder) => encoder.finish()?,
            Encoder::Brotli(encoder) => encoder.into_inner(),
            Encoder::Zstd(encoder) => encoder.finish()?,
            Encoder::Over => return Ok(()),
        };
        out.extend_from_slice(&rest);
        Ok(())
    }

    fn drain(&mut self, out: &mut Vec<u8>) {
        let made = match &mut self.encoder {
            Encoder::Gzip(encoder) => encoder.get_mut(),
            // It lends what is below it only to look at; the buffer is given back by `into_inner` alone.
            Encoder::Brotli(encoder) => encoder.get_mut(),
            Encoder::Zstd(encoder) => encoder.get_mut(),
            Encoder::Over => return,
        };
        out.append(made);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn coder(coding: Coding) -> Coder {
        Coders::default().make(coding).unwrap()
    }

    #[test]
    fn there_are_no_more_coders_than_there_may_be() {
        let coders = Coders::default();
        let mut made: Vec<_> = (0..MOST).map(|_| coders.make(Coding::Gzip).unwrap()).collect();
        for _ in 0..2 {
            assert_eq!(coders.make(Coding::Gzip).unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
        }
        // Each that goes makes room for one.
        made.truncate(MOST - 1);
        made.push(coders.make(Coding::Gzip).unwrap());
        assert!(coders.make(Coding::Gzip).is_err());
        drop(made);
        assert_eq!(coders.live.load(Ordering::Relaxed), 0);
    }

    fn read(coding: Coding, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        match coding {
            Coding::Gzip => drop(flate2::read::GzDecoder::new(bytes).read_to_end(&mut text)?),
            Coding::Brotli => drop(brotli::Decompressor::new(bytes, 4_096).read_to_end(&mut text)?),
            Coding::Zstd => drop(zstd::stream::read::Decoder::new(bytes)?.read_to_end(&mut text)?),
        }
        Ok(text)
    }

    #[test]
    fn what_comes_out_is_what_went_in() {
        for coding in Coding::ALL {
            let text: Vec<u8> =
                (0..20_000_u32).flat_map(|nth| (nth / 7).to_string().into_bytes()).collect();
            let (mut coder, mut out) = (coder(coding), Vec::new());
            text.chunks(5_000).for_each(|piece| coder.take(piece, &mut out).unwrap());
            coder.end(&mut out).unwrap();
            assert!(out.len() < text.len() / 2, "{coding:?}: {}", out.len());
            assert_eq!(read(coding, &out).unwrap(), text, "{coding:?}");
        }
    }

    #[test]
    fn what_was_taken_in_comes_out_when_it_is_asked_for() {
        for coding in Coding::ALL {
            let (mut coder, mut out) = (coder(coding), Vec::new());
            let mut whole = Vec::new();
            for nth in 0..3 {
                let piece = format!("data: {nth}\n\n");
                coder.take(piece.as_bytes(), &mut out).unwrap();
                coder.flush(&mut out).unwrap();
                whole.extend_from_slice(piece.as_bytes());
                // What is there of it can be read, though it has no end.
                let mut text = vec![0; whole.len()];
                let read = match coding {
                    Coding::Gzip => flate2::read::GzDecoder::new(&out[..]).read_exact(&mut text),
                    Coding::Brotli => brotli::Decompressor::new(&out[..], 1).read_exact(&mut text),
                    Coding::Zstd => {
                        zstd::stream::read::Decoder::new(&out[..]).unwrap().read_exact(&mut text)
                    }
                };
                read.unwrap_or_else(|error| panic!("{coding:?}: {error}"));
                assert_eq!(text, whole, "{coding:?}");
            }
            let before = out.len();
            coder.flush(&mut out).unwrap();
            assert_eq!(out.len(), before, "there is nothing more");
        }
    }

    #[test]
    fn a_body_of_nothing_has_an_end() {
        for coding in Coding::ALL {
            let (mut coder, mut out) = (coder(coding), Vec::new());
            coder.end(&mut out).unwrap();
            assert_eq!(read(coding, &out).unwrap(), b"", "{coding:?}");
        }
    }
}
