//! Limits of the wire, each with its unit in the name (reliability.md §2).
