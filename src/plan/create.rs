//! Missing tiles: single flight, lock, fetch, split, store.
