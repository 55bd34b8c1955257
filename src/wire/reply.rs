//! The response writer: status line, fields, body.
