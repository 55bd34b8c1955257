//! "Did you mean …?": the known word that is nearest to a misspelt one.

/// The nearest candidate, if it is near enough to be meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer words bear more slips; beyond this length nobody mistypes a key.
    if word.chars().count() > 60 {
        return None;
    }
    let allowed = (word.chars().count() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(far, candidate)| *far <= allowed && *far < candidate.chars().count())
        .min_by_key(|(far, candidate)| (*far, candidate.len().abs_diff(word.len())))
        .map(|(_, candidate)| candidate)
}

/// ` (did you mean …?)`, or nothing.
pub fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

/// Edits between two words, a swap of neighbours counted as one; case,
/// hyphens and blanks do not count as much as letters.
fn distance(left: &str, right: &str) -> usize {
    let plain = |word: &str| -> Vec<char> {
        word.to_lowercase().chars().map(|c| if matches!(c, '-' | ' ') { '_' } else { c }).collect()
    };
    let (a, b) = (plain(left), plain(right));
    if a == b {
        return usize::from(left != right);
    }
    if a.len().abs_diff(b.len()) > 4 {
        return usize::MAX;
    }
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1; b.len() + 1];
        for j in 0..b.len() {
            let replaced = last[j] + usize::from(a[i] != b[j]);
            row[j + 1] = replaced.min(row[j] + 1).min(last[j + 1] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_not() {
        let known = ["sources", "grids", "meta_size", "meta_buffer", "format", "request_format", "cache"];
        for (word, expected) in [
            ("source", Some("sources")),
            ("soruces", Some("sources")),
            ("Grids", Some("grids")),
            ("meta-size", Some("meta_size")),
            ("metasize", Some("meta_size")),
            ("reqest_fromat", Some("request_format")),
            ("cahce", Some("cache")),
            ("colour", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
    }

    #[test]
    fn of_equally_near_words_the_one_as_long_is_meant() {
        assert_eq!(nearest("wtms", ["tms", "wmts"]), Some("wmts"));
    }

    #[test]
    fn long_words_cost_nothing() {
        assert_eq!(nearest(&"x".repeat(1_000_000), ["sources"]), None);
    }
}
