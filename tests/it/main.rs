//! The gateway as a process, over real sockets: everything here talks to the built binary on a free port
//! of the loopback, with a real Redis where one is needed.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on should stop")]

mod support;

mod addresses;
mod admin;
mod auth;
mod balance;
mod breaker;
mod cli;
mod compression;
mod config;
mod corpus;
mod cors;
mod credentials;
mod discovery;
mod edges;
mod edits;
mod examples;
mod faults;
mod groups;
mod grpc;
mod handover;
mod headers;
mod health;
mod hostile;
mod hostile_h2;
mod http2;
mod ip_rules;
mod issuers;
mod keys;
mod limits;
mod lists;
mod log;
mod messages;
mod metrics;
mod mirror;
mod names;
mod odd;
mod outages;
mod paces;
mod permits;
mod policies;
mod process;
mod readme;
mod reload;
mod replicas;
mod resets;
mod retries;
mod routing;
mod rules;
mod scripts;
mod secrets;
mod secure;
mod security_headers;
mod slowness;
mod stats;
mod streams;
mod timeouts;
mod tls;
mod topologies;
mod unread;
mod upgrades;
mod verdicts;
