//! Bytes ⇄ messages: HTTP/1.1, FastCGI, SCGI, uwsgi. Sans-io and pure:
//! no sockets, no clock, no files, no threads.

pub mod cgi;
pub mod chunked;
pub mod codec;
pub mod coding;
pub mod cond;
pub mod fastcgi;
pub mod forwarded;
pub mod frames;
pub mod http;
pub mod limit;
pub mod message;
pub mod network;
pub mod proxy_protocol;
pub mod range;
pub mod reply;
pub mod scgi;
pub mod shown;
pub mod url;
pub mod uwsgi;

pub use message::{Body, Headers, Method, Request, Response};
