//! Pools and upstreams: who is well, who is asked, and what comes of it.

use super::group;

group! {
    POOLS: "Pools",
    "One version each: compare the stable one with the canary.";

    POOL_WEIGHT = Gauge "pointsman_pool_weight_ratio" of "ratio" by [SERVICE, POOL]:
        "Share of the service's traffic that the pool is set to get.";
    POOL_INFO = Gauge "pointsman_pool_info" of "pools" by [SERVICE, POOL, TAG]:
        "Always 1: which version a deploy has put into the pool.";
    POOL_AVAILABLE = Gauge "pointsman_pool_available_ratio" of "ratio" by [SERVICE, POOL]:
        "Share of the pool's upstreams that are well.";
    POOL_PANIC = Gauge "pointsman_pool_panic" of "pools" by [SERVICE, POOL]:
        "Whether no upstream is well: the fallback answers, or all are tried.";
    POOL_LATENCY = Gauge "pointsman_pool_latency_seconds" of "seconds" by [SERVICE, POOL, PERCENTILE]:
        "Time to the head of the pool's answers over the last minute, but for failures; NaN without any.";
    POOL_ATTEMPTS = Counter "pointsman_pool_attempts_total" of "attempts" by [SERVICE, POOL]:
        "Attempts at the pool's upstreams, and requests that nobody of it could be asked for.";
    POOL_FAILED_ATTEMPTS = Counter "pointsman_pool_failed_attempts_total" of "attempts" by [SERVICE, POOL]:
        "Of the pool's attempts those that failed, whatever the client got instead.";
    POOL_ONE_CLIENT = Counter "pointsman_pool_one_client_attempts_total" of "attempts" by [SERVICE, POOL]:
        "Of the failed attempts those that count for no breaker and no ejection: one client's.";
    POOL_HIGHEST_RATE = Gauge "pointsman_pool_highest_requests_per_second" of "requests" by [SERVICE, POOL]:
        "The highest rate of the last 28 days, over ten seconds.";
    POOL_HIGHEST_IN_FLIGHT = Gauge "pointsman_pool_highest_requests_in_flight" of "requests" by [SERVICE, POOL]:
        "The most requests that the pool held at once in the last 28 days.";
    POOL_HEAD_ROOM = Gauge "pointsman_pool_head_room_ratio" of "ratio" by [SERVICE, POOL]:
        "Share of what the pool can carry that is free now, as `pointsman capacity` tells it; below 0 if it has more. None until that is known.";
    POOL_HEAD_ROOM_LEFT = Gauge "pointsman_pool_head_room_without_largest_ratio" of "ratio" by [SERVICE, POOL]:
        "The same with the pool's largest upstream lost.";
    BREAKER_STATE = Gauge "pointsman_breaker_state" of "states" by [SERVICE, POOL, OF_UPSTREAM]:
        "What the breaker does: 0 closed, 1 half-open, 2 open; upstream \"\" for the pool's.";
    BREAKER_OPENED = Counter "pointsman_breaker_opened_total" of "openings" by [SERVICE, POOL, OF_UPSTREAM]:
        "Times that the breaker opened by itself; upstream \"\" for the pool's own.";
}

group! {
    UPSTREAMS: "Upstreams",
    "Rate, errors and duration of each, and how full it is.";

    UPSTREAM_REQUESTS = Counter "pointsman_upstream_requests_total" of "attempts" by [SERVICE, POOL, UPSTREAM, OUTCOME]:
        "Attempts at an upstream by how they ended.";
    UPSTREAM_DURATION = Histogram "pointsman_upstream_request_duration_seconds" of "seconds" by [SERVICE, POOL, UPSTREAM]:
        "Time from choosing an upstream to the end of its answer.";
    UPSTREAM_LATENCY = Gauge "pointsman_upstream_latency_seconds" of "seconds" by [SERVICE, POOL, UPSTREAM]:
        "Moving average of the time to a response's head; a failure weighs five seconds.";
    UPSTREAM_IN_FLIGHT = Gauge "pointsman_upstream_requests_in_flight" of "requests" by [SERVICE, POOL, UPSTREAM]:
        "Requests that the upstream holds now.";
    UPSTREAM_UP = Gauge "pointsman_upstream_up" of "upstreams" by [SERVICE, POOL, UPSTREAM]:
        "Whether the upstream is well: one that is not is asked for trials only, or when nobody is.";
    UPSTREAM_EJECTED = Gauge "pointsman_upstream_ejected" of "upstreams" by [SERVICE, POOL, UPSTREAM]:
        "Whether the upstream is out for failing in a row.";
    UPSTREAM_EJECTIONS = Counter "pointsman_upstream_ejections_total" of "ejections" by [SERVICE, POOL, UPSTREAM]:
        "Times that the upstream was taken out for failing in a row.";
    UPSTREAM_HEALTHY = Gauge "pointsman_upstream_healthy" of "upstreams" by [SERVICE, POOL, UPSTREAM]:
        "Whether the last health checks succeeded.";
    HEALTH_CHECKS = Counter "pointsman_health_checks_total" of "checks" by [SERVICE, POOL, UPSTREAM, PROBED]:
        "Health checks by result.";
    CONNECTIONS_OPENED = Counter "pointsman_upstream_connections_opened_total" of "connections" by [SERVICE, POOL, UPSTREAM]:
        "Connections opened.";
    CONNECTIONS_REUSED = Counter "pointsman_upstream_connections_reused_total" of "attempts" by [SERVICE, POOL, UPSTREAM]:
        "Attempts made on a kept connection.";
    CONNECTION_REUSE = Gauge "pointsman_upstream_connection_reuse_ratio" of "ratio" by [SERVICE, POOL, UPSTREAM]:
        "Share of attempts that found a kept connection, since the start.";
    NAME_RESOLVES = Gauge "pointsman_name_resolves" of "names" by [LOOKED_UP]:
        "Whether the last look-up of an upstream's name had an answer.";
}
