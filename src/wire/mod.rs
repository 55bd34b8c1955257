//! Bytes ⇄ messages: HTTP/1.1 (FastCGI comes beside it). Sans-io and pure:
//! no sockets, no clock, no files, no threads.

pub mod chunked;
pub mod cond;
pub mod forwarded;
pub mod http;
pub mod limit;
pub mod message;
pub mod network;
pub mod proxy_protocol;
pub mod reply;
pub mod url;

pub use message::{Body, Headers, Method, Request, Response};
