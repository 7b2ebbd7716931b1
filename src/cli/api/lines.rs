//! An answer that goes on: a path in, lines of JSON out, each when it comes.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{Api, ApiError, Call, LARGEST, Refusal, bare, is_gone, refused};

/// Lines that come one after the other.
pub struct Lines<'a> {
    api: &'a Api<'a>,
    body: Incoming,
    silence: Duration,
    /// What has come of lines that have not been given out.
    come: Vec<u8>,
    /// How much of it has no end of a line.
    looked: usize,
}

impl Api<'_> {
    /// Asks for lines. Without any for as long as `silence` nobody is there any more.
    ///
    /// # Errors
    ///
    /// As [`Api::ask`].
    pub async fn lines(&self, path: &str, silence: Duration) -> Result<Lines<'_>, ApiError> {
        let (caller, is_sent) = (self.caller()?, AtomicBool::new(false));
        let sent = timeout(silence, caller.exchange(Call::get(path), &is_sent)).await;
        let response = match sent {
            Ok(Ok(response)) => response,
            Ok(Err(error)) if is_gone(&error) => return Err(self.gone(format!("{error:#}"))),
            Ok(Err(error)) => return Err(self.strange(error)),
            Err(_) => return Err(self.gone(late(silence))),
        };
        let (status, mut body) = (response.status(), response.into_body());
        if status.is_success() {
            return Ok(Lines { api: self, body, silence, come: Vec::new(), looked: 0 });
        }
        let mut said = Vec::new();
        while let Ok(Some(Ok(frame))) = timeout(silence, body.frame()).await {
            said.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new()));
            if said.len() > LARGEST {
                break;
            }
        }
        Err(match refused(status, &said) {
            Refusal::Said(error) => error,
            Refusal::Open(detail) => ApiError::Open { detail },
            Refusal::Bare => bare(status),
        })
    }

    fn gone(&self, error: String) -> ApiError {
        ApiError::Unreachable { address: self.0.admin.to_string(), error }
    }
}

fn late(silence: Duration) -> String {
    format!("nothing came for {} s", silence.as_secs())
}

impl Lines<'_> {
    /// The next line; none once there are no more.
    ///
    /// # Errors
    ///
    /// [`ApiError::Unreachable`] once nobody is there any more, [`ApiError::Strange`] for what is no such line.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ApiError> {
        loop {
            let ends = self.come[self.looked..].iter().position(|byte| *byte == b'\n');
            if let Some(end) = ends.map(|at| self.looked + at) {
                let line: Vec<u8> = self.come.drain(..=end).collect();
                self.looked = 0;
                return self.api.read(&line).map(Some).map_err(|error| self.api.strange(error));
            }
            self.looked = self.come.len();
            if self.come.len() > LARGEST {
                return Err(self.api.strange("a line has no end"));
            }
            match timeout(self.silence, self.body.frame()).await {
                Ok(Some(Ok(frame))) => {
                    self.come.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new()));
                }
                Ok(Some(Err(error))) => return Err(self.api.gone(error.to_string())),
                Ok(None) => return Ok(None),
                Err(_) => return Err(self.api.gone(late(self.silence))),
            }
        }
    }
}
