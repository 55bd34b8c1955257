//! The wiring closet: configuration → live services, layers, caches, sources.
