//! Chunked transfer coding, both ways.
