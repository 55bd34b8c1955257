//! One binary for all black-box tests: it links once, and every test starts
//! the real daemon in a directory of its own.

#[path = "../harness/mod.rs"]
#[allow(dead_code)] // a set of tools: features decide which of them a build uses
mod harness;

mod as_mapproxy;
mod auth;
mod auth_matrix;
#[cfg(feature = "peers")]
mod browser;
mod cache_faults;
#[cfg(feature = "peers")]
mod callbacks;
mod command_line;
mod control;
mod corpora;
mod crowd;
mod daemon_file;
