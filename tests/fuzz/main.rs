//! The fuzzer: one program for all targets, `RHUMB_FUZZ` says which.

#![no_main]

use std::sync::LazyLock;

mod targets;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let wanted = std::env::var("RHUMB_FUZZ").unwrap_or_default();
    let found = targets::TARGETS.iter().find(|(name, _)| *name == wanted);
    let names = || targets::TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    found.unwrap_or_else(|| panic!("RHUMB_FUZZ must be one of {}", names())).1
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET(data));
