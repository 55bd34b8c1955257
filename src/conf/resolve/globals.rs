//! Section `globals`.

use std::path::{Path, PathBuf};

use super::super::conf::{Globals, HttpConf, MapServerConf, Named, SqliteConf};
use super::super::node::Node;
use super::{GridDefaults, Resolver, flag, number, text};
use crate::geo::Srs;
use crate::geo::proj::set_data_dir;
use crate::render::Kernel;
use crate::render::decor::Typeface;
use crate::source::client::Method;

/// Without it PROJ knows no system by its code.
const PROJ_DATABASE: &str = "proj.db";
const FONT_FILE: &str = "DejaVuSans.ttf";
const CLIENT_TIMEOUT_MAX_S: f64 = 86_400.0;

/// What holds where the file says nothing.
pub(super) fn defaults(dir: &Path) -> (Globals, GridDefaults) {
    let globals = Globals {
        resampling: Kernel::Bicubic,
        paletted: true,
        jpeg_quality: 90,
        typeface: None,
        formats: Named::default(),
        http: HttpConf {
            client_timeout_s: 60.0,
            method: Method::Auto,
            headers: Vec::new(),
            ssl_ca_certs: None,
            ssl_no_cert_checks: false,
            hide_error_details: true,
            manage_cookies: false,
        },
        access_control_allow_origin: Some("*".to_owned()),
        concurrent_requests: 0,
        base_dir: dir.join("./cache_data"),
        lock_dir: dir.join("./cache_data/tile_locks"),
        sqlite: SqliteConf { timeout_s: 30.0, wal: false },
        directory_mode: None,
        file_mode: None,
        preferred_src: Vec::new(),
        proj_data_dir: None,
        tile_age_max_s: 72 * 3600,
        mapserver: MapServerConf::default(),
        renderd_address: None,
        background_url: None,
    };
    let grids = GridDefaults { tile_size: (256, 256), stretch_factor: 1.15, max_shrink_factor: 4.0 };
    (globals, grids)
}

