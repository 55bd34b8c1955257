//! A cache as a layer: level choice, tiles under a map, drawing from them.
