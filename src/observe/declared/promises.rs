//! Releases and what is promised: revisions, rollouts, deploys, flags, objectives and budgets.

use super::group;

group! {
    ROLLOUTS: "Traffic, rollouts and deploys",
    "Who has the traffic, and how it moves. What was ordered by hand is among the events.";

    REVISION = Gauge "pointsman_service_revision" of "revisions" by [SERVICE]:
        "Number of the traffic state in force.";
    MODE = Gauge "pointsman_service_mode" of "modes" by [SERVICE]:
        "What the service does: 0 it serves, 1 it is held, 2 it is in maintenance.";
    FLAG_SHARE = Gauge "pointsman_flag_ratio" of "ratio" by [SERVICE, FLAG]:
        "Share of the service's clients that the flag is on for.";
    ROLLOUTS_ENDED = Counter "pointsman_rollouts_total" of "rollouts" by [SERVICE, ENDED]:
        "Rollouts that have ended since the start of the process, by how they did.";
    DEPLOYS_ENDED = Counter "pointsman_deploys_total" of "deploys" by [SERVICE, ENDED]:
        "Of the rollouts that have ended those that had put a version into their target first.";
    ROLLOUT_STATE = Gauge "pointsman_rollout_state" of "states" by [SERVICE]:
        "What the service's rollout does: 0 there is none, 1 it runs, 2 it is paused.";
    ROLLOUT_STEP = Gauge "pointsman_rollout_step" of "steps" by [SERVICE]:
        "Steps that the rollout under way has taken; 0 if there is none.";
    ROLLOUT_STEPS = Gauge "pointsman_rollout_steps" of "steps" by [SERVICE]:
        "Steps that the rollout under way has in all; 0 if there is none.";
    ROLLOUT_SHARE = Gauge "pointsman_rollout_share_ratio" of "ratio" by [SERVICE]:
        "Share of the service's traffic that the rollout under way has given its target.";
    AA_TRIALS = Gauge "pointsman_judge_aa_trials" of "trials" by [SERVICE]:
        "Trials of the A/A check that count: five minutes each, of an upstream as good as the rest.";
    AA_TAKEN_BACK = Gauge "pointsman_judge_aa_taken_back_ratio" of "ratio" by [SERVICE]:
        "Share of the trials that the judge would have taken back, by mistake; NaN without any.";
}

group! {
    OBJECTIVES: "Objectives and error budgets",
    "What services promise (`slo`), and how much may still fail.";

    SLO_STATE = Gauge "pointsman_slo_state" of "states" by [SERVICE]:
        "What error budgets and people let the service's rollouts do: 0 all, 1 start with an override only, 2 they are held, 3 they are frozen.";
    SLO_FAILED = Counter "pointsman_slo_failed_requests_total" of "requests" by [SERVICE, CAUSE]:
        "Failed requests that count for the objectives, by whether others contradict.";
    SLO_REMAINING = Gauge "pointsman_slo_budget_remaining_ratio" of "ratio" by [SERVICE, OBJECTIVE]:
        "Share of the error budget that is left; below 0 if more is spent.";
    SLO_BURN_RATE = Gauge "pointsman_slo_burn_rate" of "times" by [SERVICE, OBJECTIVE, WINDOW]:
        "Times the rate at which the error budget would just last; 0 for too few.";
    SLO_REQUESTS = Counter "pointsman_slo_requests_total" of "requests" by [SERVICE, OBJECTIVE]:
        "Requests that count for the objective.";
    SLO_BAD = Counter "pointsman_slo_bad_total" of "requests" by [SERVICE, OBJECTIVE]:
        "Of those that count for the objective the bad ones.";
}
