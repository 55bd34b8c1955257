//! Targets, queries, percent-encoding.
