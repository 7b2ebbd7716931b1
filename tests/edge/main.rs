//! The edge as its users meet it: real sockets, real files, the real admin API.
//!
//! One binary, so that the crate is linked once. `harness/` holds the scripted origin, the edge on
//! a free port and a client that shows bytes as they come.

#![allow(clippy::unwrap_used, reason = "a test that finds nothing has found a failure")]

mod access_log;
mod acme;
mod activation;
mod admin;
mod admin_port;
mod admin_tls;
mod alerts;
mod allocations;
mod answers;
mod auth;
mod cli;
mod cohorts;
mod compression;
mod config_reload;
mod corpus;
mod dead_pools;
mod defects;
mod deploy;
mod deploy_chapter;
mod documented;
mod dying_part;
mod examples;
mod exhausted;
mod explained;
mod failing;
mod full_disk;
mod fuzzed;
mod hanging_disk;
mod harness;
mod headers;
mod http2;
mod judge_check;
mod judging;
mod lane;
mod limits;
mod logs;
mod included;
mod many_upgrades;
mod mirror;
mod outside;
mod rates;
mod proxy_header;
mod proxy_header_out;
mod rehearse;
mod roles;
mod rollouts;
mod rude_clients;
mod said;
mod route_actions;
mod routing;
mod shown;
mod standing;
mod state_files;
mod slo;
mod saved_files;
mod sites;
mod slow_clients;
mod soak;
mod source;
mod steady_load;
mod stopping;
mod sticky_rollout;
mod strategies;
mod supervised;
mod upgrade_streams;
mod upgrading;
mod tls;
mod traces;
mod upstreams;
mod waits;
mod who_may;
