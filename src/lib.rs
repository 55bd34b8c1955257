//! rhumb: a map proxy and tile cache as one native daemon.
//!
//! The rooms, in the order in which a request meets them; who may use whom is
//! a table in `tests/tidy.rs`.

pub mod auth; // who asks, and what he may see
pub mod cache; // where a tile is kept
pub mod cli; // what a person types
pub mod conf; // YAML → checked configuration
pub mod geo; // extents, systems, grids, coverages: pure maths
pub mod master; // one process, one thread, no requests
pub mod plan; // a query → which tiles, from where, in what order
pub mod render; // pixels
pub mod seed;
pub mod service; // messages → queries, results → responses
pub mod source; // whom we ask
pub mod wire; // bytes ⇄ messages, pure
pub mod worker; // one process, one event loop, render threads // many tiles with no client

pub mod app; // the wiring closet: configuration → live services
pub mod board; // shared-memory scoreboard
pub mod log; // one write per line
pub mod story; // what happened to one request, for logs and counters
pub mod sys; // thin safe skin over the kernel
