//! How full it is: limits and queues, connections, and the process itself.

use super::group;

group! {
    LIMITS: "Limits and queues",
    "How full services are, and who is turned away. Beside each limit what counts towards it: `pointsman_service_requests_in_flight` less `…_sending`.";

    LIMIT_OF_SERVICE = Gauge "pointsman_service_limit_requests" of "requests" by [SERVICE, LIMIT]:
        "Requests that a limit of the service lets in at once.";
    POOL_LIMIT = Gauge "pointsman_pool_limit" of "requests" by [SERVICE, POOL]:
        "Requests that the pool may hold, by its latency.";
    QUEUE_LENGTH = Gauge "pointsman_service_queue_length" of "requests" by [SERVICE]:
        "Requests that wait for a place or for the end of a hold.";
    QUEUE_REFUSED = Counter "pointsman_queue_refused_total" of "requests" by [SERVICE]:
        "Requests that found the queue full.";
    SHED = Counter "pointsman_shed_total" of "requests" by [SERVICE]:
        "Requests refused because too many were under way.";
    THROTTLED = Counter "pointsman_throttled_total" of "requests" by [SERVICE, POOL]:
        "Requests refused to spare a pool that refuses.";
    RATE_LIMITED = Counter "pointsman_rate_limited_total" of "requests" by [SERVICE, ROUTE]:
        "Requests refused because their client had sent too many; route \"\" for the service's own limit.";
}

group! {
    CONNECTIONS: "Connections and TLS",
    "Clients' connections, handshakes and certificates.";

    CONNECTIONS_OPEN = Gauge "pointsman_connections_open" of "connections" by [LISTENER]:
        "Client connections open now.";
    CONNECTIONS_LIMIT = Gauge "pointsman_connections_limit" of "connections" by []:
        "Client connections that may be open at once, over all listeners: by the config, or as many as there are descriptors for.";
    CONNECTIONS_ACCEPTED = Counter "pointsman_connections_accepted_total" of "connections" by [LISTENER]:
        "Client connections accepted.";
    CONNECTIONS_REFUSED = Counter "pointsman_connections_refused_total" of "connections" by [LISTENER]:
        "Client connections closed at once: too many were open, or accepting failed.";
    ACCEPTS_FAILED = Counter "pointsman_accepts_failed_total" of "attempts" by [LISTENER]:
        "Times that accepting failed for lack of descriptors or memory.";
    CONNECTIONS_LIMITED = Counter "pointsman_connections_limited_total" of "connections" by [LIMITED]:
        "Client connections that a limit has refused or ended, by which.";
    HANDSHAKES = Counter "pointsman_tls_handshakes_total" of "handshakes" by [LISTENER, HANDSHAKE]:
        "Handshakes of TLS by how they ended: `full` and `resumed` are good.";
    CERTIFICATE_EXPIRY = Gauge "pointsman_certificate_expiry_timestamp_seconds" of "seconds" by [CERTIFICATE, NAME]:
        "When a certificate expires, in seconds since the epoch.";
    CERTIFICATE_ORDERS = Counter "pointsman_certificate_orders_total" of "orders" by [NAME, ORDERED]:
        "Orders for certificates at authorities, by how they ended.";
}

group! {
    PROCESS: "The process",
    "Utilisation, saturation and errors of workers, memory and descriptors. The names without `pointsman` are those of Prometheus's own libraries.";

    BUILD_INFO = Gauge "pointsman_build_info" of "processes" by [VERSION]:
        "What is running; always 1.";
    WORKERS = Gauge "pointsman_workers" of "threads" by []:
        "Threads that move requests.";
    WORKERS_BUSY = Counter "pointsman_workers_busy_seconds_total" of "seconds" by []:
        "Time that workers were not waiting for anything, all together.";
    TASKS = Gauge "pointsman_tasks" of "tasks" by []:
        "Tasks that the workers have: connections, streams and what goes with them.";
    LAG = Gauge "pointsman_event_loop_lag_seconds" of "seconds" by []:
        "Longest that a ready task waited for a worker in the last 10 s; 2 ms are the timer's.";
    LAG_SAMPLED = Histogram "pointsman_event_loop_lag_sampled_seconds" of "seconds" by []:
        "How long a ready task waited for a worker, sampled ten times a second.";
    MEMORY_LIMIT = Gauge "pointsman_memory_limit_bytes" of "bytes" by []:
        "What the process may have of memory, by its config or its cgroup.";
    MEMORY_USED = Gauge "pointsman_memory_used_bytes" of "bytes" by []:
        "What is used of that.";
    REMEMBERED = Gauge "pointsman_remembered_bytes" of "bytes" by []:
        "Memory taken by the last requests, which `server.remember` bounds.";
    NOT_REMEMBERED = Counter "pointsman_requests_not_remembered_total" of "requests" by []:
        "Requests that are not remembered because somebody was reading those that are.";
    START_TIME = Gauge "process_start_time_seconds" of "seconds" by []:
        "Unix time of the process's start.";
    CPU = Counter "process_cpu_seconds_total" of "seconds" by []:
        "CPU time used, user and system.";
    OPEN_FDS = Gauge "process_open_fds" of "descriptors" by []:
        "Open file descriptors.";
    MAX_FDS = Gauge "process_max_fds" of "descriptors" by []:
        "Most file descriptors that may be open.";
    RESIDENT_MEMORY = Gauge "process_resident_memory_bytes" of "bytes" by []:
        "Memory in RAM.";
    VIRTUAL_MEMORY = Gauge "process_virtual_memory_bytes" of "bytes" by []:
        "Memory mapped.";
    THREADS = Gauge "process_threads" of "threads" by []:
        "Threads of the operating system.";
}
