//! The token for the admin API, wherever it comes from: as it was given in, as it is sent out.
//!
//! What reads secrets from files and keeps them in variables adds line ends that nobody sees, so blanks
//! at the ends are no part of a token. What is wrong with one is said without showing it.

use std::path::Path;

use super::ApiError;
use crate::cli::Reach;

/// The variable of the environment that may hold it.
const VARIABLE: &str = "POINTSMAN_TOKEN";

/// The token that was given, if one was. One that is empty was not.
///
/// # Errors
///
/// [`ApiError::Token`] if it cannot be sent, or its file not be read.
pub(super) fn given(reach: &Reach) -> Result<Option<String>, ApiError> {
    let plain = reach.token.as_deref().map(str::trim_ascii).filter(|token| !token.is_empty());
    match (plain, &reach.token_file) {
        (Some(token), _) => {
            let of_environment = std::env::var(VARIABLE).is_ok_and(|set| reach.token == Some(set));
            let holder = if of_environment { VARIABLE } else { "--token" };
            let wrong = |error: String| ApiError::Token { holder: holder.into(), error };
            checked(token).map(Some).map_err(wrong)
        }
        (None, Some(file)) => in_file(file).map(Some),
        (None, None) => Ok(None),
    }
}

/// A token without what stands around it, if it can be sent.
fn checked(token: &str) -> Result<String, String> {
    let wrong = match token.chars().find(|c| !c.is_ascii_graphic()) {
        None => return Ok(token.to_string()),
        Some('\n' | '\r') => "a line break",
        Some(' ' | '\t') => "a blank",
        Some(c) if c.is_ascii() => "a control character",
        Some(_) => "a character outside ASCII",
    };
    Err(format!("holds {wrong} within the token, which no token has"))
}

/// The token in the first line of a file that has one.
fn in_file(path: &Path) -> Result<String, ApiError> {
    let holder = || format!("the token file {}", path.display());
    let failed = |error: String| ApiError::Token { holder: holder(), error };
    let text = std::fs::read_to_string(path)
        .map_err(|error| failed(format!("cannot be read: {error}")))?;
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let token = line.rsplit_once(": ").map_or(line, |(_, token)| token).trim_ascii();
    match token {
        "" => Err(failed("holds no token".into())),
        token => checked(token).map_err(failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_the_first_line_alone_or_behind_its_name() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("token");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            in_file(&file).map_err(|error| error.exit_code())
        };
        assert_eq!(read("0123456789abcdef\n"), Ok("0123456789abcdef".into()));
        assert_eq!(read("\nci: 0123456789abcdef\r\nann: x"), Ok("0123456789abcdef".into()));
        assert_eq!((read(""), read("two words\n")), (Err(2), Err(2)));
        assert!(in_file(&folder.path().join("none")).unwrap_err().to_string().contains("none"));
    }

    #[test]
    fn what_cannot_be_sent_is_named_and_not_shown() {
        assert_eq!(checked("0123456789abcdef"), Ok("0123456789abcdef".into()));
        for (token, named) in [
            ("secret\nsecret", "a line break"),
            ("secret\rsecret", "a line break"),
            ("two words", "a blank"),
            ("secret\u{1}", "a control character"),
            ("gr\u{f6}\u{df}e", "a character outside ASCII"),
        ] {
            let error = checked(token).unwrap_err();
            assert!(error.contains(named) && !error.contains("secret"), "{error}");
        }
    }
}
