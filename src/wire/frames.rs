//! What stands around the body of a response, and where the body is cut: so
//! that a large body goes out in FastCGI records without being copied.

/// A point at which the frame is interrupted by a part of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Bytes of the frame before it.
    pub frame: usize,
    /// Bytes of the body that are out before the frame goes on.
    pub body: usize,
}

/// The frame of one response: its bytes, and the cuts in order. Behind the
/// last cut comes the rest of the frame, then the rest of the body; without a
/// cut that is a head with its body.
#[derive(Debug, Default)]
pub struct Frames {
    pub bytes: Vec<u8>,
    pub cuts: Vec<Cut>,
}

impl Frames {
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.cuts.clear();
    }

    /// The pieces of frame and body in the order in which they are sent, less
    /// the first `sent` bytes of all; none of them is empty.
    pub fn pieces<'a>(&'a self, body: &'a [u8], sent: usize) -> impl Iterator<Item = &'a [u8]> {
        let ends = self.cuts.iter().copied();
        let last = Cut { frame: self.bytes.len(), body: body.len() };
        let mut skip = sent;
        let mut from = Cut { frame: 0, body: 0 };
        ends.chain([last])
            .flat_map(move |to| {
                let frame = self.bytes.get(from.frame..to.frame).unwrap_or(&[]);
                let part = body.get(from.body..to.body).unwrap_or(&[]);
                from = to;
                [frame, part]
            })
            .map(move |piece| {
                let gone = skip.min(piece.len());
                skip -= gone;
                &piece[gone..]
            })
            .filter(|piece| !piece.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_begin_anywhere() {
        let cut = |frame, body| Cut { frame, body };
        for (cuts, whole) in [
            (vec![], "HEADTAILbody-part"),
            (vec![cut(4, 9)], "HEADbody-partTAIL"),
            (vec![cut(1, 4), cut(4, 9)], "HbodyEAD-partTAIL"),
        ] {
            let frames = Frames { bytes: b"HEADTAIL".to_vec(), cuts };
            for sent in 0..=whole.len() + 1 {
                let rest: Vec<u8> = frames.pieces(b"body-part", sent).flatten().copied().collect();
                assert_eq!(rest, &whole.as_bytes()[sent.min(whole.len())..]);
            }
        }
    }
}
