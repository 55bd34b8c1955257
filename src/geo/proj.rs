//! libproj opened at run time, one context per thread, and the closed forms
//! for mercator ⇄ geographic beside it.

/// Name, version and data path of the projection engine in use, for the log
/// and the status page, for example `PROJ 9.1.1, /usr/share/proj`.
pub fn engine() -> String {
    todo!()
}
