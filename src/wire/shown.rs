//! What may be shown of foreign text, in messages and in logs.

/// Longest URL that is shown whole in a message.
const SHOWN_BYTES_MAX: usize = 1_000;

/// A URL for messages and logs: without credentials, without control
/// characters, not endless.
pub fn redact(url: &str) -> String {
    let shown = match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, tail) = split_authority(rest);
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            format!("{scheme}://{host}{tail}")
        }
        None => url.to_owned(),
    };
    clean(&shown, SHOWN_BYTES_MAX)
}

/// Foreign text for a message: one line, at most `bytes_max` long.
pub fn clean(text: &str, bytes_max: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(bytes_max));
    for c in text.chars() {
        if shown.len() + c.len_utf8() > bytes_max {
            shown.push('…');
            break;
        }
        shown.push(if c.is_control() { ' ' } else { c });
    }
    shown
}

/// Authority and the rest of what follows `//` in a URL.
pub fn split_authority(rest: &str) -> (&str, &str) {
    // As MapProxy: the slash decides, so that a password may hold `?`.
    match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => match rest.rfind('@').map_or(rest.find('?'), |at| rest[at..].find('?').map(|q| at + q)) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_show_no_credentials_and_no_line_breaks() {
        assert_eq!(redact("https://me:se@cr@et@h/p?q"), "https://h/p?q");
        assert_eq!(redact("https://me:secret@h"), "https://h");
        assert_eq!(clean("a\r\nb\0c", 100), "a  b c");
        assert_eq!(clean("äöü", 4), "äö…");
    }
}
