//! What operators do and are told: the config, the store, events, notices, the access log.

use super::group;

group! {
    CONFIG_AND_STORE: "Config and store",
    "Whether what is saved is in force, and what is ordered is kept.";

    RELOADS = Counter "pointsman_config_reloads_total" of "reloads" by [RELOADED]:
        "Reloads of the config by result.";
    LAST_RELOAD_SUCCESSFUL = Gauge "pointsman_config_last_reload_successful" of "reloads" by []:
        "Whether the last reload of the config took effect.";
    LAST_RELOAD_SUCCESS = Gauge "pointsman_config_last_reload_success_timestamp_seconds" of "seconds" by []:
        "Unix time of the last reload that took effect.";
    WAITS_FOR_RELOAD = Gauge "pointsman_config_waits_for_reload" of "files" by []:
        "Whether a file that was saved takes away what is in use, and waits for `pointsman reload`.";
    COMMANDS = Counter "pointsman_commands_total" of "commands" by []:
        "Orders, ends of tasks and addresses that the one writer has taken; reads are none.";
    STORE_WRITABLE = Gauge "pointsman_store_writable" of "stores" by []:
        "Whether revisions, rollouts and orders can be stored; while not, orders are refused.";
    STORE_QUEUE = Gauge "pointsman_store_queue" of "orders" by []:
        "Orders and decisions that wait for the disk, or for connect checks.";
    STORE_COMMITS = Counter "pointsman_store_commits_total" of "commits" by [STORED]:
        "Commits to the store by result; each may hold several orders and decisions.";
    STORE_COMMIT_DURATION = Histogram "pointsman_store_commit_duration_seconds" of "seconds" by []:
        "Time from handing a commit to the disk until it is known whether it is kept.";
}

group! {
    TOLD: "Events, notices, the access log and traces",
    "What happened, and whether those were told who want to know.";

    EVENTS = Counter "pointsman_events_total" of "events" by [HAPPENED, SEVERITY]:
        "Events since the start of the process. Those that have not happened have no series.";
    INCIDENTS = Gauge "pointsman_incidents_open" of "incidents" by [SEVERITY]:
        "Incidents that are open.";
    ALERTS_FIRING = Gauge "pointsman_alerts_firing" of "alerts" by []:
        "Alerts of others that fire, as they were told of by `POST /v1/alerts`.";
    NOTIFICATIONS = Counter "pointsman_notifications_total" of "notices" by [TARGET, TOLD]:
        "Notifications taken, given up or suppressed as repetitions, and failed attempts.";
    NOTIFICATIONS_WAITING = Gauge "pointsman_notifications_waiting" of "notices" by [TARGET]:
        "Notifications that wait to be told.";
    ACCESS_LOG_LINES = Counter "pointsman_access_log_lines_total" of "lines" by []:
        "Lines of the access log that were written.";
    ACCESS_LOG_DROPPED = Counter "pointsman_access_log_dropped_total" of "lines" by []:
        "Lines of the access log for which there was no room, or which its place did not take.";
    SPANS_SENT = Counter "pointsman_spans_sent_total" of "spans" by []:
        "Spans that a collector of traces has taken.";
    SPANS_DROPPED = Counter "pointsman_spans_dropped_total" of "spans" by [SPAN_DROPPED]:
        "Spans of requests that were to be told of and were not, by why.";
}

group! {
    AUTOMATION: "Automation",
    "What is done by itself, and whether it is stopped.";

    AUTOMATION_ACTS = Counter "pointsman_automation_acts_total" of "acts" by [RULE, ACTION, ACTED]:
        "Acts of rules that have ended since the start of the process. Those that have not happened have no series.";
    AUTOMATION_STOPPED = Gauge "pointsman_automation_stopped" of "automations" by []:
        "Whether all rules of the automation are stopped; only where the file has rules.";
}
