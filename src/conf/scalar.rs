//! What a plain scalar is: the rules of YAML 1.1 as PyYAML's safe loader
//! applies them, so that `yes`, `0755`, `1_000` and `1:30` mean what they mean
//! to MapProxy, and `1e3` stays text.

/// A scalar's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// A date or a point in time, as written.
    Time(String),
    Text(String),
    /// The merge key `<<`.
    Merge,
}

const YES: [&str; 9] = ["yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"];
const NO: [&str; 9] = ["no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"];
const NULL: [&str; 5] = ["", "~", "null", "Null", "NULL"];

/// The value of a plain scalar; `Err` where PyYAML stops with an error too.
pub fn resolve(text: &str) -> Result<Scalar, String> {
    // Most scalars are words: told by their first character.
    let Some(first) = text.bytes().next() else { return Ok(Scalar::Null) };
    match first {
        b'0'..=b'9' | b'+' | b'-' | b'.' => number(text),
        b'<' if text == "<<" => Ok(Scalar::Merge),
        b'=' if text == "=" => Err("a lone `=` has no value; write it in quotes".to_owned()),
        _ if YES.contains(&text) => Ok(Scalar::Bool(true)),
        _ if NO.contains(&text) => Ok(Scalar::Bool(false)),
        _ if NULL.contains(&text) => Ok(Scalar::Null),
        _ => Ok(Scalar::Text(text.to_owned())),
    }
}

