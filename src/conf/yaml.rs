//! YAML events with their places: the one file that speaks with unsafe-libyaml,
//! the parser that PyYAML's C loader uses too. What the events mean (scalars,
//! merges, limits) is decided in `node` and `scalar`.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use unsafe_libyaml as unsafe_sys;

/// A place in one file, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub line: u32,
    pub column: u32,
}

/// Text that is no YAML.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {text}")]
pub struct SyntaxError {
    pub line: u32,
    pub column: u32,
    pub text: String,
}

/// What the parser saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    StreamStart,
    StreamEnd,
    DocumentStart,
    DocumentEnd,
    Alias(String),
    /// `plain`: neither quoted, nor a block, nor tagged: the text itself tells the type.
    Scalar {
        anchor: Option<String>,
        tag: Option<String>,
        text: String,
        plain: bool,
    },
    ListStart {
        anchor: Option<String>,
        tag: Option<String>,
    },
    ListEnd,
    MapStart {
        anchor: Option<String>,
        tag: Option<String>,
    },
    MapEnd,
}

/// Reads events from text.
pub struct Events<'a> {
    /// Boxed: the parser keeps pointers into itself once its input is set.
    parser: Box<MaybeUninit<unsafe_sys::yaml_parser_t>>,
    input: &'a [u8],
    ended: bool,
    _not_send: PhantomData<*mut ()>,
}

impl<'a> Events<'a> {
    pub fn new(input: &'a [u8]) -> Result<Events<'a>, SyntaxError> {
        let mut parser = Box::new(MaybeUninit::<unsafe_sys::yaml_parser_t>::uninit());
        // SAFETY: `initialize` fills all of the struct behind the pointer, which is
        // valid for writes and does not move (boxed) until `delete` in `drop`.
        let begun = unsafe { unsafe_sys::yaml_parser_initialize(parser.as_mut_ptr()) };
        if begun.fail {
            return Err(SyntaxError { line: 1, column: 1, text: "out of memory".to_owned() });
        }
        // SAFETY: the parser is initialised; `input` outlives it by the lifetime 'a
        // and is not written to. A slice's pointer is never null.
        unsafe {
            unsafe_sys::yaml_parser_set_input_string(parser.as_mut_ptr(), input.as_ptr(), input.len() as u64)
        };
        Ok(Events { parser, input, ended: false, _not_send: PhantomData })
    }

    /// The next event. After `StreamEnd` or an error there is only `StreamEnd`.
    pub fn next_event(&mut self) -> Result<(Event, Mark), SyntaxError> {
        if self.ended {
            return Ok((Event::StreamEnd, Mark { line: 1, column: 1 }));
        }
        let mut raw = MaybeUninit::<unsafe_sys::yaml_event_t>::uninit();
        // SAFETY: the parser is initialised and has its input; `parse` zeroes the
        // event first, so it is initialised whether it succeeds or fails.
        let parsed = unsafe { unsafe_sys::yaml_parser_parse(self.parser.as_mut_ptr(), raw.as_mut_ptr()) };
        if parsed.fail {
            self.ended = true;
            return Err(self.problem());
        }
        // SAFETY: `parse` succeeded, so the event is whole and its union member is
        // the one that its type names.
        let read = unsafe { read_event(&*raw.as_ptr()) };
        // SAFETY: the event was made by `parse`, is deleted once and not used after.
        unsafe { unsafe_sys::yaml_event_delete(raw.as_mut_ptr()) };
        self.ended = matches!(read, Ok((Event::StreamEnd, _)) | Err(_));
        read
    }

    fn problem(&self) -> SyntaxError {
        // SAFETY: the parser is initialised; after a failed call these fields tell
        // why. Both texts are null or static NUL-terminated strings.
        let (problem, context, offset, mark, context_mark) = unsafe {
            let parser = &*self.parser.as_ptr();
            (
                text_of(parser.problem.cast()),
                text_of(parser.context.cast()),
                parser.problem_offset,
                parser.problem_mark,
                parser.context_mark,
            )
        };
        let mut text = problem.unwrap_or_else(|| "out of memory".to_owned());
        let mut place = place_of(mark);
        // The reader (bad UTF-8, control characters) knows an offset, not a mark.
        if mark.line == 0 && mark.column == 0 && offset > 0 {
            place = place_in(self.input, usize::try_from(offset).unwrap_or(usize::MAX));
        }
        if let Some(context) = context {
            let began = place_of(context_mark);
            if began.line == place.line || began.line == 1 && began.column == 1 {
                text = format!("{text} {context}");
            } else {
                text = format!("{text} {context} that began in line {}", began.line);
            }
        }
        SyntaxError { line: place.line, column: place.column, text }
    }
}

impl Drop for Events<'_> {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, deleted only here.
        unsafe { unsafe_sys::yaml_parser_delete(self.parser.as_mut_ptr()) };
    }
}

fn place_of(mark: unsafe_sys::yaml_mark_t) -> Mark {
    let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).saturating_add(1);
    Mark { line: number(mark.line), column: number(mark.column) }
}

fn place_in(input: &[u8], offset: usize) -> Mark {
    let before = &input[..offset.min(input.len())];
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let column = before.len() - before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1) + 1;
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    Mark { line: number(line), column: number(column) }
}

