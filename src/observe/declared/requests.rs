//! What users see of it: rate, errors and durations; and what was tried again, elsewhere, or as a copy.

use super::group;

group! {
    REQUESTS_OF_CLIENTS: "Requests",
    "Rate, errors and duration, as clients see them. Exemplars name the trace of one request of each bucket.";

    REQUESTS = Counter "pointsman_requests_total" of "requests" by [OF_SERVICE, OF_POOL, CODE]:
        "Requests by how they ended for the client; pool \"\" for those that no pool was to have.";
    REQUEST_DURATION = Histogram "pointsman_request_duration_seconds" of "seconds" by [OF_SERVICE, OF_POOL]:
        "Time from the end of a request's head to the end of its answer, but for waits in line and at the door.";
    REQUEST_BYTES = Counter "pointsman_request_bytes_total" of "bytes" by [SERVICE]:
        "Bytes of the bodies that clients sent, counted when a request is over.";
    RESPONSE_BYTES = Counter "pointsman_response_bytes_total" of "bytes" by [SERVICE]:
        "Bytes of the bodies that clients got, counted when a request is over.";
    SERVICE_IN_FLIGHT = Gauge "pointsman_service_requests_in_flight" of "requests" by [SERVICE]:
        "Requests that the service holds now.";
    SERVICE_SENDING = Gauge "pointsman_service_requests_sending" of "requests" by [SERVICE]:
        "Of the requests that the service holds those whose bodies have yet to come: they count for no limit but their own.";
    REFUSED = Counter "pointsman_refused_total" of "requests" by [REASON]:
        "Requests that we answered ourselves.";
    AUTH = Counter "pointsman_auth_total" of "requests" by [BY, LET_IN]:
        "Requests that routes with `auth` asked for more than an address, by who said whether they come in and what. A password that was right a moment ago is not counted.";
    ODD_FIELD_NAMES = Counter "pointsman_odd_field_names_total" of "fields" by [DID]:
        "Fields whose names hold more than letters, digits and hyphens, let in.";
}

group! {
    TRIED_AGAIN: "Retries and fallbacks",
    "What clients were spared, and at what cost.";

    RETRIES = Counter "pointsman_retries_total" of "attempts" by [SERVICE]:
        "Attempts made again.";
    RETRIES_OVER_BUDGET = Counter "pointsman_retries_over_budget_total" of "attempts" by [SERVICE]:
        "Attempts not made again: too many were.";
    SHIELDED = Counter "pointsman_shielded_requests_total" of "requests" by [SERVICE, POOL]:
        "Requests that failed or were refused on the pool and were taken by the stable one.";
    FALLBACKS = Counter "pointsman_fallbacks_total" of "requests" by [SERVICE, FALLBACK]:
        "Requests answered from elsewhere: their pool was open or had nobody.";
    STALE_ENTRIES = Gauge "pointsman_stale_entries" of "responses" by [SERVICE]:
        "Responses kept for when no upstream can be asked.";
    STALE_BYTES = Gauge "pointsman_stale_bytes" of "bytes" by [SERVICE]:
        "Memory of the responses kept.";
    STALE_RECORDING_BYTES = Gauge "pointsman_stale_recording_bytes" of "bytes" by [SERVICE]:
        "Memory of responses that are being kept as they pass.";
}

group! {
    COPIES: "Mirrored requests",
    "Copies that a service sends to another pool, whose answers nobody gets.";

    MIRRORED = Counter "pointsman_mirrored_requests_total" of "requests" by [SERVICE, POOL, COPIED]:
        "Copies of requests by whether the pool answered them, or too many waited.";
    COMPARISONS = Counter "pointsman_mirror_comparisons_total" of "comparisons" by [SERVICE, POOL, COMPARED]:
        "Answers to copies compared with the live ones, by what differs first.";
}
