//! Whether notices arrive: who is to be told in, what each target answered out.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};

use super::answer::{OptionalBody, by, given};
use super::guard::Caller;
use super::problem::Problem;
use super::{Admin, wire};
use crate::config::Severity;
use crate::notify::{Tried, tried};

/// How long answers are waited for: less than who asks has patience for. One call may take longer by its
/// `timeout`, and is then made to the end all the same.
const WITHIN: Duration = Duration::from_secs(10);

/// Sends a notice that is marked as a test to one target of notifications, or to all, whatever severity they want.
///
/// It goes through their queues before all others, and is tried once. For targets that have alerts it opens one
/// named PointsmanTest, which `over` closes.
#[utoipa::path(post, path = "/v1/notify/test", tag = "operations",
    request_body = Option<wire::TestNotice>, responses(
        (status = 200, description = "What each target answered", body = wire::NoticeTested),
        (status = 404, description = "No such target", body = Problem),
        (status = 409, description = "The file names no target", body = Problem),
        (status = 422, description = "No severity", body = Problem)))]
pub async fn test(
    State(admin): State<Admin>,
    caller: Caller,
    body: OptionalBody<wire::TestNotice>,
) -> Result<Json<wire::NoticeTested>, Problem> {
    let wire::TestNotice { target, severity, over, author } = given(body)?;
    let author = by(&HeaderMap::new(), &caller, author, None, false)?.author;
    let severity = severity.as_deref().map_or(Ok(Severity::Low), str::parse);
    let severity = severity.map_err(|error: crate::config::SeverityError| {
        let detail = format!("severity: {error}");
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-value", detail)
    })?;
    let who = admin.events.who(&admin.published.load());
    let moment = (admin.clock.wall_time(), (admin.clock.draw)());
    let notice = tried(who, moment, severity, author, over);
    let tried = admin.notifier.try_out(target.as_deref(), notice, WITHIN).await;
    match tried {
        None => {
            let target = target.unwrap_or_default();
            let detail = format!("no target of notifications is named `{target}`");
            Err(Problem::new(StatusCode::NOT_FOUND, "no-such-target", detail))
        }
        Some(tried) if tried.is_empty() => {
            let detail = "nobody is told of anything: the file has no [[notify]]";
            Err(Problem::new(StatusCode::CONFLICT, "no-target", detail))
        }
        Some(tried) => Ok(Json(wire::NoticeTested { targets: tried.iter().map(told).collect() })),
    }
}

fn told(tried: &Tried) -> wire::TestedTarget {
    wire::TestedTarget {
        target: tried.target.to_string(),
        form: tried.form.name().to_string(),
        taken: tried.heard.is_taken,
        status: tried.heard.status.map(|status| status.as_u16()),
        answer: tried.heard.answer.clone(),
    }
}
