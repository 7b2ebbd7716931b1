//! A service's mode, for the verbs that set it.

use http::Method;

use super::Reach;
use super::api::{Api, Call, segment};
use crate::admin::wire;

/// Sets a service's mode.
pub(super) async fn set(
    reach: &Reach,
    service: &str,
    put: &wire::PutMode,
) -> anyhow::Result<wire::ModeSet> {
    let path = format!("/v1/services/{}/mode", segment(service));
    let call = Call::json(Method::PUT, &path, put);
    Api(reach).order(call, || format!("{service} was not changed")).await
}
