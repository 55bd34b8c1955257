//! Section `sources` (mapproxy-features.md §5).

use std::path::PathBuf;

use super::super::color;
use super::super::conf::{
    ArcGisConf, MapServerSource, MapnikConf, OgcApiMapsConf, OgcApiTilesConf, ResBounds, SourceConf,
    SourceImage, SourceKind, SourceRef, StylesheetConf, TileConf, WmsConf, WmsInfoConf,
};
use super::super::nearest::hint;
use super::super::node::{Entry, KeyKind, Node, Value};
use super::{Resolver, flag, number, text, texts};
use crate::source::wms::WmsVersion;
use crate::source::{OnError, OnErrorRule};

/// Metres of a pixel on the OGC's screen.
const PIXEL_SIZE_M: f64 = 0.000_28;
const TOLERANCE: u8 = 5;
/// `transparent` as a reaction: MapProxy's white without weight.
const TRANSPARENT: [u8; 4] = [255, 255, 255, 0];

/// `1.1.1`, `1.3.0`, …
pub(super) fn wms_version(text: &str) -> Option<WmsVersion> {
    match text {
        "1.0.0" => Some(WmsVersion::V100),
        "1.1.0" => Some(WmsVersion::V110),
        "1.1.1" => Some(WmsVersion::V111),
        "1.3.0" => Some(WmsVersion::V130),
        _ => None,
    }
}