fn number(text: &str) -> Result<Scalar, String> {
    if is_float(text) {
        return Ok(Scalar::Float(float_value(text)?));
    }
    if is_int(text) {
        return int_value(text);
    }
    if is_time(text) {
        check_time(text)?;
        return Ok(Scalar::Time(text.to_owned()));
    }
    Ok(Scalar::Text(text.to_owned()))
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

fn digits_or_underscores(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_')
}

/// Begins with a digit, then digits and underscores.
fn number_part(text: &str) -> bool {
    text.bytes().next().is_some_and(|byte| byte.is_ascii_digit()) && digits_or_underscores(text)
}

/// `:5`, `:59`, …: the places after the first of a base-60 number.
fn is_sixtieth(text: &str) -> bool {
    match text.as_bytes() {
        [digit] => digit.is_ascii_digit(),
        [ten, digit] => (b'0'..=b'5').contains(ten) && digit.is_ascii_digit(),
        _ => false,
    }
}

fn is_float(text: &str) -> bool {
    let body = unsigned(text);
    if matches!(body, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let Some((whole, rest)) = body.split_once('.') else { return false };
    let (fraction, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        // PyYAML wants the sign: `1.5e3` is text.
        exponent
            .strip_prefix(['-', '+'])
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
    });
    if !digits_or_underscores(fraction) || !exponent_fits {
        return false;
    }
    if whole.is_empty() {
        return body.len() == text.len() && number_part(fraction);
    }
    if number_part(whole) {
        return true;
    }
    let mut places = whole.split(':');
    exponent.is_none()
        && whole.contains(':')
        && places.next().is_some_and(number_part)
        && places.all(is_sixtieth)
}

fn is_int(text: &str) -> bool {
    let body = unsigned(text);
    let all = |digits: &str, fits: fn(u8) -> bool| {
        !digits.is_empty() && digits.bytes().all(|byte| byte == b'_' || fits(byte))
    };
    if let Some(bits) = body.strip_prefix("0b") {
        return all(bits, |byte| matches!(byte, b'0' | b'1'));
    }
    if let Some(digits) = body.strip_prefix("0x") {
        return all(digits, |byte| byte.is_ascii_hexdigit());
    }
    if let Some(rest) = body.strip_prefix('0') {
        return rest.is_empty() || all(rest, |byte| matches!(byte, b'0'..=b'7'));
    }
    let mut places = body.split(':');
    places.next().is_some_and(number_part) && places.all(is_sixtieth)
}

/// Sign and digits without underscores.
fn bare(text: &str) -> (f64, String) {
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    (sign, unsigned(text).chars().filter(|&c| c != '_').collect())
}

fn float_value(text: &str) -> Result<f64, String> {
    let (sign, body) = bare(text);
    let body = body.to_ascii_lowercase();
    let value = match body.as_str() {
        ".inf" => f64::INFINITY,
        ".nan" => f64::NAN,
        _ => {
            let mut sum = 0.0;
            for place in body.split(':') {
                sum = sum * 60.0 + place.parse::<f64>().map_err(|_| format!("`{text}` is no number"))?;
            }
            sum
        }
    };
    Ok(sign * value)
}

fn int_value(text: &str) -> Result<Scalar, String> {
    let (sign, body) = bare(text);
    let (radix, digits) = match body.as_bytes() {
        [b'0', b'b', ..] => (2, &body[2..]),
        [b'0', b'x', ..] => (16, &body[2..]),
        [b'0', _, ..] => (8, &body[1..]),
        _ => (10, body.as_str()),
    };
    if digits.is_empty() {
        return Err(format!("`{text}` is no number"));
    }
    let mut sum: Option<i64> = Some(0);
    // Python's whole numbers have no end; what does not fit here becomes a float.
    let mut rough = 0.0;
    for place in digits.split(':') {
        let exact = i64::from_str_radix(place, radix).ok();
        let near = match (exact, radix) {
            (Some(value), _) => value as f64,
            (None, 10) => place.parse().unwrap_or(f64::INFINITY),
            (None, _) => place
                .chars()
                .filter_map(|c| c.to_digit(radix))
                .fold(0.0, |sum, digit| sum * f64::from(radix) + f64::from(digit)),
        };
        rough = rough * 60.0 + near;
        sum = sum.and_then(|sum| sum.checked_mul(60)?.checked_add(exact?));
    }
    Ok(match sum {
        Some(value) => Scalar::Int(if sign < 0.0 { -value } else { value }),
        None => Scalar::Float(sign * rough),
    })
}

/// Cuts `count` digits (`least` to `most`) off the front.
fn cut_digits(rest: &mut &str, least: usize, most: usize) -> Option<u32> {
    let count = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if count < least {
        return None;
    }
    let (head, tail) = rest.split_at(count);
    *rest = tail;
    head.parse().ok()
}

fn cut(rest: &mut &str, piece: char) -> Option<()> {
    *rest = rest.strip_prefix(piece)?;
    Some(())
}

fn is_time(text: &str) -> bool {
    if is_plain_date(text) {
        return true;
    }
    fn parse(mut rest: &str) -> Option<()> {
        let rest = &mut rest;
        cut_digits(rest, 4, 4)?;
        cut(rest, '-')?;
        cut_digits(rest, 1, 2)?;
        cut(rest, '-')?;
        cut_digits(rest, 1, 2)?;
        if let Some(after) = rest.strip_prefix(['T', 't']) {
            *rest = after;
        } else {
            let trimmed = rest.trim_start_matches([' ', '\t']);
            if trimmed.len() == rest.len() {
                return None;
            }
            *rest = trimmed;
        }
        cut_digits(rest, 1, 2)?;
        cut(rest, ':')?;
        cut_digits(rest, 2, 2)?;
        cut(rest, ':')?;
        cut_digits(rest, 2, 2)?;
        if let Some(fraction) = rest.strip_prefix('.') {
            *rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
        }
        if rest.is_empty() {
            return Some(());
        }
        *rest = rest.trim_start_matches([' ', '\t']);
        if *rest == "Z" {
            return Some(());
        }
        *rest = rest.strip_prefix(['-', '+'])?;
        cut_digits(rest, 1, 2)?;
        if !rest.is_empty() {
            cut(rest, ':')?;
            cut_digits(rest, 2, 2)?;
        }
        rest.is_empty().then_some(())
    }
    parse(text).is_some()
}

fn is_plain_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 10
        && bytes
            .iter()
            .enumerate()
            .all(|(at, byte)| if at == 4 || at == 7 { *byte == b'-' } else { byte.is_ascii_digit() })
}

