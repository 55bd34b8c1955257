//! Limits of the wire, each with its unit in the name (reliability.md §2).

/// How much of one request is taken in before it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Request line without its CRLF; more is 414.
    pub request_line_bytes: usize,
    /// All header fields with their line ends; more is 431.
    pub header_bytes: usize,
    /// Header fields; more is 431.
    pub header_count: usize,
    /// One field line without its CRLF; more is 431.
    pub header_field_bytes: usize,
    /// Body after the chunks are joined; more is 413.
    pub body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            request_line_bytes: 8 * 1024,
            header_bytes: 32 * 1024,
            header_count: 100,
            header_field_bytes: 8 * 1024,
            body_bytes: 1024 * 1024,
        }
    }
}

/// One chunk's size line, extensions included.
pub const CHUNK_LINE_BYTES_MAX: usize = 256;

/// The trailer section after the last chunk.
pub const TRAILER_BYTES_MAX: usize = 4 * 1024;

/// A header of version 1 of the PROXY protocol, its CRLF included
/// (specification §2.1).
pub const PROXY_LINE_BYTES_MAX: usize = 107;

/// What follows the fixed part of a header of version 2: addresses, and the
/// balancer's additions, certificates among them.
pub const PROXY_HEADER_BYTES_MAX: usize = 4 * 1024;

/// CGI variables beside the header fields: RFC 3875 has 17, web servers add
/// their own, of TLS above all.
pub const CGI_OTHER_VARIABLES_MAX: usize = 156;

/// Content of a FastCGI record that asks for our values; what is longer is
/// read, not looked at. The three names that exist need 50.
pub const FASTCGI_VALUES_BYTES_MAX: usize = 1024;
