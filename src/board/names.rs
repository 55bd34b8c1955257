//! Lists in the shared mapping that only grow: names of layers and sources,
//! and the series that requests are counted in. A place, once given, means the
//! same for every process until the master ends, so counters of workers of all
//! generations add up.
//!
//! Several processes may write these words: whoever needs a name puts it in.
//! That is sound because a place is taken by one compare-and-swap of what the
//! name determines, and everything else in it follows from the name: two
//! writers write the same, and one that is killed half way is made good by the
//! next that needs the name.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Words of a name as it is shown.
const NAME_WORDS: usize = 12;
/// A longer name is cut, with its hash at the end to tell it from others.
pub const NAME_BYTES_MAX: usize = NAME_WORDS * 8;
const HASH_DIGITS: usize = 16;

/// Keys that are not 0, each in one place.
#[repr(C)]
pub struct Keys<const N: usize>([AtomicU64; N]);

impl<const N: usize> Keys<N> {
    /// The place of a key, which is given one if there is room: up to
    /// `places_max` of all.
    pub fn place(&self, key: u64, places_max: usize) -> Option<usize> {
        for (place, word) in self.0.iter().enumerate() {
            let mut known = word.load(Relaxed);
            if known == 0 {
                if place >= places_max {
                    return None;
                }
                known = match word.compare_exchange(0, key, Relaxed, Relaxed) {
                    Ok(_) => key,
                    Err(other) => other,
                };
            }
            if known == key {
                return Some(place);
            }
        }
        None
    }

    /// All keys, in their places.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().map(|word| word.load(Relaxed)).take_while(|key| *key != 0)
    }

    pub fn count(&self) -> usize {
        self.iter().count()
    }
}

#[repr(C)]
struct Name {
    /// One more than the length; 0: not written yet.
    length: AtomicU64,
    words: [AtomicU64; NAME_WORDS],
}

/// Names, each in one place, found by their hash.
#[repr(C)]
pub struct Names<const N: usize> {
    hashes: Keys<N>,
    names: [Name; N],
}

impl<const N: usize> Names<N> {
    /// The place of a name; `None` when all are taken.
    pub fn place(&self, name: &str) -> Option<usize> {
        let hash = hash_of(&[name]);
        let place = self.hashes.place(hash, N)?;
        let slot = &self.names[place];
        if slot.length.load(Relaxed) == 0 {
            let shown = cut(name, hash);
            for (word, bytes) in slot.words.iter().zip(shown.as_bytes().chunks(8)) {
                let mut whole = [0; 8];
                whole[..bytes.len()].copy_from_slice(bytes);
                word.store(u64::from_le_bytes(whole), Relaxed);
            }
            slot.length.store(shown.len() as u64 + 1, std::sync::atomic::Ordering::Release);
        }
        Some(place)
    }

    /// The name in a place; `None` where there is none, or not yet.
    pub fn get(&self, place: usize) -> Option<String> {
        let slot = self.names.get(place)?;
        let length = slot.length.load(std::sync::atomic::Ordering::Acquire).checked_sub(1)?;
        let mut bytes: Vec<u8> =
            slot.words.iter().flat_map(|word| word.load(Relaxed).to_le_bytes()).collect();
        bytes.truncate(usize::try_from(length).unwrap_or(0));
        String::from_utf8(bytes).ok()
    }

    pub fn count(&self) -> usize {
        self.hashes.count()
    }
}

/// FNV-1a over parts, never 0.
pub fn hash_of(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes());
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    std::cmp::max(hash, 1)
}

fn cut(name: &str, hash: u64) -> String {
    if name.len() <= NAME_BYTES_MAX {
        return name.to_owned();
    }
    let mut end = NAME_BYTES_MAX - HASH_DIGITS - 1;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}~{hash:016x}", &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<const N: usize>() -> Names<N> {
        Names {
            hashes: Keys(std::array::from_fn(|_| AtomicU64::new(0))),
            names: std::array::from_fn(|_| Name {
                length: AtomicU64::new(0),
                words: std::array::from_fn(|_| AtomicU64::new(0)),
            }),
        }
    }

    #[test]
    fn a_name_has_one_place_and_is_read_back() {
        let names = names::<4>();
        let long = "ä".repeat(100);
        assert_eq!((names.place(""), names.place("roads"), names.place(&long)), (Some(0), Some(1), Some(2)));
        assert_eq!((names.place("roads"), names.count()), (Some(1), 3));
        assert_eq!(names.place("d"), Some(3));
        assert_eq!((names.place("e"), names.place(&long)), (None, Some(2)));
        assert_eq!((names.get(0).as_deref(), names.get(1).as_deref()), (Some(""), Some("roads")));
        let shown = names.get(2).expect("written");
        assert!(shown.len() <= NAME_BYTES_MAX && shown.starts_with("ää") && shown.contains('~'));
        assert_eq!(names.get(9), None);
    }

    #[test]
    fn many_writers_agree() {
        let names = names::<64>();
        let all: Vec<Vec<Option<usize>>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|thread| {
                    let names = &names;
                    scope.spawn(move || {
                        let mut places = vec![None; 40];
                        for at in 0..40 {
                            let number = (at * 7 + thread * 11) % 40;
                            places[number] = names.place(&format!("layer-{number}"));
                        }
                        places
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!(names.count(), 40);
        for (number, place) in all[0].iter().enumerate() {
            assert_eq!(names.get(place.expect("room")), Some(format!("layer-{number}")));
        }
    }

    #[test]
    fn the_last_places_can_be_kept_for_some() {
        let keys = Keys::<4>(std::array::from_fn(|_| AtomicU64::new(0)));
        assert_eq!((keys.place(5, 2), keys.place(6, 2), keys.place(7, 2)), (Some(0), Some(1), None));
        assert_eq!((keys.place(7, 4), keys.place(5, 0)), (Some(2), Some(0)));
        assert_eq!(keys.iter().collect::<Vec<_>>(), [5, 6, 7]);
    }
}