/// PyYAML makes a date object of it, which a thirteenth month stops.
fn check_time(text: &str) -> Result<(), String> {
    let mut parts = text.split(['-', 'T', 't', ' ', '\t', ':']).map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    let (year, month, day) = (next(), next(), next());
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    };
    let date_fits = year >= 1 && (1..=12).contains(&month) && (1..=days).contains(&day);
    let time = text.find([':']).map(|at| &text[..at]).map(|head| {
        let hour = head.rsplit(['T', 't', ' ', '\t']).next().unwrap_or("");
        let rest = &text[head.len() + 1..];
        (hour.parse().unwrap_or(99), rest[..2].parse().unwrap_or(99), rest[3..5].parse().unwrap_or(99))
    });
    let time_fits =
        time.is_none_or(|(hour, minute, second): (u32, u32, u32)| hour < 24 && minute < 60 && second < 60);
    if date_fits && time_fits { Ok(()) } else { Err(format!("`{text}` is no date")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn scalars_as_pyyaml_reads_them() {
        let text = |text: &str| Scalar::Text(text.to_owned());
        let time = |text: &str| Scalar::Time(text.to_owned());
        let table = [
            ("yes", Scalar::Bool(true)),
            ("No", Scalar::Bool(false)),
            ("on", Scalar::Bool(true)),
            ("OFF", Scalar::Bool(false)),
            ("true", Scalar::Bool(true)),
            ("tRue", text("tRue")),
            ("y", text("y")),
            ("n", text("n")),
            ("0755", Scalar::Int(493)),
            ("0o755", text("0o755")),
            ("0x1F", Scalar::Int(31)),
            ("-0b101", Scalar::Int(-5)),
            ("1_000_000", Scalar::Int(1_000_000)),
            ("+7", Scalar::Int(7)),
            ("0", Scalar::Int(0)),
            ("00", Scalar::Int(0)),
            ("1:30", Scalar::Int(90)),
            ("12:30:45", Scalar::Int(45_045)),
            ("-1:30", Scalar::Int(-90)),
            ("1:60", text("1:60")),
            ("1:30.5", Scalar::Float(90.5)),
            ("1e3", text("1e3")),
            ("1e-3", text("1e-3")),
            ("1.5e3", text("1.5e3")),
            ("1.5e+3", Scalar::Float(1500.0)),
            ("1.", Scalar::Float(1.0)),
            ("1_0.2_5", Scalar::Float(10.25)),
            (".5", Scalar::Float(0.5)),
            ("-.5", text("-.5")),
            ("089", text("089")),
            ("0123456789", text("0123456789")),
            ("1.2.3", text("1.2.3")),
            ("1.1.1", text("1.1.1")),
            (".inf", Scalar::Float(f64::INFINITY)),
            ("-.INF", Scalar::Float(f64::NEG_INFINITY)),
            ("~", Scalar::Null),
            ("Null", Scalar::Null),
            ("", Scalar::Null),
            ("<<", Scalar::Merge),
            ("2010-12-08", time("2010-12-08")),
            ("2010-1-8", text("2010-1-8")),
            ("2010-1-8 10:00:00", time("2010-1-8 10:00:00")),
            ("2010-12-08T10:00:00Z", time("2010-12-08T10:00:00Z")),
            ("2010-12-08T10:00:00.5 +01:30", time("2010-12-08T10:00:00.5 +01:30")),
            ("2010-12-08T10:00", text("2010-12-08T10:00")),
            ("9223372036854775808", Scalar::Float(9_223_372_036_854_775_808.0)),
            ("-", text("-")),
            (".", text(".")),
            ("EPSG:4326", text("EPSG:4326")),
            ("08:30", text("08:30")),
        ];
        for (written, expected) in table {
            assert_eq!(resolve(written).as_ref(), Ok(&expected), "{written:?}");
        }
        assert!(matches!(resolve(".NaN"), Ok(Scalar::Float(value)) if value.is_nan()));
    }

    #[test]
    fn what_stops_pyyaml_stops_here() {
        for written in ["=", "0b_", "0x_", "2010-13-01", "2011-02-29", "2010-01-01 25:00:00"] {
            assert!(resolve(written).is_err(), "{written:?}");
        }
        assert!(resolve("2012-02-29").is_ok());
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[-+0-9._:eExbTZ ]{0,24}|\\PC{0,12}") {
            let _ = resolve(&text);
        }
    }
}
