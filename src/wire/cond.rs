//! Conditional requests: ETag, If-None-Match, If-Modified-Since, Cache-Control.
