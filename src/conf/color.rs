//! Colours as configurations write them.

use super::node::{Node, Value};
use crate::render::Color;

/// `#rrggbb[aa]`, `0xrrggbb[aa]` or a list of 3–4 numbers from 0 to 255.
/// Three digits (`#fff`) are not understood, as in MapProxy.
pub fn parse(node: &Node) -> Option<Color> {
    match &node.value {
        Value::Text(text) => parse_text(text),
        Value::List(items) if (3..=4).contains(&items.len()) => {
            let mut color = [255; 4];
            for (channel, item) in color.iter_mut().zip(items) {
                *channel = u8::try_from(item.int()?).ok()?;
            }
            Some(color)
        }
        _ => None,
    }
}

fn parse_text(text: &str) -> Option<Color> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let digits = digits.strip_prefix('#').unwrap_or(digits);
    if !(digits.len() == 6 || digits.len() == 8) || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut color = [255; 4];
    for (channel, at) in color.iter_mut().zip((0..digits.len()).step_by(2)) {
        *channel = u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?;
    }
    Some(color)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        let table: [(&str, Option<Color>); 10] = [
            ("'#FF0530'", Some([255, 5, 48, 255])),
            ("'0xff0530'", Some([255, 5, 48, 255])),
            ("'#FF053080'", Some([255, 5, 48, 128])),
            ("ff0530", Some([255, 5, 48, 255])),
            ("[1, 2, 3]", Some([1, 2, 3, 255])),
            ("[1, 2, 3, 0]", Some([1, 2, 3, 0])),
            ("[1, 2, 300]", None),
            ("'#fff'", None),
            ("'#é0530'", None),
            ("12", None),
        ];
        for (text, expected) in table {
            let (node, _) = super::super::node::parse(text.as_bytes(), 0).unwrap();
            assert_eq!(parse(&node), expected, "{text}");
        }
    }
}
