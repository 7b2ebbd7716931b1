//! A proxy that is asked again and again, and may be started anew meanwhile: an answer in, what to go on
//! with out.

use super::Reach;
use super::api::ApiError;

/// Whether the proxy is there.
#[derive(Debug, Default)]
pub(super) struct Away {
    has_been_reached: bool,
    is_away: bool,
}

/// What one look at the proxy has shown.
#[derive(Debug, PartialEq)]
pub(super) enum Seen<T> {
    /// An answer; the first after a while without one says so.
    Answer(T, Option<&'static str>),
    /// Nobody is there; said once.
    Nobody(Option<&'static str>),
}

impl Away {
    /// Whether nobody was there at the last look.
    pub fn is_away(&self) -> bool {
        self.is_away
    }

    /// Takes in an answer.
    ///
    /// # Errors
    ///
    /// What is wrong, if waiting does not help: a refusal, or an address at which nobody has been yet.
    pub fn see<T>(&mut self, answer: Result<T, ApiError>) -> Result<Seen<T>, ApiError> {
        match answer {
            // At first it may be the address that is wrong.
            Err(ApiError::Unreachable { .. }) if self.has_been_reached => {
                let was_away = std::mem::replace(&mut self.is_away, true);
                Ok(Seen::Nobody((!was_away).then_some("cannot be reached; trying again")))
            }
            Err(error) => Err(error),
            Ok(answer) => {
                self.has_been_reached = true;
                let was_away = std::mem::replace(&mut self.is_away, false);
                Ok(Seen::Answer(answer, was_away.then_some("is there again")))
            }
        }
    }
}

/// Says on standard error what became of the proxy.
pub(super) fn tell(reach: &Reach, said: Option<&str>) {
    if let Some(said) = said {
        eprintln!("{} {said}", reach.admin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_there_is_waited_for_and_that_is_said_once() {
        let gone = || -> Result<u8, ApiError> {
            Err(ApiError::Unreachable { address: "a:1".into(), error: "refused".into() })
        };
        let mut away = Away::default();
        assert!(away.see(gone()).is_err(), "the address may be wrong");
        assert_eq!(away.see(Ok(1)).unwrap(), Seen::Answer(1, None));
        assert!(matches!(away.see(gone()).unwrap(), Seen::Nobody(Some(_))));
        assert_eq!(away.see(gone()).unwrap(), Seen::Nobody(None));
        assert!(away.is_away());
        assert!(matches!(away.see(Ok(2)).unwrap(), Seen::Answer(2, Some(_))));
        assert_eq!(away.see(Ok(3)).unwrap(), Seen::Answer(3, None));
    }
}
