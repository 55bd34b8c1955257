//! Images and documents held against MapProxy's (DESIGN: PSNR alone does not
//! see a shift and punishes what is more exact).

use rhumb::render::{DecodeLimits, Raster, decode};

/// Pixels that a shift is looked for in each direction.
const SHIFT_MAX: i32 = 2;

/// Decodes what a server sent.
pub fn raster(bytes: &[u8]) -> Result<Raster, String> {
    decode(bytes, &DecodeLimits::default()).map_err(|e| e.to_string())
}

/// Premultiplied values, four for each pixel.
fn premultiplied(raster: &Raster) -> Vec<f32> {
    raster
        .pixels
        .chunks_exact(4)
        .flat_map(|p| {
            let alpha = f32::from(p[3]);
            [
                f32::from(p[0]) * alpha / 255.0,
                f32::from(p[1]) * alpha / 255.0,
                f32::from(p[2]) * alpha / 255.0,
                alpha,
            ]
        })
        .collect()
}

/// Two images of one size, ready to be compared.
pub struct Pair {
    width: usize,
    height: usize,
    a: Vec<f32>,
    b: Vec<f32>,
}

impl Pair {
    /// `None` when the sizes differ.
    pub fn new(a: &Raster, b: &Raster) -> Option<Pair> {
        ((a.width, a.height) == (b.width, b.height)).then(|| Pair {
            width: a.width as usize,
            height: a.height as usize,
            a: premultiplied(a),
            b: premultiplied(b),
        })
    }

    /// PSNR in dB after halving both; 99 for equal images.
    pub fn psnr_db(&self) -> f64 {
        let halve = |values: &[f32]| -> Vec<f32> {
            let (w, h) = ((self.width / 2).max(1), (self.height / 2).max(1));
            let at = |x: usize, y: usize, c: usize| {
                values[(y.min(self.height - 1) * self.width + x.min(self.width - 1)) * 4 + c]
            };
            let mut out = Vec::with_capacity(w * h * 4);
            for y in 0..h {
                for x in 0..w {
                    for c in 0..4 {
                        let sum = at(2 * x, 2 * y, c)
                            + at(2 * x + 1, 2 * y, c)
                            + at(2 * x, 2 * y + 1, c)
                            + at(2 * x + 1, 2 * y + 1, c);
                        out.push(sum / 4.0);
                    }
                }
            }
            out
        };
        let (a, b) = (halve(&self.a), halve(&self.b));
        let sum: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let mse = sum / a.len() as f64;
        if mse < 1e-6 { 99.0 } else { (10.0 * (255.0_f64.powi(2) / mse).log10()).min(99.0) }
    }

    /// Sum of squared differences for each shift of `b`, −2…2 in both
    /// directions row by row, over the pixels that all shifts share.
    pub fn shift_errors(&self) -> Vec<f64> {
        let margin = SHIFT_MAX;
        let mut errors = Vec::new();
        for dy in -SHIFT_MAX..=SHIFT_MAX {
            for dx in -SHIFT_MAX..=SHIFT_MAX {
                let mut sum = 0.0_f64;
                for y in margin..self.height as i32 - margin {
                    for x in margin..self.width as i32 - margin {
                        let p = (y as usize * self.width + x as usize) * 4;
                        let q = ((y + dy) as usize * self.width + (x + dx) as usize) * 4;
                        for c in 0..4 {
                            sum += f64::from(self.a[p + c] - self.b[q + c]).powi(2);
                        }
                    }
                }
                errors.push(sum);
            }
        }
        errors
    }
}

/// The shift with the least error; zero where nothing is better than it by
/// more than rounding.
pub fn best_shift(errors: &[f64]) -> (i32, i32) {
    let side = (2 * SHIFT_MAX + 1) as usize;
    let zero = errors[errors.len() / 2];
    let (at, least) = errors.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).expect("25 shifts");
    if zero <= least * 1.001 + 1.0 {
        return (0, 0);
    }
    ((at % side) as i32 - SHIFT_MAX, (at / side) as i32 - SHIFT_MAX)
}

/// A document as lines: path of the element, its attributes sorted, its text.
/// Two documents with equal lines are equal trees.
pub fn tree_lines(xml: &str) -> Result<Vec<String>, String> {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document =
        roxmltree::Document::parse_with_options(xml, options).map_err(|e| format!("{e}: {xml:.300}"))?;
    let mut lines = Vec::new();
    walk(document.root_element(), "", &mut lines);
    Ok(lines)
}

fn walk(node: roxmltree::Node<'_, '_>, path: &str, lines: &mut Vec<String>) {
    let name = match node.tag_name().namespace() {
        Some(namespace) => format!("{{{namespace}}}{}", node.tag_name().name()),
        None => node.tag_name().name().to_owned(),
    };
    let path = format!("{path}/{name}");
    let mut attributes: Vec<String> = node
        .attributes()
        .map(|a| {
            format!(
                "{}{}={}",
                a.namespace().map(|n| format!("{{{n}}}")).unwrap_or_default(),
                a.name(),
                a.value()
            )
        })
        .collect();
    attributes.sort();
    let text: String = node.children().filter(|c| c.is_text()).filter_map(|c| c.text()).collect::<String>();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    lines.push(format!("{path} [{}] {text}", attributes.join(" ")));
    for child in node.children().filter(|c| c.is_element()) {
        walk(child, &path, lines);
    }
}

/// Lines of one document that the other lacks, both ways, with a sign.
pub fn tree_differences(ours: &[String], theirs: &[String]) -> Vec<String> {
    let mut differences = Vec::new();
    let count = |list: &[String], line: &String| list.iter().filter(|l| *l == line).count();
    for line in ours {
        if count(ours, line) > count(theirs, line) {
            differences.push(format!("+ {line}"));
        }
    }
    for line in theirs {
        if count(theirs, line) > count(ours, line) {
            differences.push(format!("- {line}"));
        }
    }
    if differences.is_empty() && ours != theirs {
        differences.push("the same lines in another order".into());
    }
    differences
}
