//! A text with gaps that each request fills: `© City · {user} · {date}`.

/// What a gap is filled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    User,
    Date,
    Time,
    Map,
    Service,
    Layers,
    Srs,
    Bbox,
}

impl Gap {
    const ALL: [(&'static str, Gap); 8] = [
        ("user", Gap::User),
        ("date", Gap::Date),
        ("time", Gap::Time),
        ("map", Gap::Map),
        ("service", Gap::Service),
        ("layers", Gap::Layers),
        ("srs", Gap::Srs),
        ("bbox", Gap::Bbox),
    ];
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Gap(Gap),
}

/// A text and its gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caption(Vec<Part>);

impl Caption {
    /// Gaps stand in braces; `{{` and `}}` are braces themselves.
    ///
    /// # Errors
    /// A sentence about a gap that is unknown or not closed.
    pub fn parse(text: &str) -> Result<Caption, String> {
        let mut parts = Vec::new();
        let mut open = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            open.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                open.push_str(brace);
                rest = after;
                continue;
            }
            let end = rest.find('}').filter(|_| brace == "{");
            let Some(end) = end else {
                return Err(format!(
                    "`{brace}` without its other half; write `{brace}{brace}` for the brace itself"
                ));
            };
            let name = &rest[..end];
            let Some((_, gap)) = Gap::ALL.iter().find(|(known, _)| *known == name) else {
                let known: Vec<String> = Gap::ALL.iter().map(|(name, _)| format!("{{{name}}}")).collect();
                return Err(format!("unknown placeholder {{{name}}}; there are {}", known.join(", ")));
            };
            if !open.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut open)));
            }
            parts.push(Part::Gap(*gap));
            rest = &rest[end + 1..];
        }
        open.push_str(rest);
        if !open.is_empty() {
            parts.push(Part::Text(open));
        }
        Ok(Caption(parts))
    }

    /// The text with its gaps filled.
    pub fn fill(&self, mut value_of: impl FnMut(Gap) -> String) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Gap(gap) => value_of(*gap),
        };
        self.0.iter().map(part).collect()
    }

    /// Whether the text differs between people or moments, so that nobody may
    /// keep it for another.
    pub fn is_fleeting(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Gap(Gap::User | Gap::Date | Gap::Time)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_filled_and_braces_kept() {
        for (text, filled, is_fleeting) in [
            ("plain", "plain", false),
            ("", "", false),
            ("{{{layers}}} of {map}", "{<Layers>} of <Map>", false),
            ("{user}{date}", "<User><Date>", true),
            ("é {time}", "é <Time>", true),
        ] {
            let caption = Caption::parse(text).unwrap();
            assert_eq!(caption.fill(|gap| format!("<{gap:?}>")), filled, "{text}");
            assert_eq!(caption.is_fleeting(), is_fleeting, "{text}");
        }
        for (text, part) in [
            ("{usr}", "unknown placeholder {usr}; there are {user}"),
            ("{user", "`{` without its other half"),
            ("a } b", "`}` without its other half"),
            ("{}", "unknown placeholder {}"),
        ] {
            let error = Caption::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
