//! One binary for all black-box tests: it links once, and every test starts
//! the real daemon in a directory of its own.

#[path = "../harness/mod.rs"]
#[allow(dead_code)] // a set of tools: features decide which of them a build uses
mod harness;

mod as_mapproxy;
mod auth;
mod auth_matrix;
#[cfg(feature = "peers")]
mod browser;
mod cache_faults;
#[cfg(feature = "peers")]
mod callbacks;
mod command_line;
mod control;
mod corpora;
mod crowd;
mod daemon_file;
mod database_faults;
mod decorate;
mod demo;
#[cfg(feature = "peers")]
mod differential;
mod embedded;
mod expire_tiles;
mod export;
mod fastcgi;
#[cfg(feature = "peers")]
mod fixtures;
#[cfg(feature = "peers")]
mod front;
#[cfg(feature = "peers")]
mod front_apache;
#[cfg(feature = "peers")]
mod front_before;
#[cfg(feature = "peers")]
mod front_fastcgi;
#[cfg(feature = "peers")]
mod front_haproxy;
#[cfg(feature = "peers")]
mod front_hosts;
#[cfg(feature = "peers")]
mod front_lighttpd;
#[cfg(feature = "peers")]
mod front_login;
#[cfg(feature = "peers")]
mod front_mounts;
#[cfg(feature = "peers")]
mod front_nginx;
#[cfg(feature = "peers")]
mod front_storm;
mod http_abuse;
mod http_crowd;
mod http_odd;
mod http_proxied;
mod http_whole;
mod keys;
mod limits;
#[cfg(feature = "long")]
mod long;
#[cfg(feature = "peers")]
mod map_clients;
mod ogcapi;
mod ogcapi_sources;
#[cfg(feature = "peers")]
mod parity;
#[cfg(feature = "peers")]
mod power_cut;
#[cfg(feature = "peers")]
mod privileges;
mod projections;
mod reload;
mod renderd;
mod rescale;
mod scarcity;
mod scgi_uwsgi;
mod seeing;
mod several_maps;
#[cfg(feature = "peers")]
mod shared_cache;
#[cfg(feature = "peers")]
mod shared_databases;
mod smoke;
mod systemd;
#[cfg(feature = "peers")]
mod tile_documents;
mod upgrade;
mod upstream_faults;
mod watching;
#[cfg(feature = "peers")]
mod wms_documents;
mod wms_info;
mod workers;
