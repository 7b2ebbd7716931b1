//! The web page at the admin address: names of files in, their bytes out.
//!
//! Plain files as they are in `page/`: nothing builds them, and they ask nobody else for anything. They
//! are no secret and need no token; what they show, they ask the API for. No text that comes from
//! elsewhere can become script here: the policy lets nothing run but these files, and nothing make markup
//! of text.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::problem::Problem;

/// What a page may do: run and show what comes from here, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// One of its files.
struct File {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
    /// What changes with it.
    tag: String,
}

macro_rules! files {
    ($($name:literal $kind:ident,)*) => {
        [$(File::new($name, $kind, include_str!(concat!("page/", $name)))),*]
    };
}

static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    files! {
        "api.js" JS,
        "app.js" JS,
        "base.css" CSS,
        "capacity.js" JS,
        "colours.js" JS,
        "command.js" JS,
        "config.js" JS,
        "doctor.js" JS,
        "dom.js" JS,
        "events.js" JS,
        "evidence.js" JS,
        "explain.js" JS,
        "happened.js" JS,
        "history.js" JS,
        "icon.svg" SVG,
        "incidents.js" JS,
        "index.html" HTML,
        "live.js" JS,
        "main.js" JS,
        "modes.js" JS,
        "once.js" JS,
        "order.js" JS,
        "overview.js" JS,
        "plots.js" JS,
        "pools.js" JS,
        "rollout.js" JS,
        "route.js" JS,
        "service.js" JS,
        "split.js" JS,
        "states.js" JS,
        "texts.js" JS,
        "uplot.css" CSS,
        "uplot.js" JS,
        "uplot.licence.txt" TEXT,
        "views.css" CSS,
        "why.js" JS,
        "words.js" JS,
    }
    .into()
});

impl File {
    fn new(name: &'static str, kind: &'static str, text: &'static str) -> File {
        let hash = Sha256::digest(text.as_bytes());
        let tag: String = hash[..12].iter().map(|byte| format!("{byte:02x}")).collect();
        File { name, kind, text, tag: format!("\"{tag}\"") }
    }
}

/// The page itself.
pub async fn front(headers: HeaderMap) -> Response {
    give("index.html", &headers)
}

/// What it is made of.
pub async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    give(&name, &headers)
}

fn give(name: &str, headers: &HeaderMap) -> Response {
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        let detail = "the page has no such file";
        return Problem::new(StatusCode::NOT_FOUND, "no-path", detail).into_response();
    };
    let fields: [(HeaderName, &str); 9] = [
        (header::CONTENT_TYPE, file.kind),
        (header::ETAG, &file.tag),
        // Always asked for, mostly not sent: after an upgrade nobody runs yesterday's page.
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    let is_known = headers.get_all(header::IF_NONE_MATCH).iter().any(|known| {
        let known = known.to_str().unwrap_or_default().split(',');
        known
            .map(|tag| tag.trim().trim_start_matches("W/"))
            .any(|tag| tag == file.tag || tag == "*")
    });
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Bytes::from_static(file.text.as_bytes()).into_response(),
    };
    for (name, value) in fields {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_of_the_folder_is_served_and_names_nothing_elsewhere() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/admin/page");
        let mut there: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        there.sort();
        let mut served: Vec<&str> = FILES.iter().map(|file| file.name).collect();
        served.sort_unstable();
        assert_eq!(there, served);
        for file in FILES.iter() {
            // What draws names who made it; nothing is fetched from there.
            let ours = !file.name.starts_with("uplot");
            let strange =
                ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("];
            for word in strange.into_iter().filter(|_| ours) {
                assert!(!file.text.contains(word), "{}: {word}", file.name);
            }
            let elsewhere = file.text.replace("http://www.w3.org/2000/svg", "");
            assert!(
                !ours
                    || !elsewhere.contains("://")
                    || ["explain.js", "command.js"].contains(&file.name),
                "{}",
                file.name
            );
        }
    }
}
