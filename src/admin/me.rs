//! Who asks: credentials in, name and rights out.

use axum::Json;

use super::guard::Caller;
use super::wire;

/// Who asks, and what it may ask for: what has no use for it need not be offered.
#[utoipa::path(get, path = "/v1/me", tag = "process",
    responses((status = 200, description = "Who asks", body = wire::Me)))]
pub async fn show(caller: Caller) -> Json<wire::Me> {
    Json(caller.described())
}
