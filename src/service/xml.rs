//! A small writer of XML: elements are opened, filled and closed in order,
//! everything from outside is escaped, characters that XML cannot hold are
//! left out. Numbers are written as MapProxy writes them.

pub use crate::geo::decimal::number;

/// Writes one document.
pub struct XmlWriter {
    text: String,
    open: Vec<&'static str>,
    /// Whether the start tag of the innermost element still lacks its `>`.
    in_tag: bool,
}

impl XmlWriter {
    /// A document that begins with the XML declaration.
    pub fn new() -> XmlWriter {
        let mut text = String::with_capacity(4096);
        text.push_str("<?xml version=\"1.0\"?>\n");
        XmlWriter { text, open: Vec::with_capacity(12), in_tag: false }
    }

    /// Puts text as it is between declaration and root (a DOCTYPE).
    pub fn prolog(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Opens an element; attributes may follow.
    pub fn open(&mut self, name: &'static str) -> &mut XmlWriter {
        self.end_tag();
        self.text.push('<');
        self.text.push_str(name);
        self.open.push(name);
        self.in_tag = true;
        self
    }

    /// An attribute of the element just opened.
    pub fn attribute(&mut self, name: &str, value: &str) -> &mut XmlWriter {
        debug_assert!(self.in_tag, "attribute {name} outside of a start tag");
        self.text.push(' ');
        self.text.push_str(name);
        self.text.push_str("=\"");
        escape_into(&mut self.text, value);
        self.text.push('"');
        self
    }

    /// Text within the innermost element.
    pub fn text(&mut self, text: &str) -> &mut XmlWriter {
        self.end_tag();
        escape_into(&mut self.text, text);
        self
    }

    /// Closes the innermost element.
    pub fn close(&mut self) -> &mut XmlWriter {
        let Some(name) = self.open.pop() else { return self };
        if self.in_tag {
            self.text.push_str(" />");
            self.in_tag = false;
        } else {
            self.text.push_str("</");
            self.text.push_str(name);
            self.text.push('>');
        }
        self
    }

    /// An element with text and nothing else.
    pub fn leaf(&mut self, name: &'static str, text: &str) -> &mut XmlWriter {
        self.open(name).text(text).close()
    }

    /// An element with text, where there is a text.
    pub fn optional_leaf(&mut self, name: &'static str, text: Option<&str>) -> &mut XmlWriter {
        match text {
            Some(text) if !text.is_empty() => self.leaf(name, text),
            _ => self,
        }
    }

    /// Closes what is open and gives the document.
    pub fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.text.push('\n');
        self.text
    }

    fn end_tag(&mut self) {
        if self.in_tag {
            self.text.push('>');
            self.in_tag = false;
        }
    }
}

impl Default for XmlWriter {
    fn default() -> Self {
        XmlWriter::new()
    }
}

/// Appends `text` with the five characters of markup replaced, fit for
/// element text and quoted attributes of XML and HTML alike.
pub fn escape_into(target: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => target.push_str("&amp;"),
            '<' => target.push_str("&lt;"),
            '>' => target.push_str("&gt;"),
            '"' => target.push_str("&quot;"),
            '\'' => target.push_str("&#39;"),
            // Not allowed in XML 1.0, not even as a reference.
            '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            _ => target.push(character),
        }
    }
}

/// `text` escaped, see [`escape_into`].
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    escape_into(&mut escaped, text);
    escaped
}

/// `text` with references (`&amp;`, `&#38;`, `&#x26;`) in place of which their
/// characters are put; an ampersand that begins none stays.
pub fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        match after.split_once(';').and_then(|(name, behind)| Some((referenced(name)?, behind))) {
            Some((character, behind)) => {
                plain.push(character);
                rest = behind;
            }
            None => {
                plain.push('&');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

fn referenced(name: &str) -> Option<char> {
    match name {
        "amp" => return Some('&'),
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "quot" => return Some('"'),
        "apos" => return Some('\''),
        _ => {}
    }
    let number = name.strip_prefix('#')?;
    let (digits, radix) = number.strip_prefix('x').map_or((number, 10), |hexadecimal| (hexadecimal, 16));
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    is_number.then(|| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_their_characters() {
        for (text, plain) in [
            ("a &amp; b &lt;c&gt; &quot;&apos;", "a & b <c> \"'"),
            ("&#38;&#x26;&#xe4;", "&&ä"),
            ("a & b; &nbsp; &amp", "a & b; &nbsp; &amp"),
            ("&;&#;&#x;&#xd800;&#+38;&#99999999999;", "&;&#;&#x;&#xd800;&#+38;&#99999999999;"),
            ("&amp;amp;", "&amp;"),
        ] {
            assert_eq!(unescape(text), plain);
            assert_eq!(unescape(&escape(text)), text);
        }
    }

    #[test]
    fn markup_and_control_characters_do_not_get_through() {
        let mut xml = XmlWriter::new();
        xml.open("a").attribute("b", "\"<'&\u{0}\u{1b}");
        xml.leaf("c", "]]></c><d>\u{ffff}ä");
        xml.open("e").close();
        let text = xml.finish();
        let document = roxmltree::Document::parse(&text).unwrap();
        let root = document.root_element();
        assert_eq!(root.attribute("b"), Some("\"<'&"));
        assert_eq!(root.first_element_child().unwrap().text(), Some("]]></c><d>ä"));
        assert_eq!(root.children().filter(roxmltree::Node::is_element).count(), 2);
    }
}
