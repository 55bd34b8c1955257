//! Error and access log: one unbuffered write for each line.
//!
//! The level says who must act: error: the operator; warn: upstream or data;
//! info: lifecycle; debug: us; alert: must not happen.
