//! The labels, each with what its values are.

use super::Label;

const fn label(name: &'static str, meaning: &'static str) -> Label {
    Label { name, meaning }
}

pub const SERVICE: Label = label("service", "the service");
pub const POOL: Label = label("pool", "the pool");
pub const UPSTREAM: Label =
    label("upstream", "the upstream's address; those of `server.metric_labels` come beside it");

/// Where something is of a request, which may be no service's.
pub const OF_SERVICE: Label = label(
    "service",
    "the service; `_unmatched` if no route wanted it, `_redirect` or `_answer` if its route did it itself",
);
pub const OF_POOL: Label = label("pool", "the pool; empty if no pool was to have it");
/// Where something is of an upstream or of a pool as a whole.
pub const OF_UPSTREAM: Label = label("upstream", "the upstream; empty for the pool as a whole");

pub const CODE: Label = label(
    "code",
    "`1xx` to `5xx`; `client_gone` if the client went first; `error` without an answer",
);
pub const OUTCOME: Label = label("outcome", CODE.meaning);
pub const ROUTE: Label = label("route", "the route; empty for the limit of the service");
pub const BY: Label = label("by", "who said it: `password` or `service`");
pub const LET_IN: Label = label("outcome", "what was said: `passed`, `refused` or `failed`");
pub const FALLBACK: Label = label("kind", "`stale`, `pool` or `answer`");
pub const LIMIT: Label = label(
    "limit",
    "`in_flight`, `uploads`, `queue`, or `upstream_in_flight` for each of the upstreams",
);
pub const COPIED: Label = label("result", "`sent`, `dropped` or `failed`");
pub const COMPARED: Label =
    label("result", "`same`, or what differs first: `status`, `headers` or `body`");
pub const PERCENTILE: Label = label("percentile", "`0.5`, `0.9`, `0.95`, `0.99` or `0.999`");
pub const TAG: Label = label("tag", "what people call the version; may be empty");
pub const PROBED: Label = label("result", "`success` or `failure`");
pub const ENDED: Label =
    label("outcome", "`promoted`, `rolled-back`, `aborted`, `failed` or `superseded`");
pub const FLAG: Label = label("flag", "the flag");
pub const OBJECTIVE: Label = label("objective", "`availability`, or a percentile such as `p99`");
pub const WINDOW: Label = label("window", "`5m` to `3d`");
pub const CAUSE: Label = label("cause", "`one_client` or `other`");
pub const LISTENER: Label = label("listener", "the address that is listened on");
pub const HANDSHAKE: Label = label("result", "`full`, `resumed`, or why there was none");
pub const LIMITED: Label = label("reason", "which limit: `per_client`, `memory`, `body_rate`, …");
pub const CERTIFICATE: Label = label("certificate", "the file; its names if it has none");
pub const NAME: Label = label("name", "the name that it is for");
pub const ORDERED: Label = label("result", "`issued` or `failed`");
pub const LOOKED_UP: Label = label("name", "the upstream's name");
pub const RELOADED: Label = label("result", "`success` or `refused`");
pub const STORED: Label = label("result", "`success` or `failure`");
pub const REASON: Label = label("reason", "the cause, as on error pages and in the access log");
pub const DID: Label = label("did", "what was done with it: `dropped` or `passed`");
pub const RULE: Label = label("rule", "the rule of `[automation]`");
pub const ACTION: Label =
    label("action", "what it did, such as `command` or `drain`; `escalate` for told");
pub const ACTED: Label = label("outcome", "`done`, `failed`, `unknown` or `dry-run`");
pub const TARGET: Label = label("target", "the name of the `[[notify]]`");
pub const TOLD: Label = label("result", "`sent`, `failed` (an attempt), `dropped` or `suppressed`");
pub const SPAN_DROPPED: Label =
    label("reason", "`no_room`, `keep_limit`, `queue_full`, `not_taken`, `refused` or `stopped`");
pub const HAPPENED: Label = label("code", "what happened, such as `shifted` or `breaker-opened`");
pub const SEVERITY: Label = label("severity", "`low`, `medium`, `high` or `critical`");
pub const VERSION: Label = label("version", "the version");
