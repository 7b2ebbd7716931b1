//! What comes from the proxy: a thing to watch in; lines, events and what is wrong with the connection out,
//! for as long as somebody wants it.

use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::time::sleep;

use super::news::News;
use crate::admin::wire;
use crate::cli::Reach;
use crate::cli::api::{Api, ApiError, Call, segment};

/// So long without a line means that nobody is there: one comes each second.
const SILENCE: Duration = Duration::from_secs(6);

/// How soon somebody is looked for again at first, and at most.
const WAITS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(4)];

/// What is watched.
pub fn path(service: Option<&str>) -> String {
    match service {
        Some(service) => format!("/v1/live?service={}", segment(service)),
        None => "/v1/live".into(),
    }
}

/// Reads until nobody takes what it reads any more.
pub async fn watch(reach: Reach, service: Option<String>, news: Sender<News>) {
    let [first, most] = WAITS;
    let mut wait = first;
    loop {
        let (lost, has_come) = read(&reach, service.as_deref(), &news).await;
        if has_come {
            wait = first;
        }
        if news.send(News::Lost(service.clone(), lost)).await.is_err() {
            return;
        }
        sleep(wait).await;
        wait = (wait * 2).min(most);
    }
}

/// Reads lines until there are no more; why, and whether any came.
async fn read(reach: &Reach, service: Option<&str>, news: &Sender<News>) -> (ApiError, bool) {
    let api = Api(reach);
    let mut has_come = false;
    let ended = async {
        // Another process may know others, and let them do something else.
        let me: wire::Me = api.ask(Call::get("/v1/me")).await?;
        let _ = news.send(News::Me(me)).await;
        let mut lines = api.lines(&path(service), SILENCE).await?;
        while let Some(line) = lines.next::<wire::LiveLine>().await? {
            let is_whole = line.whole;
            let topic = service.map(str::to_string);
            let _ = news.send(News::Line(topic, Box::new(line))).await;
            if is_whole {
                // What happened before, and what a reader that was too slow has missed.
                let events = api.ask(Call::get("/v1/events?after=0")).await?;
                let _ = news.send(News::Events(events)).await;
            }
            has_come = true;
        }
        Err(ApiError::Unreachable {
            address: reach.admin.to_string(),
            error: "it has stopped".into(),
        })
    };
    let ended: Result<(), ApiError> = ended.await;
    let why = match ended {
        Err(error) => error,
        Ok(()) => ApiError::Open { detail: String::new() },
    };
    (why, has_come)
}