impl Resolver<'_> {
    pub(super) fn resolve_sources(&mut self) {
        let root = self.root;
        for entry in super::section(root, "sources") {
            if let Some(source) = self.source(entry) {
                self.sources.insert(entry.key.to_string(), source);
            }
        }
    }

    fn source(&mut self, entry: &Entry) -> Option<SourceConf> {
        let node = &entry.value;
        let path = format!("sources.{}", entry.key);
        let mut image = self.source_image(node, &path);
        let kind = match node.get("type")?.text()? {
            "wms" => SourceKind::Wms(self.wms(node, &path, &mut image)?),
            "tile" => SourceKind::Tile(self.tile(node, &path)?),
            "debug" => SourceKind::Debug,
            "mapserver" => SourceKind::MapServer(self.mapserver_source(node, &path, &mut image)?),
            "mapnik" => SourceKind::Mapnik(MapnikConf {
                mapfile: self.path(&text(node, "mapfile")?),
                layers: layer_list(node.get("layers")),
                scale_factor: self.positive(node, "scale_factor", &path),
                multithreaded: flag(node, "multithreaded").unwrap_or(false),
            }),
            "arcgis" => SourceKind::ArcGis(self.arcgis(node)?),
            "ogcapitiles" => SourceKind::OgcApiTiles(self.ogcapi_tiles(node, &path)?),
            "ogcapimaps" => SourceKind::OgcApiMaps(self.ogcapi_maps(node, &path)?),
            _ => return None,
        };
        // A format of its own brings what the globals say of that format.
        if let SourceKind::Wms(WmsConf { format: Some(format), .. }) = &kind {
            image.options = self.image_conf(&image.options, Some(format));
            image.resampling = image.options.resampling.unwrap_or(image.resampling);
        }
        let limit = self.count(node, "concurrent_requests", &path, 0, 10_000);
        Some(SourceConf {
            name: entry.key.to_string(),
            kind,
            image,
            coverage: self.coverage(node, "coverage", &path),
            res: self.res_bounds(node, &path),
            seed_only: flag(node, "seed_only").unwrap_or(false),
            concurrent_requests: limit.unwrap_or(self.globals.concurrent_requests),
            http: self.http(node.get("http"), &format!("{path}.http")),
            on_error: self.on_error(node, &path),
            supported_srs: self.srs_list(node, "supported_srs", &path).unwrap_or_default(),
            supported_formats: texts(node, "supported_formats").unwrap_or_default(),
        })
    }

    fn source_image(&mut self, node: &Node, path: &str) -> SourceImage {
        let mut image = SourceImage {
            resampling: self.globals.resampling,
            transparent_color_tolerance: TOLERANCE,
            ..SourceImage::default()
        };
        if let Some(own) = node.get("image") {
            let path = format!("{path}.image");
            image.options = self.format_conf(own, &path);
            image.opacity = self.opacity(own, &path);
            image.transparent_color = own.get("transparent_color").and_then(color::parse);
            if let Some(tolerance) = self.count(own, "transparent_color_tolerance", &path, 0, 255) {
                image.transparent_color_tolerance = tolerance as u8;
            }
        }
        if let Some(transparent) = flag(node, "transparent") {
            image.options.transparent = Some(transparent);
        }
        image.resampling = image.options.resampling.unwrap_or(image.resampling);
        image
    }

    pub(super) fn opacity(&mut self, node: &Node, path: &str) -> Option<f64> {
        let value = node.get("opacity")?;
        let opacity = value.number()?;
        if (0.0..=1.0).contains(&opacity) {
            return Some(opacity);
        }
        self.error(value, format!("{path}.opacity"), "must be between 0 (invisible) and 1");
        None
    }

    /// Resolutions, or scales converted to resolutions.
    pub(super) fn res_bounds(&mut self, node: &Node, path: &str) -> ResBounds {
        let mut found = [None; 4];
        for (slot, key) in found.iter_mut().zip(["min_res", "max_res", "min_scale", "max_scale"]) {
            // Zero means "no bound", as in MapProxy.
            *slot = number(node, key).filter(|value| *value != 0.0);
        }
        let [min_res, max_res, min_scale, max_scale] = found;
        let bounds = if min_res.is_some() || max_res.is_some() {
            if min_scale.is_some() || max_scale.is_some() {
                self.warn(node, path, "has both resolutions and scales; the scales are ignored");
            }
            ResBounds { min_res, max_res }
        } else {
            // The coarse end is the largest scale denominator.
            let to_res = |scale: f64| scale * PIXEL_SIZE_M;
            ResBounds { min_res: max_scale.map(to_res), max_res: min_scale.map(to_res) }
        };
        if let (Some(coarse), Some(fine)) = (bounds.min_res, bounds.max_res)
            && coarse <= fine
        {
            let text =
                "the range is empty: min_res (max_scale) is the coarse end and must be the larger number";
            self.error(node, path, text);
        }
        bounds
    }

    fn on_error(&mut self, node: &Node, path: &str) -> OnError {
        let mut rules = Vec::new();
        for entry in node.get("on_error").map_or(&[][..], Node::entries) {
            let path = format!("{path}.on_error.{}", entry.key);
            let status = match (entry.kind, &*entry.key) {
                (KeyKind::Int, code) => match code.parse::<u16>() {
                    Ok(code) if (100..=599).contains(&code) => Some(code),
                    _ => {
                        self.findings.error(entry.place, path, "is no HTTP status");
                        continue;
                    }
                },
                (_, "other") => None,
                _ => {
                    let text = "must be a HTTP status (a number without quotes) or `other`";
                    self.findings.error(entry.place, path, text);
                    continue;
                }
            };
            let response = entry.value.get("response");
            let color = match response.and_then(Node::text) {
                Some("transparent") | None
                    if !matches!(response.map(|node| &node.value), Some(Value::List(_))) =>
                {
                    Some(TRANSPARENT)
                }
                _ => response.and_then(color::parse),
            };
            let Some(color) = color else { continue };
            rules.push(OnErrorRule {
                status,
                color,
                cache: flag(&entry.value, "cache").unwrap_or(false),
                authorize_stale: flag(&entry.value, "authorize_stale").unwrap_or(false),
            });
        }
        OnError(rules)
    }

    fn wms(&mut self, node: &Node, path: &str, image: &mut SourceImage) -> Option<WmsConf> {
        let req = node.get("req")?;
        let url = text(req, "url")?;
        self.check_url(req, "url", &format!("{path}.req"));
        self.wms_like(node, req, url, path, image)
    }

    /// What `wms` and `mapserver` have in common.
    fn wms_like(
        &mut self,
        node: &Node,
        req: &Node,
        url: String,
        path: &str,
        image: &mut SourceImage,
    ) -> Option<WmsConf> {
        let empty = Node::null(node.place);
        let opts = node.get("wms_opts").unwrap_or(&empty);
        let mut version = WmsVersion::V111;
        if let Some(written) = opts.get("version")
            && let Some(text) = written.text()
        {
            match wms_version(text) {
                Some(known) => version = known,
                None => {
                    let text =
                        format!("unknown WMS version \"{text}\"; it can be 1.0.0, 1.1.0, 1.1.1, 1.3.0");
                    self.error(written, format!("{path}.wms_opts.version"), text);
                }
            }
        }
        let transparent =
            req.get("transparent").and_then(Node::printed).map(|text| text.eq_ignore_ascii_case("true"));
        if image.options.transparent.is_none() {
            image.options.transparent = transparent;
        }
        Some(WmsConf {
            url,
            layers: layer_list(req.get("layers")),
            format: text(req, "format"),
            transparent,
            parameters: self.parameters(req, path),
            version,
            map: flag(opts, "map").unwrap_or(true),
            forward_req_params: texts(node, "forward_req_params").unwrap_or_default(),
            info: WmsInfoConf {
                featureinfo: flag(opts, "featureinfo").unwrap_or(false),
                legendgraphic: flag(opts, "legendgraphic").unwrap_or(false),
                legendurl: text(opts, "legendurl"),
                featureinfo_format: text(opts, "featureinfo_format"),
                featureinfo_xslt: opts
                    .get("featureinfo_xslt")
                    .and_then(|node| self.stylesheet(node, &format!("{path}.wms_opts.featureinfo_xslt"))),
                featureinfo_out_format: text(opts, "featureinfo_out_format"),
                query_layers: text(opts, "query_layers"),
            },
        })
    }

    /// A stylesheet file, read now so that every worker has the same.
    pub(super) fn stylesheet(&mut self, node: &Node, path: &str) -> Option<StylesheetConf> {
        let file = self.path(node.text()?);
        match self.files.read(&file) {
            Ok(bytes) => Some(StylesheetConf { path: file, bytes: bytes.into() }),
            Err(error) => {
                let text = format!("cannot read {}: {error}", file.display());
                self.error(node, path, text);
                None
            }
        }
    }

    /// Everything else in `req`, as query parameters.
    fn parameters(&mut self, req: &Node, path: &str) -> Vec<(String, String)> {
        let mut parameters = Vec::new();
        for entry in req.entries() {
            if ["url", "layers", "transparent", "format"].contains(&&*entry.key) {
                continue;
            }
            let value = match &entry.value.value {
                Value::List(items) => items.iter().filter_map(Node::printed).collect::<Vec<_>>().join(","),
                Value::Null => continue,
                _ => match entry.value.printed() {
                    Some(value) => value,
                    None => {
                        let text = "must be one value; it becomes a parameter of the request";
                        self.error(&entry.value, format!("{path}.req.{}", entry.key), text);
                        continue;
                    }
                },
            };
            match value.strip_prefix("file://").filter(|_| &*entry.key == "sld") {
                Some(file) => {
                    let file = self.path(file);
                    match self.files.read(&file).map(|bytes| String::from_utf8_lossy(bytes).into_owned()) {
                        Ok(body) => parameters.push(("sld_body".to_owned(), body)),
                        Err(error) => {
                            let text = format!("cannot read {}: {error}", file.display());
                            self.error(&entry.value, format!("{path}.req.sld"), text);
                        }
                    }
                }
                None => parameters.push((entry.key.to_string(), value)),
            }
        }
        parameters
    }

    fn check_url(&mut self, node: &Node, key: &str, path: &str) {
        let Some(value) = node.get(key) else { return };
        let Some(url) = value.text() else { return };
        let known = ["http://", "https://", "file://"];
        if !known
            .iter()
            .any(|scheme| url.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme)))
        {
            let text = format!("\"{url}\" is no URL; it must begin with http:// or https://");
            // An unset variable may stand for the scheme; that was warned of already.
            if url.starts_with('$') {
                self.warn(value, format!("{path}.{key}"), text)
            } else {
                self.error(value, format!("{path}.{key}"), text)
            }
        }
    }

    fn tile(&mut self, node: &Node, path: &str) -> Option<TileConf> {
        let url = text(node, "url")?;
        self.check_url(node, "url", path);
        let name = match text(node, "grid") {
            Some(name) => name,
            None => {
                let default = super::grids::DEFAULT_GRID;
                self.warn(node, path, format!("no `grid` is given; it is taken to be {default}"));
                default.to_owned()
            }
        };
        let grid = self.grids.get(&name).cloned();
        if grid.is_none() && !self.broken_grids.contains(&name) {
            let near = hint(&name, self.grids.names());
            let place = node.get("grid").unwrap_or(node).place;
            self.findings.error(place, format!("{path}.grid"), format!("there is no grid `{name}`{near}"));
        }
        if let Some(value) = node.get("url")
            && let Err(reason) = crate::source::template::UrlTemplate::parse(&url)
        {
            self.error(value, format!("{path}.url"), reason);
        }
        Some(TileConf { url, grid: grid? })
    }

    fn mapserver_source(
        &mut self,
        node: &Node,
        path: &str,
        image: &mut SourceImage,
    ) -> Option<MapServerSource> {
        let req = node.get("req")?;
        let mapfile = self.path(&text(req, "map")?);
        let empty = Node::null(node.place);
        let mut server = self.mapserver(node.get("mapserver").unwrap_or(&empty));
        server.binary = server.binary.or_else(|| find_program("mapserv"));
        // What was checked once need not be there again for each later worker.
        if !self.files.is_sealed() {
            let found = server.binary.as_deref().is_some_and(std::path::Path::is_file);
            if !found {
                let binary = server.binary.clone().unwrap_or_else(|| PathBuf::from("mapserv"));
                let text = format!("the MapServer program {} is not there", binary.display());
                self.error(node, format!("{path}.mapserver.binary"), text);
            }
        }
        let mut wms = self.wms_like(node, req, "mapserver:".to_owned(), path, image)?;
        for (name, value) in &mut wms.parameters {
            if name.eq_ignore_ascii_case("map") {
                *value = mapfile.to_string_lossy().into_owned();
            }
        }
        Some(MapServerSource { mapfile, server, wms })
    }

    fn arcgis(&mut self, node: &Node) -> Option<ArcGisConf> {
        let req = node.get("req")?;
        let empty = Node::null(node.place);
        let opts = node.get("opts").unwrap_or(&empty);
        Some(ArcGisConf {
            url: text(req, "url")?,
            format: text(req, "format"),
            layers: text(req, "layers"),
            transparent: req
                .get("transparent")
                .and_then(Node::printed)
                .map(|text| text.eq_ignore_ascii_case("true")),
            dpi: req.get("dpi").and_then(Node::int).and_then(|dpi| u32::try_from(dpi).ok()),
            time: text(req, "time"),
            map: flag(opts, "map").unwrap_or(true),
            featureinfo: flag(opts, "featureinfo").unwrap_or(false),
            featureinfo_tolerance: number(opts, "featureinfo_tolerance").unwrap_or(5.0),
            featureinfo_return_geometries: flag(opts, "featureinfo_return_geometries").unwrap_or(false),
        })
    }

    fn ogcapi_tiles(&mut self, node: &Node, path: &str) -> Option<OgcApiTilesConf> {
        self.check_server(node, "landingpage_url", path);
        Some(OgcApiTilesConf {
            landing_page: text(node, "landingpage_url")?,
            collection: text(node, "collection"),
            tile_matrix_set: text(node, "tile_matrix_set_id"),
        })
    }

    fn ogcapi_maps(&mut self, node: &Node, path: &str) -> Option<OgcApiMapsConf> {
        self.check_server(node, "landingpage_url", path);
        Some(OgcApiMapsConf {
            landing_page: text(node, "landingpage_url")?,
            collection: text(node, "collection"),
            bgcolor: node.get("bgcolor").and_then(color::parse),
        })
    }

    /// A URL of a server, which cannot be a file.
    pub(super) fn check_server(&mut self, node: &Node, key: &str, path: &str) {
        self.check_url(node, key, path);
        if let Some(value) = node.get(key)
            && value.text().is_some_and(|url| url.starts_with("file:"))
        {
            self.error(value, format!("{path}.{key}"), "must begin with http:// or https://");
        }
    }

    /// A source by the name that a cache or layer gives it, perhaps with
    /// layers behind a colon. `None` and silence for something that is there
    /// but broken.
    pub(super) fn tagged_source(&mut self, node: &Node, written: &str, path: &str) -> Tagged {
        let (name, tag) = match written.split_once(':') {
            Some((name, layers)) => (name, Some(layers)),
            None => (written, None),
        };
        let root = self.root;
        if !super::section(root, "sources").iter().any(|entry| &*entry.key == name) {
            return Tagged::Unknown;
        }
        let Some(source) = self.sources.get(name) else { return Tagged::Broken };
        let Some(tag) = tag.filter(|tag| !tag.is_empty()) else {
            if let SourceKind::Wms(wms) = &source.kind
                && wms.layers.is_empty()
                && wms.map
                && !wms.parameters.iter().any(|(key, _)| key == "sld" || key == "sld_body")
            {
                let text = format!(
                    "the source `{name}` has no `req.layers`; name layers here (`{name}:layer1,layer2`) or there"
                );
                self.warn(node, path, text);
            }
            return Tagged::Found(SourceRef::Source { name: name.to_owned(), layers: None });
        };
        let known = match &source.kind {
            SourceKind::Wms(wms) => &wms.layers,
            SourceKind::MapServer(server) => &server.wms.layers,
            SourceKind::Mapnik(mapnik) => &mapnik.layers,
            _ => {
                let text = format!(
                    "layers can be named behind a colon only for wms, mapserver and mapnik, not for `{name}`"
                );
                self.error(node, path, text);
                return Tagged::Broken;
            }
        };
        let wanted: Vec<String> = tag.split(',').map(str::to_owned).collect();
        let stranger = wanted.iter().find(|layer| !known.is_empty() && !known.contains(layer));
        if let Some(layer) = stranger {
            let near = hint(layer, known.iter().map(String::as_str));
            let text = format!("the source `{name}` has no layer `{layer}` in its `req.layers`{near}");
            self.error(node, path, text);
            return Tagged::Broken;
        }
        Tagged::Found(SourceRef::Source { name: name.to_owned(), layers: Some(wanted) })
    }
}

/// What a name stands for.
pub(super) enum Tagged {
    Found(SourceRef),
    Unknown,
    /// It is there but of no use; already reported.
    Broken,
}

/// A program in one of the folders of `PATH`.
fn find_program(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// `a,b`, a list, or a number.
fn layer_list(node: Option<&Node>) -> Vec<String> {
    match node {
        Some(Node { value: Value::List(items), .. }) => items.iter().filter_map(Node::printed).collect(),
        Some(node) => match node.printed().filter(|_| !node.is_null()) {
            Some(text) => text.split(',').map(str::to_owned).collect(),
            None => Vec::new(),
        },
        None => Vec::new(),
    }
}
