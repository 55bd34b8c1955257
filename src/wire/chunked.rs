//! Chunked transfer coding, reading: a state over bytes fed in any cutting.
//!
//! Strict on purpose: what another server might read otherwise (bare LF, signs,
//! spaces, odd sizes) is refused, so that nothing can be smuggled past us.

use super::limit::{CHUNK_LINE_BYTES_MAX, TRAILER_BYTES_MAX};

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    #[error("malformed chunk")]
    Malformed,
    #[error("chunk line or trailer over the limit")]
    TooLong,
    #[error("a trailer that must not be one")]
    ForbiddenTrailer,
    #[error("body over the limit")]
    BodyTooLarge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a chunk's size line.
    SizeLine,
    /// This many bytes of data are left.
    Data(u64),
    /// The CRLF behind the data.
    DataEnd,
    /// In the trailer section.
    Trailer,
    Done,
}

/// Joins the chunks of one body.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    /// The unfinished line.
    line: Vec<u8>,
    trailer_bytes: usize,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder { state: State::SizeLine, line: Vec::new(), trailer_bytes: 0 }
    }
}

impl Decoder {
    /// Takes bytes from `input`, appends data to `body` (which never grows
    /// over `body_bytes_max`). Returns how many bytes were taken and whether
    /// the body is complete.
    pub fn feed(
        &mut self,
        input: &[u8],
        body: &mut Vec<u8>,
        body_bytes_max: usize,
    ) -> Result<(usize, bool), ChunkError> {
        let mut taken = 0;
        while taken < input.len() && self.state != State::Done {
            if let State::Data(left) = self.state {
                let available = input.len() - taken;
                let count = usize::try_from(left).map_or(available, |left| left.min(available));
                body.extend_from_slice(&input[taken..taken + count]);
                taken += count;
                let left = left - count as u64;
                self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                continue;
            }
            let byte = input[taken];
            taken += 1;
            if self.take_line_byte(byte)? {
                let line = std::mem::take(&mut self.line);
                self.end_line(&line, body.len(), body_bytes_max)?;
            }
        }
        Ok((taken, self.state == State::Done))
    }

    /// Adds a byte to the line; true when the line is complete (its CRLF is cut off).
    fn take_line_byte(&mut self, byte: u8) -> Result<bool, ChunkError> {
        let after_cr = self.line.last() == Some(&b'\r');
        match byte {
            b'\n' if after_cr => {
                self.line.pop();
                return Ok(true);
            }
            _ if after_cr => return Err(ChunkError::Malformed),
            b'\r' | b'\t' | b' '..=b'~' => self.line.push(byte),
            _ => return Err(ChunkError::Malformed),
        }
        let bytes_max = match self.state {
            State::DataEnd => 1,
            State::Trailer => TRAILER_BYTES_MAX.saturating_sub(self.trailer_bytes),
            _ => CHUNK_LINE_BYTES_MAX,
        };
        if self.line.len() > bytes_max {
            return Err(if self.state == State::DataEnd {
                ChunkError::Malformed
            } else {
                ChunkError::TooLong
            });
        }
        Ok(false)
    }

    fn end_line(&mut self, line: &[u8], body_bytes: usize, body_bytes_max: usize) -> Result<(), ChunkError> {
        self.state = match self.state {
            State::SizeLine => match chunk_size(line)? {
                0 => State::Trailer,
                size => {
                    let total = (body_bytes as u64).checked_add(size).ok_or(ChunkError::Malformed)?;
                    if total > body_bytes_max as u64 {
                        return Err(ChunkError::BodyTooLarge);
                    }
                    State::Data(size)
                }
            },
            State::DataEnd if line.is_empty() => State::SizeLine,
            State::Trailer if line.is_empty() => State::Done,
            State::Trailer => {
                self.trailer_bytes += line.len() + 2;
                check_trailer(line)?;
                State::Trailer
            }
            State::DataEnd | State::Data(_) | State::Done => return Err(ChunkError::Malformed),
        };
        Ok(())
    }
}

/// The size in a chunk's first line: 1 to 16 hexadecimal digits, then nothing
/// or an extension, which is ignored.
fn chunk_size(line: &[u8]) -> Result<u64, ChunkError> {
    let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let extension_fits = matches!(line.get(digits), None | Some(b';'));
    if digits == 0 || digits > 16 || !extension_fits {
        return Err(ChunkError::Malformed);
    }
    let text = std::str::from_utf8(&line[..digits]).map_err(|_| ChunkError::Malformed)?;
    u64::from_str_radix(text, 16).map_err(|_| ChunkError::Malformed)
}