/// # Safety
/// `text` is null or points to a NUL-terminated string.
unsafe fn text_of(text: *const std::ffi::c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not null, and NUL-terminated by this function's contract.
    Some(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// # Safety
/// The event is whole: made by a successful `yaml_parser_parse`, not yet deleted.
unsafe fn read_event(raw: &unsafe_sys::yaml_event_t) -> Result<(Event, Mark), SyntaxError> {
    let mark = place_of(raw.start_mark);
    // SAFETY: each arm reads only the union member that belongs to the type;
    // anchors and tags are null or NUL-terminated; a scalar's value points to
    // `length` bytes.
    let event = unsafe {
        match raw.type_ {
            unsafe_sys::YAML_STREAM_START_EVENT => Event::StreamStart,
            unsafe_sys::YAML_STREAM_END_EVENT => Event::StreamEnd,
            unsafe_sys::YAML_DOCUMENT_START_EVENT => Event::DocumentStart,
            unsafe_sys::YAML_DOCUMENT_END_EVENT => Event::DocumentEnd,
            unsafe_sys::YAML_ALIAS_EVENT => {
                Event::Alias(text_of(raw.data.alias.anchor.cast_const().cast()).unwrap_or_default())
            }
            unsafe_sys::YAML_SCALAR_EVENT => {
                let scalar = raw.data.scalar;
                let length = usize::try_from(scalar.length).unwrap_or(0);
                let bytes = if scalar.value.is_null() || length == 0 {
                    &[][..]
                } else {
                    std::slice::from_raw_parts(scalar.value.cast_const(), length)
                };
                let Ok(text) = std::str::from_utf8(bytes) else {
                    let text = "text is not UTF-8".to_owned();
                    return Err(SyntaxError { line: mark.line, column: mark.column, text });
                };
                Event::Scalar {
                    anchor: text_of(scalar.anchor.cast_const().cast()),
                    tag: text_of(scalar.tag.cast_const().cast()),
                    text: text.to_owned(),
                    plain: scalar.plain_implicit,
                }
            }
            unsafe_sys::YAML_SEQUENCE_START_EVENT => {
                let list = raw.data.sequence_start;
                Event::ListStart {
                    anchor: text_of(list.anchor.cast_const().cast()),
                    tag: text_of(list.tag.cast_const().cast()),
                }
            }
            unsafe_sys::YAML_SEQUENCE_END_EVENT => Event::ListEnd,
            unsafe_sys::YAML_MAPPING_START_EVENT => {
                let map = raw.data.mapping_start;
                Event::MapStart {
                    anchor: text_of(map.anchor.cast_const().cast()),
                    tag: text_of(map.tag.cast_const().cast()),
                }
            }
            unsafe_sys::YAML_MAPPING_END_EVENT => Event::MapEnd,
            _ => {
                let text = "unexpected end".to_owned();
                return Err(SyntaxError { line: mark.line, column: mark.column, text });
            }
        }
    };
    Ok((event, mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &[u8]) -> Result<Vec<(Event, Mark)>, SyntaxError> {
        let mut reader = Events::new(text)?;
        let mut all = Vec::new();
        loop {
            let (event, mark) = reader.next_event()?;
            if event == Event::StreamEnd {
                return Ok(all);
            }
            all.push((event, mark));
        }
    }

    #[test]
    fn events_bear_their_places() {
        let all = events(b"a: &x 'b'\nc:\n  - *x\n").unwrap();
        let scalar = |anchor: Option<&str>, text: &str, plain| Event::Scalar {
            anchor: anchor.map(str::to_owned),
            tag: None,
            text: text.to_owned(),
            plain,
        };
        assert_eq!(all[3], (scalar(None, "a", true), Mark { line: 1, column: 1 }));
        assert_eq!(all[4].0, scalar(Some("x"), "b", false));
        assert_eq!(all[4].1, Mark { line: 1, column: 4 });
        assert_eq!(all[7], (Event::Alias("x".to_owned()), Mark { line: 3, column: 5 }));
    }

    #[test]
    fn errors_name_line_and_column() {
        for (text, line, part) in [
            (&b"a: [1, 2\nb: 3\n"[..], 2, "did not find expected"),
            (b"a: 'x\n", 2, "unexpected end of stream"),
            (b"a:\n\tb: 1\n", 2, "cannot start any token"),
            (b"a: b: c\n", 1, "mapping values are not allowed"),
            (b"ok: 1\nbad: \xff\n", 2, "UTF-8"),
            (b"ok: 1\nbad: \x01\n", 2, "control characters"),
            (b"a: 1\n b: 2\n", 2, "mapping values are not allowed"),
        ] {
            let error = events(text).unwrap_err();
            assert_eq!(error.line, line, "{error}");
            assert!(error.text.contains(part), "{error}");
        }
    }

    #[test]
    fn after_an_error_there_is_only_the_end() {
        let mut reader = Events::new(b"]").unwrap();
        while let Ok((event, _)) = reader.next_event() {
            assert_ne!(event, Event::StreamEnd);
        }
        assert_eq!(reader.next_event().unwrap().0, Event::StreamEnd);
        assert_eq!(reader.next_event().unwrap().0, Event::StreamEnd);
    }

    #[test]
    fn empty_input_and_byte_order_marks() {
        assert_eq!(events(b"").unwrap().len(), 1);
        for text in [&b"\xef\xbb\xbfa: 1"[..], b"\xff\xfea\0:\0 \x001\0"] {
            let all = events(text).unwrap();
            assert!(matches!(&all[3].0, Event::Scalar { text, .. } if text == "a"), "{all:?}");
        }
    }
}
