//! The response writer: status line and fields, ready to go out in one call
//! together with the body.
//!
//! Writes what belongs to the connection (Date, Content-Length, Connection,
//! Keep-Alive); everything else comes with the response.

use super::Response;
use super::http::is_token_byte;

/// Length of an HTTP date such as `Sun, 22 Nov 2026 14:00:00 GMT`.
pub const DATE_BYTES: usize = 29;

/// How the connection goes on after this response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    Close,
    /// Seconds of idleness that are announced to the client.
    KeepAlive {
        timeout_s: u64,
    },
}

/// What the connection adds to a response.
#[derive(Clone, Copy, Debug)]
pub struct Framing<'a> {
    /// The answer to HEAD: same fields, no body.
    pub head_only: bool,
    pub persistence: Persistence,
    /// The present time as [`super::cond::format_date`] writes it.
    pub date: &'a str,
}

/// The phrase that stands behind a status; of no meaning (RFC 9112 §4).
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        200 => "OK",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Status",
    }
}

/// Answer to `Expect: 100-continue`.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Whether a response of that status has a body at all.
fn has_body(status: u16) -> bool {
    !matches!(status, 100..=199 | 204 | 304)
}

/// Whether the body is sent after the head.
pub fn sends_body(status: u16, head_only: bool) -> bool {
    has_body(status) && !head_only
}

/// Appends the head of a response, blank line included. The body follows when
/// [`sends_body`] says so.
pub fn write_head(out: &mut Vec<u8>, response: &Response, framing: &Framing) {
    write_status_line(out, response.status);
    write_fields(out, response);
    out.extend_from_slice(b"Date: ");
    out.extend_from_slice(framing.date.as_bytes());
    match framing.persistence {
        Persistence::Close => out.extend_from_slice(b"\r\nConnection: close\r\n\r\n"),
        Persistence::KeepAlive { timeout_s } => {
            out.extend_from_slice(b"\r\nConnection: keep-alive\r\nKeep-Alive: timeout=");
            write_number(out, timeout_s);
            out.extend_from_slice(b"\r\n\r\n");
        }
    }
}

/// The head of a response for a web server that talks to clients itself, as
/// CGI has it: `Status:` and no field of the connection.
pub fn write_cgi_head(out: &mut Vec<u8>, response: &Response) {
    out.extend_from_slice(b"Status: ");
    write_status(out, response.status);
    write_fields(out, response);
    out.extend_from_slice(b"\r\n");
}

/// The same with a status line, which uwsgi has in place of `Status:`.
pub fn write_plain_head(out: &mut Vec<u8>, response: &Response) {
    write_status_line(out, response.status);
    write_fields(out, response);
    out.extend_from_slice(b"\r\n");
}

fn write_fields(out: &mut Vec<u8>, response: &Response) {
    for (name, value) in &response.headers {
        write_field(out, name.as_bytes(), value.as_bytes());
    }
    if has_body(response.status) {
        out.extend_from_slice(b"Content-Length: ");
        write_number(out, response.body.as_slice().len() as u64);
        out.extend_from_slice(b"\r\n");
    }
}

fn write_status_line(out: &mut Vec<u8>, status: u16) {
    if status == 200 {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    write_status(out, status);
}

fn write_status(out: &mut Vec<u8>, status: u16) {
    write_number(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// A field line. Whatever could end the line or the head is replaced, however
/// it came into the value; a name that is no token is left out.
fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    if name.is_empty() || !name.iter().all(|&byte| is_token_byte(byte)) {
        return;
    }
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    let start = out.len();
    out.extend_from_slice(value);
    for byte in &mut out[start..] {
        if (*byte < b' ' && *byte != b'\t') || *byte == 0x7f {
            *byte = b' ';
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn write_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// A short plain-text response, for what the protocol itself refuses.
pub fn plain(status: u16, text: &str) -> Response {
    Response::new(status, "text/plain; charset=utf-8", format!("{status} {}: {text}\n", reason(status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Sun, 22 Nov 2026 14:00:00 GMT";

    fn head(response: &Response, head_only: bool, persistence: Persistence) -> String {
        let mut out = Vec::new();
        write_head(&mut out, response, &Framing { head_only, persistence, date: DATE });
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_response_has_the_fields_of_its_connection() {
        let response = Response::new(200, "image/png", vec![0; 1_234]).with("ETag", "\"a\"");
        assert_eq!(
            head(&response, false, Persistence::KeepAlive { timeout_s: 15 }),
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nETag: \"a\"\r\nContent-Length: 1234\r\n\
                 Date: {DATE}\r\nConnection: keep-alive\r\nKeep-Alive: timeout=15\r\n\r\n"
            )
        );
        assert!(head(&response, true, Persistence::Close).contains("Content-Length: 1234\r\n"));
        assert!(!sends_body(200, true) && sends_body(200, false) && !sends_body(304, false));
    }

    #[test]
    fn no_body_no_length() {
        let mut response = Response::new(304, "image/png", "");
        assert!(!head(&response, false, Persistence::Close).contains("Content-Length"));
        response.status = 599;
        let text = head(&response, false, Persistence::Close);
        assert!(text.starts_with("HTTP/1.1 599 Status\r\n") && text.contains("Content-Length: 0\r\n"));
    }

    #[test]
    fn no_value_splits_the_head() {
        let response = Response::new(200, "a\r\nX: 1", "").with("X\r\nY", "z").with("B", "\0\n\x7f\tc");
        let text = head(&response, false, Persistence::Close);
        assert!(text.contains("Content-Type: a  X: 1\r\n") && text.contains("B:    \tc\r\n"));
        assert!(!text.contains("Y: z") && text.matches("\r\n\r\n").count() == 1);
    }
}
