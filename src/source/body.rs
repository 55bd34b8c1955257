//! An answer's body: read to its end or refused, never more than the limit,
//! packed or unpacked.

use std::io::Read;

use libdeflater::Decompressor;

/// How much larger than its packed form a body may be, past [`RATIO_FREE_BYTES`].
const INFLATE_RATIO_MAX: usize = 200;
/// Small bodies of one colour pack better than any ratio allows.
const RATIO_FREE_BYTES: usize = 1024 * 1024;
/// Read at a time; also what a lying length can make us allocate ahead.
const STEP_BYTES: usize = 64 * 1024;

/// Why a body is not to be had.
#[derive(Debug, PartialEq, Eq)]
pub enum BodyError {
    TooLarge { limit_bytes: u64 },
    Broken(String),
}

/// Reads to the end. `length`: the answer's own word on it, if it gave one.
pub fn read_all(mut reader: impl Read, length: Option<u64>, limit_bytes: u64) -> Result<Vec<u8>, BodyError> {
    let too_large = BodyError::TooLarge { limit_bytes };
    if length.is_some_and(|length| length > limit_bytes) {
        return Err(too_large);
    }
    let mut bytes = Vec::new();
    loop {
        let filled = bytes.len();
        if u64::try_from(filled).map_or(true, |filled| filled > limit_bytes) {
            return Err(too_large);
        }
        bytes.resize(filled + STEP_BYTES, 0);
        match reader.read(&mut bytes[filled..]) {
            Ok(read) => {
                bytes.truncate(filled + read);
                if read == 0 {
                    return Ok(bytes);
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => bytes.truncate(filled),
            Err(error) => {
                let got = filled;
                return Err(BodyError::Broken(match ureq::Error::from(error) {
                    ureq::Error::Io(error) => format!("body broke off after {got} bytes: {error}"),
                    ureq::Error::Timeout(which) => {
                        crate::story::mark_late();
                        format!("body not finished in time ({which}), {got} bytes came")
                    }
                    error => format!("body: {error}"),
                }));
            }
        }
    }
}

/// Undoes the `Content-Encoding`. Only what was asked for is known: gzip, once.
pub fn decode(encoding: &str, bytes: Vec<u8>, limit_bytes: u64) -> Result<Vec<u8>, BodyError> {
    match encoding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(bytes),
        "gzip" | "x-gzip" => inflate(&bytes, limit_bytes),
        other => Err(BodyError::Broken(format!(
            "content encoding {} was not asked for",
            super::address::clean(other, 40)
        ))),
    }
}

/// Unpacks one gzip member. Its trailer says how much comes out, so a bomb is
/// refused before a byte is allocated for it, and a lie breaks the unpacking.
fn inflate(packed: &[u8], limit_bytes: u64) -> Result<Vec<u8>, BodyError> {
    let broken = |reason: &str| BodyError::Broken(format!("gzip: {reason}"));
    if !packed.starts_with(&[0x1f, 0x8b]) {
        return Err(broken("not packed at all"));
    }
    let trailer: [u8; 4] = packed
        .len()
        .checked_sub(4)
        .and_then(|at| packed[at..].try_into().ok())
        .ok_or_else(|| broken("too short"))?;
    let claimed = u32::from_le_bytes(trailer) as usize;
    let limit = usize::try_from(limit_bytes)
        .unwrap_or(usize::MAX)
        .min(packed.len().saturating_mul(INFLATE_RATIO_MAX).max(RATIO_FREE_BYTES));
    if claimed > limit {
        return Err(BodyError::TooLarge { limit_bytes: limit as u64 });
    }
    let mut bytes = vec![0; claimed];
    let length = Decompressor::new()
        .gzip_decompress(packed, &mut bytes)
        .map_err(|error| broken(&error.to_string()))?;
    if length != claimed {
        return Err(broken("length and content differ"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use libdeflater::{CompressionLvl, Compressor};

    pub(crate) fn pack(bytes: &[u8]) -> Vec<u8> {
        let mut compressor = Compressor::new(CompressionLvl::best());
        let mut packed = vec![0; compressor.gzip_compress_bound(bytes.len())];
        let length = compressor.gzip_compress(bytes, &mut packed).unwrap();
        packed.truncate(length);
        packed
    }

    #[test]
    fn limits_hold_whatever_the_answer_says() {
        let data = vec![7; 100_000];
        assert_eq!(read_all(&data[..], None, 100_000).unwrap(), data);
        assert_eq!(read_all(&data[..], Some(5), 100_000).unwrap(), data);
        assert_eq!(read_all(&data[..], None, 99_999), Err(BodyError::TooLarge { limit_bytes: 99_999 }));
        assert_eq!(
            read_all(&data[..], Some(u64::MAX), 99_999),
            Err(BodyError::TooLarge { limit_bytes: 99_999 })
        );
    }

    #[test]
    fn gzip_comes_back_and_bombs_do_not() {
        let data: Vec<u8> = (0..10_000_u32).flat_map(u32::to_le_bytes).collect();
        let packed = pack(&data);
        assert_eq!(decode("GZIP", packed.clone(), 1 << 20).unwrap(), data);
        assert_eq!(decode("", packed.clone(), 1 << 20).unwrap(), packed);
        // Past the limit, and past the ratio below the limit.
        assert!(matches!(decode("gzip", packed.clone(), 39_999), Err(BodyError::TooLarge { .. })));
        let bomb = pack(&vec![0; 8 << 20]);
        assert!(matches!(decode("gzip", bomb.clone(), 1 << 30), Err(BodyError::TooLarge { .. })));
        // The trailer lies: less than what comes out.
        let mut liar = bomb;
        let at = liar.len() - 4;
        liar[at..].copy_from_slice(&1000_u32.to_le_bytes());
        assert!(matches!(decode("gzip", liar, 1 << 30), Err(BodyError::Broken(_))));
        for cut in [0, 3, 10, packed.len() - 1] {
            assert!(decode("gzip", packed[..cut].to_vec(), 1 << 20).is_err(), "{cut}");
        }
        assert!(matches!(decode("br", data.clone(), 1 << 20), Err(BodyError::Broken(_))));
        assert!(matches!(decode("gzip, gzip", data, 1 << 20), Err(BodyError::Broken(_))));
    }
}
