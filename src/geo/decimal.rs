//! Numbers as Python prints them: what documents and requests to upstreams
//! say, to the last digit as MapProxy says it.

use super::extent::{Extent, WholeEdges};

/// The edges of an extent: without decimals where they were written so.
pub fn edges(extent: &Extent, whole: WholeEdges) -> [String; 4] {
    let values = extent.to_array();
    std::array::from_fn(|at| if whole[at] { format!("{:.0}", values[at]) } else { number(values[at]) })
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
            (1.25e22, "1.25e+22"),
            (5e-324, "5e-324"),
            (0.000_123_45, "0.00012345"),
            (1.0 / 3.0, "0.3333333333333333"),
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
    fn whole_edges_have_no_decimals() {
        let extent = Extent::new(-50.0, -40.0, 50.0, 40.5);
        assert_eq!(edges(&extent, [true, false, true, false]), ["-50", "-40.0", "50", "40.5"]);
    }
}