impl Resolver<'_> {
    pub(super) fn resolve_globals(&mut self) {
        let Some(node) = self.root.get("globals") else { return };
        if let Some(srs) = node.get("srs") {
            self.globals.proj_data_dir = self.proj_data_dir(srs);
            self.globals.preferred_src = self.preferred_src(srs);
        }
        if let Some(image) = node.get("image") {
            self.globals_image(image);
        }
        if let Some(http) = node.get("http") {
            self.globals.http = self.http(Some(http), "globals.http");
            if let Some(limit) = self.count(http, "concurrent_requests", "globals.http", 0, 10_000) {
                self.globals.concurrent_requests = limit;
            }
            if let Some(entry) = http.entry("access_control_allow_origin") {
                self.globals.access_control_allow_origin =
                    entry.value.text().filter(|origin| !origin.is_empty()).map(str::to_owned);
            }
        }
        if let Some(cache) = node.get("cache") {
            self.globals_cache(cache);
        }
        if let Some(grid) = node.get("grid")
            && let Some(size) = self.pair(grid, "tile_size", "globals.grid", super::grids::TILE_SIDE_MAX)
        {
            self.grid_defaults.tile_size = size;
        }
        if let Some(hours) = node.get("tiles").and_then(|tiles| number(tiles, "expires_hours")) {
            self.globals.tile_age_max_s = (hours.max(0.0) * 3600.0) as u64;
        }
        if let Some(server) = node.get("mapserver") {
            self.globals.mapserver = self.mapserver(server);
        }
        if let Some(renderd) = node.get("renderd") {
            self.check_server(renderd, "address", "globals.renderd");
            self.globals.renderd_address = text(renderd, "address").filter(|address| !address.is_empty());
        }
        if let Some(url) = node.get("background").and_then(|background| text(background, "url")) {
            self.globals.background_url = Some(url);
        }
    }

    /// PROJ's own files, for the whole process from here on: before the first
    /// system of the map is looked up.
    fn proj_data_dir(&mut self, srs: &Node) -> Option<PathBuf> {
        const PATH: &str = "globals.srs.proj_data_dir";
        let value = srs.get("proj_data_dir")?;
        let dir = self.path(value.text()?);
        // What was checked once need not be there again for each later worker.
        if !self.files.is_sealed() && !dir.join(PROJ_DATABASE).is_file() {
            let text = format!("{} has no {PROJ_DATABASE}; it must hold all of PROJ's data", dir.display());
            self.error(value, PATH, text);
            return None;
        }
        if let Err(error) = set_data_dir(&dir) {
            self.error(value, PATH, format!("{error}; all maps of a daemon share it"));
            return None;
        }
        Some(dir)
    }

    /// The font that MapProxy takes from such a directory for watermarks and
    /// attributions; where it is of no use the built-in one serves, as there.
    fn typeface(&mut self, image: &Node) -> Option<Typeface> {
        let value = image.get("font_dir")?;
        let file = self.path(value.text()?).join(FONT_FILE);
        let read = self.files.read(&file).map(<[u8]>::to_vec);
        let found = read.map_err(|error| format!("cannot be read: {error}")).and_then(Typeface::from_bytes);
        match found {
            Ok(typeface) => Some(typeface),
            Err(reason) => {
                let text = format!("{} {reason}; the built-in font is used", file.display());
                self.warn(value, "globals.image.font_dir", text);
                None
            }
        }
    }

    fn globals_image(&mut self, image: &Node) {
        const PATH: &str = "globals.image";
        if let Some(kernel) = super::image::kernel(image) {
            self.globals.resampling = kernel;
        }
        if let Some(paletted) = flag(image, "paletted") {
            self.globals.paletted = paletted;
        }
        if let Some(quality) = self.count(image, "jpeg_quality", PATH, 1, 100) {
            self.globals.jpeg_quality = quality as u8;
        }
        if let Some(factor) = self.positive(image, "stretch_factor", PATH) {
            self.grid_defaults.stretch_factor = factor;
        }
        if let Some(factor) = self.positive(image, "max_shrink_factor", PATH) {
            self.grid_defaults.max_shrink_factor = factor;
        }
        self.globals.typeface = self.typeface(image);
        for entry in super::section(image, "formats") {
            let path = format!("{PATH}.formats.{}", entry.key);
            let mut format = self.format_conf(&entry.value, &path);
            if format.format.is_none() && entry.key.starts_with("image/") {
                format.format = Some(entry.key.to_string());
            }
            self.globals.formats.insert(entry.key.to_string(), format);
        }
    }

    fn globals_cache(&mut self, cache: &Node) {
        const PATH: &str = "globals.cache";
        if let Some(dir) = text(cache, "base_dir") {
            self.globals.base_dir = self.path(&dir);
        }
        if let Some(dir) = text(cache, "lock_dir") {
            self.globals.lock_dir = self.path(&dir);
        }
        if let Some(timeout_s) = self.sqlite_timeout(cache, PATH) {
            self.globals.sqlite.timeout_s = timeout_s;
        }
        if let Some(wal) = flag(cache, "sqlite_wal") {
            self.globals.sqlite.wal = wal;
        }
        self.globals.directory_mode = self.mode(cache, "directory_permissions", PATH);
        self.globals.file_mode = self.mode(cache, "file_permissions", PATH);
    }

    fn preferred_src(&mut self, srs: &Node) -> Vec<(Srs, Vec<Srs>)> {
        const PATH: &str = "globals.srs.preferred_src_proj";
        let mut preferred = Vec::new();
        let Some(map) = srs.get("preferred_src_proj") else { return preferred };
        for entry in map.entries() {
            let target = self.srs(&entry.value, &entry.key, format!("{PATH}.{}", entry.key));
            let sources = self.srs_list(map, &entry.key, PATH);
            if let (Some(target), Some(sources)) = (target, sources) {
                preferred.push((target, sources));
            }
        }
        preferred
    }

    /// `http` with what is not said taken from the globals.
    pub(super) fn http(&mut self, node: Option<&Node>, path: &str) -> HttpConf {
        let mut http = self.globals.http.clone();
        let Some(node) = node else { return http };
        if let Some(timeout) = self.positive(node, "client_timeout", path) {
            http.client_timeout_s = timeout.min(CLIENT_TIMEOUT_MAX_S);
        }
        match node.get("method").and_then(Node::text) {
            Some("AUTO") => http.method = Method::Auto,
            Some("GET") => http.method = Method::Get,
            Some("POST") => http.method = Method::Post,
            _ => {}
        }
        // A source's headers stand in place of the globals', as in MapProxy.
        if let Some(headers) = node.get("headers") {
            http.headers = Vec::new();
            for entry in headers.entries() {
                let Some(value) = entry.value.text() else { continue };
                let name_fits = !entry.key.is_empty()
                    && entry
                        .key
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
                if !name_fits || value.bytes().any(|byte| byte < b' ' && byte != b'\t' || byte == 127) {
                    let key = format!("{path}.headers.{}", entry.key);
                    self.error(&entry.value, key, "is no valid HTTP header");
                    continue;
                }
                http.headers.push((entry.key.to_string(), value.to_owned()));
            }
        }
        if let Some(certs) = text(node, "ssl_ca_certs") {
            let certs = self.path(&certs);
            if let Err(error) = self.files.read(&certs) {
                let key = format!("{path}.ssl_ca_certs");
                let place = node.get("ssl_ca_certs").unwrap_or(node);
                self.findings.error(place.place, key, format!("cannot read {}: {error}", certs.display()));
            }
            http.ssl_ca_certs = Some(certs);
        }
        if let Some(off) = flag(node, "ssl_no_cert_checks") {
            http.ssl_no_cert_checks = off;
        }
        if let Some(hide) = flag(node, "hide_error_details") {
            http.hide_error_details = hide;
        }
        if let Some(keep) = flag(node, "manage_cookies") {
            http.manage_cookies = keep;
        }
        http
    }

    /// `mapserver`, with what is not said taken from the globals.
    pub(super) fn mapserver(&self, node: &Node) -> MapServerConf {
        let own = |key| text(node, key).map(|path| self.path(&path));
        MapServerConf {
            binary: own("binary").or_else(|| self.globals.mapserver.binary.clone()),
            working_dir: own("working_dir").or_else(|| self.globals.mapserver.working_dir.clone()),
        }
    }
}
