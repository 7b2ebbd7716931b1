//! A question to a Prometheus server: PromQL in, one number out.

use std::time::Duration;

use http::Uri;
use http::uri::InvalidUri;
use serde::Deserialize;

use super::call::{Caller, clean};
use crate::rollout::{Finished, MeasureError, Query};

/// For all of it.
const WITHIN: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct Reply {
    status: String,
    #[serde(default)]
    error: String,
    data: Option<Found>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Found {
    Scalar(Sample),
    Vector(Vec<Series>),
    Matrix(serde::de::IgnoredAny),
    String(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Series {
    value: Sample,
}

/// When, and the number as a text.
#[derive(Deserialize)]
struct Sample(#[allow(dead_code, reason = "the place of the time")] f64, String);

/// The number that a query has for its answer.
pub async fn measure(caller: &Caller, query: &Query) -> Result<Finished, MeasureError> {
    let url = address(query)?;
    let (status, body) = caller.get(url, WITHIN).await?;
    let answer = serde_json::from_slice::<Reply>(&body);
    let answer = answer.map_err(|_| MeasureError::Foreign(status))?;
    number(answer).map(Finished::Measured)
}

fn address(query: &Query) -> Result<Uri, MeasureError> {
    let base = query.url.trim_end_matches('/');
    let asked: String = query.query.bytes().map(encoded).collect();
    let url = format!("{base}/api/v1/query?query={asked}");
    let failed = |error: InvalidUri| {
        let (address, why) = (base.to_string(), error.to_string());
        MeasureError::Address { address, why }
    };
    url.parse().map_err(failed)
}

/// As in a query: letters and digits as they are, everything else by its number.
fn encoded(byte: u8) -> String {
    match byte {
        b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    }
}

fn number(answer: Reply) -> Result<f64, MeasureError> {
    if answer.status != "success" {
        return Err(MeasureError::Refused(clean(&answer.error)));
    }
    let value = match answer.data {
        Some(Found::Scalar(Sample(_, value))) => value,
        Some(Found::Vector(mut series)) => match (series.pop(), series.len()) {
            (Some(only), 0) => only.value.1,
            (None, _) => return Err(MeasureError::NoSeries),
            (Some(_), others) => return Err(MeasureError::ManySeries(others + 1)),
        },
        _ => return Err(MeasureError::NoNumber),
    };
    let number = value.parse::<f64>().ok().filter(|number| number.is_finite());
    number.ok_or_else(|| MeasureError::NotFinite(clean(&value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<f64, MeasureError> {
        number(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn one_number_is_an_answer() {
        let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1.5,"0.25"]}}"#;
        assert_eq!(read(scalar), Ok(0.25));
        let vector = r#"{"status":"success","data":{"resultType":"vector",
            "result":[{"metric":{"a":"b"},"value":[1.5,"3"]}]}}"#;
        assert_eq!(read(vector), Ok(3.0));
    }

    #[test]
    fn anything_else_is_none_and_says_why() {
        for (json, why) in [
            (r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#, "parse error"),
            (
                r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#,
                "the answer holds no series",
            ),
            (
                r#"{"status":"success","data":{"resultType":"vector","result":[
                    {"metric":{},"value":[1,"1"]},{"metric":{},"value":[1,"2"]}]}}"#,
                "the answer holds 2 series, not one",
            ),
            (
                r#"{"status":"success","data":{"resultType":"scalar","result":[1,"NaN"]}}"#,
                "the answer is NaN",
            ),
            (
                r#"{"status":"success","data":{"resultType":"string","result":[1,"a"]}}"#,
                "the answer is no number",
            ),
        ] {
            assert_eq!(read(json).unwrap_err().to_string(), why);
        }
    }

    #[test]
    fn a_query_survives_its_way_into_an_address() {
        let query = Query {
            url: "http://127.0.0.1:9090/".into(),
            query: "sum(rate(x{a=\"b c\"}[1m]))".into(),
            above: 1.0,
            interval: Duration::from_secs(1),
        };
        let url = address(&query).unwrap().to_string();
        let wanted = "http://127.0.0.1:9090/api/v1/query?query=\
                      sum%28rate%28x%7Ba%3D%22b%20c%22%7D%5B1m%5D%29%29";
        assert_eq!(url, wanted);
    }
}
