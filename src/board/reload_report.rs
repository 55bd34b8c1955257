//! How the last reload ended, for people: written by the master, read by
//! whoever answers for the status.

use std::sync::atomic::{AtomicU64, Ordering};

use Ordering::{Acquire, Relaxed, Release};

const TEXT_WORDS: usize = 512;
/// Longer reasons are cut; the log has all of them.
const TEXT_BYTES_MAX: usize = TEXT_WORDS * 8;
/// A reader that meets the writer this often goes without.
const TRIES_MAX: usize = 16;

/// The words in the shared mapping.
#[repr(C)]
pub(super) struct Words {
    /// Odd while the master writes.
    sequence: AtomicU64,
    unix_s: AtomicU64,
    /// 1: done; 0: refused.
    is_done: AtomicU64,
    length: AtomicU64,
    text: [AtomicU64; TEXT_WORDS],
}

/// How a reload ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadReport {
    pub unix_s: u64,
    pub is_done: bool,
    pub message: String,
    /// Why it was refused.
    pub errors: Vec<String>,
    pub warnings: Vec<String>,
}

impl Words {
    pub(super) fn write(&self, report: &ReloadReport) {
        let one_line = |text: &String| text.replace('\n', " ");
        let mut text = one_line(&report.message);
        for (letter, lines) in [('E', &report.errors), ('W', &report.warnings)] {
            for line in lines {
                text.push('\n');
                text.push(letter);
                text.push_str(&one_line(line));
            }
        }
        let mut end = text.len().min(TEXT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        let before = self.sequence.load(Relaxed);
        self.sequence.store(before | 1, Relaxed);
        std::sync::atomic::fence(Release);
        self.unix_s.store(report.unix_s, Relaxed);
        self.is_done.store(u64::from(report.is_done), Relaxed);
        self.length.store(text.len() as u64, Relaxed);
        for (word, bytes) in self.text.iter().zip(text.as_bytes().chunks(8)) {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_le_bytes(whole), Relaxed);
        }
        self.sequence.store((before | 1).wrapping_add(1), Release);
    }

    /// `None` where there was no reload yet.
    pub(super) fn read(&self) -> Option<ReloadReport> {
        for _ in 0..TRIES_MAX {
            let before = self.sequence.load(Acquire);
            if before == 0 {
                return None;
            }
            if before.is_multiple_of(2) {
                let report = self.copy();
                std::sync::atomic::fence(Acquire);
                if self.sequence.load(Relaxed) == before {
                    return Some(report);
                }
            }
            std::thread::yield_now();
        }
        None
    }

    fn copy(&self) -> ReloadReport {
        let length = usize::try_from(self.length.load(Relaxed)).unwrap_or(0).min(TEXT_BYTES_MAX);
        let words = &self.text[..length.div_ceil(8)];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.load(Relaxed).to_le_bytes()).collect();
        bytes.truncate(length);
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = text.lines();
        let message = lines.next().unwrap_or_default().to_owned();
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        for line in lines {
            match line.strip_prefix('E') {
                Some(error) => errors.push(error.to_owned()),
                None => warnings.push(line.strip_prefix('W').unwrap_or(line).to_owned()),
            }
        }
        ReloadReport {
            unix_s: self.unix_s.load(Relaxed),
            is_done: self.is_done.load(Relaxed) != 0,
            message,
            errors,
            warnings,
        }
    }
}