/// Trailers are dropped, but those that would change the message's frame or
/// its target are an attack.
fn check_trailer(line: &[u8]) -> Result<(), ChunkError> {
    let colon = line.iter().position(|&byte| byte == b':').ok_or(ChunkError::Malformed)?;
    let name = &line[..colon];
    if name.is_empty() || !name.iter().all(|&byte| super::http::is_token_byte(byte)) {
        return Err(ChunkError::Malformed);
    }
    let forbidden: [&[u8]; 4] = [b"content-length", b"transfer-encoding", b"host", b"connection"];
    if forbidden.iter().any(|field| name.eq_ignore_ascii_case(field)) {
        return Err(ChunkError::ForbiddenTrailer);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(input: &[u8], step: usize) -> Result<(Vec<u8>, usize, bool), ChunkError> {
        let mut decoder = Decoder::default();
        let mut body = Vec::new();
        let mut taken = 0;
        let mut done = false;
        for part in input.chunks(step) {
            if done {
                break;
            }
            let (count, complete) = decoder.feed(part, &mut body, 100)?;
            taken += count;
            done = complete;
        }
        Ok((body, taken, done))
    }

    #[test]
    fn bodies_come_out_alike_in_any_cutting() {
        let input = b"5\r\nhello\r\n1;a=b;c=\"d\"\r\n \r\n0005\r\nworld\r\n0\r\nX-Sum: 1\r\n\r\nGET /";
        for step in 1..input.len() {
            let (body, taken, done) = decode(input, step).unwrap();
            assert_eq!((body.as_slice(), taken, done), (&b"hello world"[..], input.len() - 5, true));
        }
    }

    #[test]
    fn what_others_might_read_otherwise_is_refused() {
        use ChunkError::*;
        let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(1024 * 1024));
        let trailer = format!("0\r\nX: {}\r\n\r\n", "x".repeat(1024 * 1024));
        let many = format!("0\r\n{}\r\n", "X: 1\r\n".repeat(10_000));
        for (input, error) in [
            ("fffffffffffffffff\r\n", Malformed),
            ("-1\r\na\r\n", Malformed),
            ("+1\r\na\r\n", Malformed),
            ("0x1\r\na\r\n", Malformed),
            (" 1\r\na\r\n", Malformed),
            ("1 \r\na\r\n", Malformed),
            ("\r\n", Malformed),
            (";a\r\n", Malformed),
            ("g\r\n", Malformed),
            ("1\na\r\n0\r\n\r\n", Malformed),
            ("1\r\na\n0\r\n\r\n", Malformed),
            ("1\r\nab\r\n0\r\n\r\n", Malformed),
            ("1\r\na0\r\n\r\n", Malformed),
            ("1\r\na\r\n0\r\n\n", Malformed),
            ("1\r\ra", Malformed),
            ("1\0\r\n", Malformed),
            ("ffffffffffffffff\r\n", BodyTooLarge),
            ("65\r\n", BodyTooLarge),
            ("0\r\nContent-Length: 5\r\n\r\n", ForbiddenTrailer),
            ("0\r\nTransfer-Encoding: chunked\r\n\r\n", ForbiddenTrailer),
            ("0\r\nhost: x\r\n\r\n", ForbiddenTrailer),
            ("0\r\nHost : x\r\n\r\n", Malformed),
            ("0\r\n folded\r\n\r\n", Malformed),
            (long.as_str(), TooLong),
            (trailer.as_str(), TooLong),
            (many.as_str(), TooLong),
        ] {
            for step in [1, 3, input.len().max(1)] {
                let shown = &input[..input.len().min(40)];
                assert_eq!(decode(input.as_bytes(), step).unwrap_err(), error, "{shown:?} by {step}");
            }
        }
    }

    #[test]
    fn the_limit_itself_is_allowed() {
        let input = format!("64\r\n{}\r\n0\r\n\r\n", "a".repeat(100));
        assert_eq!(decode(input.as_bytes(), 7).unwrap().0.len(), 100);
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_cutting(input in proptest::collection::vec(any::<u8>(), 0..200), step in 1usize..50) {
            prop_assert_eq!(decode(&input, step), decode(&input, 200));
        }
    }
}
