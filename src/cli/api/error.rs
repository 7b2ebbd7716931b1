//! Why the admin API gave no answer, or not the one wished for; and what a script is told of that.

use http::StatusCode;

use crate::admin::wire::ConfigProblem;

/// Why there is no answer, or not the one wished for.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Nobody there.
    #[error(
        "cannot reach the admin API at {address}: {error}\nis `pointsman run` up? name another address with --admin"
    )]
    Unreachable {
        /// The address tried.
        address: String,
        /// What went wrong.
        error: String,
    },
    /// It says no.
    #[error("{detail}")]
    Refused {
        /// The status code.
        status: StatusCode,
        /// Why.
        detail: String,
        /// What is wrong with a config.
        problems: Vec<ConfigProblem>,
    },
    /// The token cannot be sent.
    #[error("{holder} {error}")]
    Token {
        /// What holds it: a file, a variable of the environment, a flag.
        holder: String,
        /// What is wrong with it.
        error: String,
    },
    /// A file of certificates or of a key cannot be used.
    #[error("{error}")]
    Files {
        /// What is wrong with which.
        error: String,
    },
    /// It was ordered, and what has become of it is not known.
    #[error(
        "the order was sent to {address}, but no answer came ({error}): it may be in force; look with `{look}`"
    )]
    Unanswered {
        /// The address asked.
        address: String,
        /// What came instead of an answer.
        error: String,
        /// The command that shows whether it is in force.
        look: String,
    },
    /// It says itself that it does not know yet what becomes of the order.
    #[error("{detail}")]
    Open {
        /// In its words.
        detail: String,
    },
    /// It says something else.
    #[error("{address} does not answer like an admin API: {error}")]
    Strange {
        /// The address asked.
        address: String,
        /// What is strange.
        error: String,
    },
}

impl ApiError {
    /// 69 unreachable, 6 ordered without an answer, 5 refused by circumstances that can change, 2 makes no sense, 1 any other no.
    pub fn exit_code(&self) -> u8 {
        match self {
            ApiError::Unreachable { .. } => 69,
            ApiError::Unanswered { .. } | ApiError::Open { .. } => 6,
            ApiError::Refused {
                status: StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED,
                ..
            } => 5,
            ApiError::Refused {
                status: StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST,
                problems,
                ..
            } if problems.is_empty() => 2,
            ApiError::Token { .. } | ApiError::Files { .. } => 2,
            ApiError::Refused { .. } | ApiError::Strange { .. } => 1,
        }
    }

    /// With the words of what was not done, where that is certain.
    pub fn unless_done(self, not_done: impl FnOnce() -> String) -> anyhow::Error {
        match self {
            ApiError::Unanswered { .. } | ApiError::Open { .. } => self.into(),
            known => anyhow::Error::new(known).context(not_done()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_called_undone_of_which_that_is_not_known() {
        let said = |error: ApiError| {
            let code = error.exit_code();
            (format!("{:#}", error.unless_done(|| "nothing was deployed".into())), code)
        };
        let (address, error) = ("a:1".to_string(), "refused".to_string());
        let (words, code) = said(ApiError::Unreachable { address, error });
        assert!(words.starts_with("nothing was deployed: cannot reach") && code == 69, "{words}");
        let (address, error) = ("a:1".to_string(), "closed".to_string());
        let look = "pointsman status shop".to_string();
        let (words, code) = said(ApiError::Unanswered { address, error, look });
        assert!(!words.contains("nothing was deployed") && code == 6, "{words}");
        assert!(words.contains("it may be in force; look with `pointsman status shop`"), "{words}");
        let (words, code) = said(ApiError::Open { detail: "not known yet".into() });
        assert_eq!((words.as_str(), code), ("not known yet", 6));
    }
}
