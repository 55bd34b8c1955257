//! libproj opened at run time, one context per thread.

use super::srs::Traits;

/// Name, version and data path of the projection engine in use, for the log
/// and the status page, for example `PROJ 9.1.1, /usr/share/proj`.
pub fn engine() -> String {
    "built-in closed forms".to_string()
}

pub(super) fn describe(_authority: &str, _code: &str) -> Result<Traits, String> {
    Err("not served yet".to_string())
}

pub(super) fn transform(_source: &str, _target: &str, points: &mut [[f64; 2]]) {
    points.fill([f64::INFINITY; 2]);
}
