//! Standard output: texts in, printed; or the end of the process where that cannot be done.
//!
//! A reader that has seen enough (`| head`) has lost nothing. Any other failure means that something is
//! missing in what was to be kept, such as an export on a full disk: that is said, and the exit code is 1.

use std::io::{self, ErrorKind, Write};
use std::process;

/// Prints a text and a line end.
pub(super) fn print(text: &str) {
    let mut out = io::stdout();
    // What is buffered is not printed yet, and no flush at the end of a process tells anybody.
    or_end(writeln!(out, "{text}").and_then(|()| out.flush()));
}

/// Ends the process if this could not be printed.
pub(super) fn or_end(printed: io::Result<()>) {
    let Err(error) = printed else { return };
    match complaint(&error) {
        None => process::exit(0),
        Some(words) => {
            // Nobody may hear this either.
            let _ = writeln!(io::stderr(), "pointsman: {words}");
            process::exit(1);
        }
    }
}

/// What is said of a text that was not printed; nothing if nobody wants more of it.
fn complaint(error: &io::Error) -> Option<String> {
    match error.kind() {
        ErrorKind::BrokenPipe => None,
        _ => Some(format!("cannot write to standard output: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_reader_that_has_gone_is_passed_over() {
        let said = |kind: ErrorKind| complaint(&kind.into());
        assert_eq!(said(ErrorKind::BrokenPipe), None);
        for kind in [ErrorKind::StorageFull, ErrorKind::WriteZero, ErrorKind::Other] {
            let words = said(kind).unwrap();
            assert!(words.starts_with("cannot write to standard output: "), "{words}");
        }
    }
}
