//! A small writer of XML: elements are opened, filled and closed in order,
//! everything from outside is escaped, characters that XML cannot hold are
//! left out. Numbers are written as MapProxy writes them.

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
            self.text.push_str("/>");
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

/// A number as Python's `str` shows a float: the fewest digits that give the
/// same number back, `.0` on whole numbers, an exponent below 1e-4 and from
/// 1e16 on.
pub fn number(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let mut scientific = format!("{value:e}");
    // With all seventeen digits two texts can be equally near: Python takes the
    // even one.
    let exact = format!("{value:.16e}");
    if exact.len() == scientific.len() && exact.parse() == Ok(value) {
        scientific = exact;
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let text = positional(mantissa, exponent);
    if text.contains('.') { text } else { text + ".0" }
}

/// `-1.25`, -2 → `-0.0125`
fn positional(mantissa: &str, exponent: i32) -> String {
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let digits = mantissa.replace('.', "");
    match usize::try_from(exponent) {
        Ok(shift) if digits.len() > shift + 1 => {
            format!("{sign}{}.{}", &digits[..=shift], &digits[shift + 1..])
        }
        Ok(shift) => format!("{sign}{digits}{}", "0".repeat(shift + 1 - digits.len())),
        Err(_) => {
            let zeros = exponent.unsigned_abs() as usize - 1;
            format!("{sign}0.{}{digits}", "0".repeat(zeros))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_as_python_shows_them() {
        for (value, shown) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (180.0, "180.0"),
            (-20037508.342789244, "-20037508.342789244"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.25e-7, "1.25e-07"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (0.1, "0.1"),
            (1.072_883_605_957_031_2e-5, "1.0728836059570312e-05"),
            (-0.012_5, "-0.0125"),
            (123_456.75, "123456.75"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(number(value), shown);
        }
    }

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
