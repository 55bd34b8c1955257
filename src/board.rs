//! The scoreboard: one anonymous shared mapping, one writer for each word,
//! atomics only.

/// Fixed slots of counters, shared by master and workers.
pub struct Board {}
