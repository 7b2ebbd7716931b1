//! One way to read a file: a path and a bound in, its bytes out.

use std::fs::{File, Metadata, metadata};
use std::io::{self, Read};
use std::path::Path;

/// The bytes of a regular file that has no more than `most`. Anything else is refused unread: a pipe
/// would keep whoever reads it waiting, and a device may never end.
pub(super) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    // Asked before it is opened too: to open a pipe waits for who writes it.
    check_size(&metadata(path)?, most)?;
    let file = File::open(path)?;
    check_size(&file.metadata()?, most)?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        // It grew meanwhile.
        true => Err(too_large(most)),
        false => Ok(bytes),
    }
}

/// Refuses what is no regular file of at most this many bytes.
fn check_size(file: &Metadata, most: u64) -> io::Result<()> {
    if file.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
    }
    if !file.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    if file.len() > most { Err(too_large(most)) } else { Ok(()) }
}

fn too_large(most: u64) -> io::Error {
    let size = match most >> 20 {
        0 => format!("{} KiB", most >> 10),
        mib => format!("{mib} MiB"),
    };
    io::Error::new(io::ErrorKind::FileTooLarge, format!("it holds more than {size}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::write;

    #[test]
    fn only_a_regular_file_within_the_bound_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        write(&file, "12345678").unwrap();
        assert_eq!(read(&file, 8).unwrap(), b"12345678");
        assert_eq!(read(&file, 7).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read(folder.path(), 8).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        let missing = read(&folder.path().join("none"), 8).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        // Never ends.
        assert_eq!(
            read(Path::new("/dev/zero"), 8).unwrap_err().to_string(),
            "it is no regular file"
        );
    }

    #[test]
    fn a_pipe_keeps_nobody_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        assert_eq!(read(&pipe, 8).unwrap_err().to_string(), "it is no regular file");
    }
}
