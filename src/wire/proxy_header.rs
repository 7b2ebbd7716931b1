//! What a proxy says of who it speaks for before it says anything else: the header of the PROXY protocol,
//! version 1 or 2, in, the ends of that client's connection out.
//!
//! Read byte for byte as far as it goes and no farther: what is behind it is the client's own.
//! (The PROXY protocol, versions 1 and 2, 2020-03-05, sections 2.1 and 2.2.)

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::http::forwarded::Ends;
use crate::upstream::SIGNATURE;

/// The longest line of version 1, with its end.
const LONGEST_LINE: usize = 107;

/// The longest rest of version 2 that is taken: addresses and what may be said beside them.
const LONGEST_REST: usize = 4 * 1024;

/// Reads the header; the ends of the client's connection if it says any. What a proxy says for itself, as when it looks
/// whether we are there, says none.
///
/// # Errors
///
/// `InvalidData` for what is no such header, or that of the connection.
pub(crate) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Ends>> {
    let mut first = [0; SIGNATURE.len()];
    from.read_exact(&mut first).await?;
    match first {
        SIGNATURE => version_2(from).await,
        _ => version_1(&first, from).await,
    }
}

async fn version_1(first: &[u8], from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Ends>> {
    let mut line = first.to_vec();
    if !line.starts_with(b"PROXY ") {
        return Err(no_header());
    }
    // Once a connection, and never past the line's end.
    while !line.ends_with(b"\r\n") {
        if line.len() == LONGEST_LINE {
            return Err(no_header());
        }
        line.push(from.read_u8().await?);
    }
    let text = std::str::from_utf8(&line[..line.len() - 2]).map_err(|_| no_header())?;
    let parts: Vec<&str> = text.split(' ').collect();
    let port = |text: &str| text.parse::<u16>().ok().filter(|_| !text.starts_with('+'));
    match parts[..] {
        ["PROXY", "UNKNOWN", ..] => Ok(None),
        ["PROXY", family, source, to, source_port, to_port] => {
            let end = |address: &str, number: &str| {
                let address = match family {
                    "TCP4" => address.parse().map(IpAddr::V4).ok(),
                    "TCP6" => address.parse().map(IpAddr::V6).ok(),
                    _ => None,
                };
                Some(SocketAddr::new(address?, port(number)?))
            };
            let ends = end(source, source_port).zip(end(to, to_port));
            ends.map(between).map(Some).ok_or_else(no_header)
        }
        _ => Err(no_header()),
    }
}

async fn version_2(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Ends>> {
    let (version, family, length) =
        (from.read_u8().await?, from.read_u8().await?, usize::from(from.read_u16().await?));
    if version >> 4 != 2 || length > LONGEST_REST {
        return Err(no_header());
    }
    let mut rest = vec![0; length];
    from.read_exact(&mut rest).await?;
    match (version & 0xf, family) {
        // It speaks for itself.
        (0, _) => Ok(None),
        (1, 0x11 | 0x12) => {
            let &[a, b, c, d, e, f, g, h, ref ports @ ..] =
                rest.first_chunk::<12>().ok_or_else(no_header)?;
            let (from, to) = (Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(e, f, g, h));
            Ok(Some(at_ports(from.into(), to.into(), *ports)))
        }
        (1, 0x21 | 0x22) => {
            let end = |at: usize| {
                let octets = rest.get(at..).and_then(|rest| rest.first_chunk::<16>());
                octets.map(|octets| IpAddr::V6(Ipv6Addr::from(*octets)))
            };
            let ports = rest.get(32..).and_then(|rest| rest.first_chunk::<4>());
            let (from, to) = end(0).zip(end(16)).ok_or_else(no_header)?;
            Ok(Some(at_ports(from, to, *ports.ok_or_else(no_header)?)))
        }
        // For somebody without an address, as at a Unix socket.
        (1, 0x00 | 0x31 | 0x32) => Ok(None),
        _ => Err(no_header()),
    }
}

fn at_ports(from: IpAddr, to: IpAddr, [a, b, c, d]: [u8; 4]) -> Ends {
    let (from_port, to_port) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    between((SocketAddr::new(from, from_port), SocketAddr::new(to, to_port)))
}

fn between((source, destination): (SocketAddr, SocketAddr)) -> Ends {
    Ends { source: Some(source), destination: Some(destination) }
}

fn no_header() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no header of the PROXY protocol")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of these bytes, and how many of them are left.
    async fn of(bytes: &[u8]) -> Result<(Option<String>, usize), io::ErrorKind> {
        let mut from = bytes;
        let read = read(&mut from).await.map_err(|error| error.kind())?;
        let words = |ends: Ends| format!("{} {}", ends.source.unwrap(), ends.destination.unwrap());
        Ok((read.map(words), from.len()))
    }

    fn version_2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = (rest.len() as u16).to_be_bytes();
        [&SIGNATURE[..], &[0x20 | command, family], &length, rest, b"GET"].concat()
    }

    #[tokio::test]
    async fn a_line_says_whom_the_proxy_speaks_for() {
        let line = |line: &str| format!("{line}\r\nGET").into_bytes();
        let said = |address: &str| Ok((Some(address.to_string()), 3));
        assert_eq!(
            of(&line("PROXY TCP4 192.0.2.1 192.0.2.2 5 80")).await,
            said("192.0.2.1:5 192.0.2.2:80")
        );
        let v6 = "PROXY TCP6 2001:db8::1 ::1 5 80";
        assert_eq!(of(&line(v6)).await, said("[2001:db8::1]:5 [::1]:80"));
        assert_eq!(of(&line("PROXY UNKNOWN")).await, Ok((None, 3)));
        assert_eq!(of(&line("PROXY UNKNOWN 1 2 3 4")).await, Ok((None, 3)));
        for odd in [
            "PROXY TCP4 192.0.2.1 192.0.2.2 5",
            "PROXY TCP4 192.0.2.1 192.0.2.2 5 65536",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +5 80",
            "PROXY TCP4 2001:db8::1 ::1 5 80",
            "PROXY TCP4 192.0.2.1  192.0.2.2 5 80",
            "PROXY UDP4 192.0.2.1 192.0.2.2 5 80",
            "GET / HTTP/1.1",
        ] {
            assert_eq!(of(&line(odd)).await, Err(io::ErrorKind::InvalidData), "{odd}");
        }
        let long = format!("PROXY UNKNOWN {}", "x".repeat(100));
        assert_eq!(of(&line(&long)).await, Err(io::ErrorKind::InvalidData));
        assert_eq!(of(b"PROXY UNK").await, Err(io::ErrorKind::UnexpectedEof));
    }

    #[tokio::test]
    async fn so_do_bytes() {
        let v4 = [&[192, 0, 2, 1, 192, 0, 2, 2, 0, 5, 0, 80][..], &[4, 0, 1, 0]].concat();
        let said = |ends: &str| Ok((Some(ends.to_string()), 3));
        assert_eq!(of(&version_2(1, 0x11, &v4)).await, said("192.0.2.1:5 192.0.2.2:80"));
        let mut v6 = [0; 36];
        (v6[0], v6[15], v6[31], v6[33], v6[35]) = (0x20, 1, 9, 5, 80);
        assert_eq!(of(&version_2(1, 0x21, &v6)).await, said("[2000::1]:5 [::9]:80"));
        assert_eq!(of(&version_2(1, 0x21, &v6[..35])).await, Err(io::ErrorKind::InvalidData));
        assert_eq!(of(&version_2(0, 0x00, &[])).await, Ok((None, 3)));
        assert_eq!(of(&version_2(1, 0x31, &[0; 216])).await, Ok((None, 3)));
        for odd in [version_2(1, 0x11, &v4[..11]), version_2(2, 0x11, &v4), version_2(1, 0x41, &v4)]
        {
            assert_eq!(of(&odd).await, Err(io::ErrorKind::InvalidData), "{odd:?}");
        }
        let long = version_2(1, 0x11, &vec![0; LONGEST_REST + 1]);
        assert_eq!(of(&long).await, Err(io::ErrorKind::InvalidData));
    }
}
