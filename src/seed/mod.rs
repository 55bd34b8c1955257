//! Many tiles with no client: the tiles of an area, level by level, made by
//! some threads. Exporting uses it; seeding comes with its own issue.

pub mod export;
mod walk;
