//! Lists of names in which `*` stands for anything, as the daemon's file has them.

/// Whether a name is among those listed, `*` standing for anything; none
/// listed means all.
pub fn names(patterns: &[String], name: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| fits(pattern, name))
}

fn fits(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(start) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (list, name, expected) in [
            (&[][..], "roads", true),
            (&["roads"], "roads", true),
            (&["roads"], "road", false),
            (&["ro*", "x"], "roads", true),
            (&["*s"], "roads", true),
            (&["r*a*s"], "roads", true),
            (&["r*x*s"], "roads", false),
            (&["*"], "", true),
            (&["a*a"], "a", false),
        ] {
            let list: Vec<String> = list.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(names(&list, name), expected, "{list:?} {name}");
        }
    }
}
