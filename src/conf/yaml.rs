//! YAML as PyYAML reads it, over the events of unsafe-libyaml; every node keeps its place.
