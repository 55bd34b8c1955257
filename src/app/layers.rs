//! Sources and caches of the configuration as layers that can be drawn.
//!
//! Each cache is built once, after the caches that it draws from.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Shared, largest_picture_bytes};
use crate::conf::conf::{
    ArcGisConf, BandConf, CacheConf, Conf, GridConf, HttpConf, OgcApiMapsConf, OgcApiTilesConf, ResBounds,
    SourceConf, SourceKind, SourceRef, TileConf, TimeSpec, WmsConf,
};
use crate::geo::{Extent, MetaGrid, Srs, TileGrid, WholeEdges};
use crate::plan::{
    BandLayer, BandMix, BandShare, CacheLayer, CacheLayerOptions, DebugLayer, EmptyLayer, FreshRule,
    InfoLayer, Legend, MapLayer, RenderdOptions, ResRange, Rescale, ResolutionLayer, SrsLayer, Stylesheet,
    SupportedSrs, TileCache, TileCacheOptions, TileLayer, TileSetLayer, WmsLayer, WmsLayerOptions,
};
use crate::render::{DecodeLimits, Format};
use crate::source::arcgis::ArcGisSource;
use crate::source::cgi::Program;
use crate::source::ogcapi::{Landing, MapsParts, MapsSource, TilesSource};
use crate::source::renderd::Renderd;
use crate::source::template::UrlTemplate;
use crate::source::{Client, ClientOptions, MapSource, TileSource, WmsSource};

/// One cache on one grid with the layer that draws it.
#[derive(Clone)]
pub(crate) struct BuiltCache {
    pub(crate) grid: Arc<GridConf>,
    pub(crate) cache: Arc<TileCache>,
    pub(crate) extent: Option<(Extent, Srs)>,
    /// Of `extent`.
    pub(crate) whole_edges: WholeEdges,
    pub(crate) layer: Arc<dyn MapLayer>,
}

/// Builds what layers refer to, each thing once.
pub(crate) struct Builder<'a> {
    pub(super) conf: &'a Conf,
    pub(super) shared: &'a Shared<'a>,
    pub(super) decode_limits: DecodeLimits,
    caches: HashMap<&'a str, Arc<[BuiltCache]>>,
    clients: Vec<(ClientKey, Arc<Client>)>,
    /// By source and layers.
    pub(super) infos: HashMap<SourceKey, Option<Arc<dyn InfoLayer>>>,
    pub(super) legends: HashMap<SourceKey, Option<Arc<Legend>>>,
    pub(super) stylesheets: HashMap<std::path::PathBuf, Option<Arc<Stylesheet>>>,
    /// Sentences about what cannot be built.
    pub(crate) errors: Vec<String>,
}

/// A source and the layers that stand in place of its own.
pub(super) type SourceKey = (String, Option<Vec<String>>);

#[derive(PartialEq)]
pub(super) struct ClientKey {
    pub(super) http: HttpConf,
    pub(super) concurrent_requests: u32,
    pub(super) basic_auth: Option<(String, String)>,
    pub(super) program: Option<Program>,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(conf: &'a Conf, shared: &'a Shared<'a>) -> Builder<'a> {
        let bytes = shared.limits.decoded_image_bytes.max(largest_picture_bytes(conf));
        Builder {
            conf,
            shared,
            decode_limits: DecodeLimits { pixels_bytes_max: bytes, ..DecodeLimits::default() },
            caches: HashMap::new(),
            clients: Vec::new(),
            infos: HashMap::new(),
            legends: HashMap::new(),
            stylesheets: HashMap::new(),
            errors: Vec::new(),
        }
    }

    /// What a layer or cache names, as something to draw; `None` where there
    /// is nothing to draw (`map: false`, a kind that is still missing).
    pub(crate) fn layer(&mut self, source: &SourceRef) -> Option<Arc<dyn MapLayer>> {
        match source {
            SourceRef::Cache(name) => self.cache_layer(name),
            SourceRef::Source { name, layers } => self.source_layer(name, layers.as_deref(), "image/png"),
        }
    }

    /// A cache as a layer of maps: the grid that suits the request, and its
    /// source below `use_direct_from_res`.
    fn cache_layer(&mut self, name: &str) -> Option<Arc<dyn MapLayer>> {
        let conf: &'a CacheConf = self.conf.caches.get(name)?;
        let built = self.cache(conf);
        let first = built.first()?;
        let opacity = conf.opacity.map(|o| o as f32);
        let layer: Arc<dyn MapLayer> = if let [only] = &*built {
            Arc::clone(&only.layer)
        } else {
            let systems = SupportedSrs {
                list: built.iter().map(|b| b.grid.grid.srs.clone()).collect(),
                preferred: self.conf.globals.preferred_src.clone(),
            };
            let layers = built.iter().map(|b| Arc::clone(&b.layer)).collect();
            Arc::new(SrsLayer::new(layers, systems, opacity))
        };
        let Some(resolution) = conf.use_direct_from_res else { return Some(layer) };
        let srs = first.grid.grid.srs.clone();
        let direct = self.layer(conf.sources.first()?)?;
        Some(Arc::new(ResolutionLayer { cache: layer, direct, resolution, srs, opacity }))
    }

    /// The cache on each of its grids.
    pub(crate) fn cache(&mut self, conf: &'a CacheConf) -> Arc<[BuiltCache]> {
        if let Some(built) = self.caches.get(conf.name.as_str()) {
            return Arc::clone(built);
        }
        // A cache that draws from itself finds itself empty here; `conf` has
        // already refused it.
        self.caches.insert(&conf.name, Arc::from([]));
        let built: Vec<BuiltCache> =
            (0..conf.grids.len()).filter_map(|at| self.cache_on_grid(conf, at)).collect();
        let built: Arc<[BuiltCache]> = built.into();
        self.caches.insert(&conf.name, Arc::clone(&built));
        built
    }

    fn cache_on_grid(&mut self, conf: &'a CacheConf, at: usize) -> Option<BuiltCache> {
        let grid_conf = Arc::clone(&conf.grids[at]);
        let grid = Arc::clone(&grid_conf.grid);
        let store = self.store(conf, at)?;
        let sources = self.sources_on_grid(conf, &grid);
        let (extent, whole_edges) = match &conf.coverage {
            Some(coverage) => {
                (Some((coverage.extent, coverage.srs.clone())), coverage.whole_edges(&coverage.srs))
            }
            None => merged_extent(&sources),
        };
        let (meta, bulk_meta) = self.meta_of(conf, &grid, &sources);
        let cache = Arc::new(TileCache::new(TileCacheOptions {
            name: conf.name.clone(),
            grid,
            store,
            meta,
            bulk_meta,
            image: conf.image.clone(),
            request_format: Format::parse(&conf.request_format).unwrap_or(conf.image.format),
            request_mime: Some(self.request_mime(conf).into()),
            minimize_meta_requests: conf.minimize_meta_requests,
            concurrent_creators: conf.concurrent_tile_creators as usize,
            rescale: rescale(conf),
            keeps_rescaled: conf.rescale.is_kept,
            renderd: self.renderd(conf, &grid_conf),
            refresh: conf.refresh_before.as_ref().map(fresh_rule),
            coverage: conf.coverage.clone(),
            watermark: conf.watermark.clone(),
            tells_single_color: conf.link_single_color.is_some(),
            lock_timeout: seconds(conf.lock_timeout_s),
            memory: Arc::clone(&self.shared.memory),
            decode_limits: self.decode_limits,
            sources,
        }));
        let layer = Arc::new(CacheLayer::new(CacheLayerOptions {
            cache: Arc::clone(&cache),
            extent: extent.clone(),
            whole_edges,
            // Where no source is shown, other levels may be.
            res_range: match rescale(conf) {
                None => crate::plan::conditional::union_of(cache.sources()),
                Some(_) => None,
            },
            max_tile_limit: u64::from(conf.max_tile_limit),
            tiled_only: false,
            opacity: conf.opacity.map(|o| o as f32),
        }));
        Some(BuiltCache { grid: grid_conf, cache, extent, whole_edges, layer })
    }

    /// What sources are asked for: a format that the globals name stands for its type.
    fn request_mime(&self, conf: &CacheConf) -> String {
        let named = self.conf.globals.formats.get(&conf.request_format);
        mime_of(named.and_then(|format| format.format.as_deref()).unwrap_or(&conf.request_format))
    }

    /// The sources of a cache. Where all of them are caches of a grid that
    /// holds this one's tiles, tiles are copied as they are.
    fn sources_on_grid(&mut self, conf: &'a CacheConf, grid: &Arc<TileGrid>) -> Vec<Arc<dyn MapLayer>> {
        if let Some(bands) = &conf.bands {
            return self.band_layer(conf, grid, bands).into_iter().collect();
        }
        let sources: Vec<&'a SourceRef> = conf.sources.iter().collect();
        self.layers_on_grid(conf, grid, &sources).into_iter().flatten().collect()
    }

    /// Each source as a layer of the grid, where it has something to draw.
    fn layers_on_grid(
        &mut self,
        conf: &'a CacheConf,
        grid: &Arc<TileGrid>,
        sources: &[&'a SourceRef],
    ) -> Vec<Option<Arc<dyn MapLayer>>> {
        let tiled_only = sources.iter().all(|source| match source {
            SourceRef::Cache(name) => self.gives_tiles_of(name, grid, &conf.request_format),
            SourceRef::Source { .. } => false,
        });
        sources
            .iter()
            .map(|source| match source {
                SourceRef::Cache(name) => self.inner_cache_layer(name, grid, tiled_only),
                SourceRef::Source { name, layers } => {
                    self.source_layer(name, layers.as_deref(), &conf.request_format)
                }
            })
            .collect()
    }

    /// Bands of several sources as one layer; each source is drawn once.
    fn band_layer(
        &mut self,
        conf: &'a CacheConf,
        grid: &Arc<TileGrid>,
        bands: &'a [BandConf],
    ) -> Option<Arc<dyn MapLayer>> {
        let mut sources: Vec<&'a SourceRef> = Vec::new();
        let mut mix = BandMix::default();
        for band in bands {
            let layer = sources.iter().position(|known| **known == band.source).unwrap_or_else(|| {
                sources.push(&band.source);
                sources.len() - 1
            });
            let share = BandShare { layer, band: band.band as usize, factor: band.factor };
            match band.target {
                'r' => mix.color[0].push(share),
                'g' => mix.color[1].push(share),
                'b' => mix.color[2].push(share),
                'a' => mix.color[3].push(share),
                _ => mix.grey.push(share),
            }
        }
        let layers: Option<Vec<_>> = self.layers_on_grid(conf, grid, &sources).into_iter().collect();
        let layers = layers.filter(|layers| !layers.is_empty())?;
        let (extent, _) = merged_extent(&layers);
        Some(Arc::new(BandLayer { layers, mix, extent, decode_limits: self.decode_limits }))
    }

    fn gives_tiles_of(&self, name: &str, grid: &TileGrid, request_format: &str) -> bool {
        let Some(inner) = self.conf.caches.get(name) else { return false };
        let [only] = inner.grids.as_slice() else { return false };
        Format::parse(request_format) == Some(inner.image.format) && grid.is_subset_of(&only.grid)
    }

    fn inner_cache_layer(
        &mut self,
        name: &str,
        grid: &TileGrid,
        tiled_only: bool,
    ) -> Option<Arc<dyn MapLayer>> {
        let conf: &'a CacheConf = self.conf.caches.get(name)?;
        let built = self.cache(conf);
        let [only] = &*built else { return self.cache_layer(name) };
        let inner = only.cache.grid();
        let (extent, srs) = only.extent.clone().unwrap_or_else(|| (inner.extent, inner.srs.clone()));
        let outer = grid.srs.transform_extent(&srs, &grid.extent);
        let both = outer.and_then(|outer| extent.intersection(&outer)).unwrap_or(extent);
        Some(Arc::new(CacheLayer::new(CacheLayerOptions {
            cache: Arc::clone(&only.cache),
            extent: Some((both, srs)),
            whole_edges: both.whole_edges_of(&[(extent, only.whole_edges)]),
            res_range: only.layer.res_range(),
            max_tile_limit: 0,
            tiled_only,
            opacity: conf.opacity.map(|o| o as f32),
        })))
    }

    /// Meta tiles where the sources can draw them; in bulk where they only
    /// give tiles and that is wanted.
    fn meta_of(
        &mut self,
        conf: &CacheConf,
        grid: &Arc<TileGrid>,
        sources: &[Arc<dyn MapLayer>],
    ) -> (Option<MetaGrid>, bool) {
        let several = conf.meta_size != (1, 1);
        if !several && conf.meta_buffer_px == 0 {
            return (None, false);
        }
        let able = sources.iter().filter(|s| s.supports_meta_tiles()).count();
        if able == sources.len() {
            return (Some(MetaGrid::new(Arc::clone(grid), conf.meta_size, conf.meta_buffer_px)), false);
        }
        if able > 0 {
            self.errors.push(format!(
                "caches.{}: meta tiles are configured but not all of its sources can draw them; \
                 set meta_size: [1, 1] and meta_buffer: 0",
                conf.name
            ));
            return (None, false);
        }
        if several && conf.bulk_meta_tiles {
            return (Some(MetaGrid::new(Arc::clone(grid), conf.meta_size, 0)), true);
        }
        (None, false)
    }

    /// The daemon that makes the tiles of a cache, if there is one. It cannot be
    /// asked for tiles that nobody keeps.
    fn renderd(&mut self, conf: &CacheConf, grid: &GridConf) -> Option<RenderdOptions> {
        let (address, auth) = split_credentials(self.conf.globals.renderd_address.as_ref()?);
        if conf.disable_storage {
            return None;
        }
        let client = self.client_for(ClientKey {
            http: self.conf.globals.http.clone(),
            concurrent_requests: 0,
            basic_auth: auth,
            program: None,
        });
        let identifier = format!("{}_{}", conf.name, grid.grid.name);
        let source = Renderd { address, identifier, priority: self.shared.renderd_priority, client };
        Some(RenderdOptions { source, lock_dir: conf.lock_dir.clone() })
    }

    /// `request_format` is the cache's: a tile source puts it into its URLs.
    fn source_layer(
        &mut self,
        name: &str,
        layers: Option<&[String]>,
        request_format: &str,
    ) -> Option<Arc<dyn MapLayer>> {
        let conf: &'a SourceConf = self.conf.sources.get(name)?;
        if conf.seed_only {
            return Some(Arc::new(EmptyLayer { coverage: conf.coverage.clone() }));
        }
        match &conf.kind {
            SourceKind::Debug => Some(Arc::new(DebugLayer)),
            SourceKind::Wms(wms) if !wms.map => None,
            SourceKind::Wms(wms) => Some(self.wms_layer(conf, wms, layers)),
            SourceKind::MapServer(server) if !server.wms.map => None,
            SourceKind::MapServer(server) => Some(self.wms_layer(conf, &server.wms, layers)),
            SourceKind::ArcGis(arcgis) if !arcgis.map => None,
            SourceKind::ArcGis(arcgis) => Some(self.arcgis_layer(conf, arcgis)),
            SourceKind::Tile(tile) => self.tile_layer(conf, tile, request_format),
            SourceKind::OgcApiTiles(tiles) => Some(self.ogcapi_tiles_layer(conf, tiles, request_format)),
            SourceKind::OgcApiMaps(maps) => Some(self.ogcapi_maps_layer(conf, maps)),
            // `conf` has said that this kind is still missing.
            SourceKind::Mapnik(_) => None,
        }
    }

    fn tile_layer(
        &mut self,
        conf: &SourceConf,
        tile: &TileConf,
        request_format: &str,
    ) -> Option<Arc<dyn MapLayer>> {
        let (url, auth) = split_credentials(&tile.url);
        let template = match UrlTemplate::parse(&url) {
            Ok(template) => template,
            Err(error) => {
                self.errors.push(format!("sources.{}.url: {error}", conf.name));
                return None;
            }
        };
        let source = TileSource {
            name: conf.name.clone(),
            grid: Arc::clone(&tile.grid.grid),
            template,
            format: request_format.to_owned(),
            client: self.client(conf, auth),
            on_error: conf.on_error.clone(),
        };
        Some(Arc::new(TileLayer {
            source: Arc::new(source),
            transparent: conf.image.options.transparent.unwrap_or(false),
            opacity: conf.image.opacity.map(|o| o as f32),
            coverage: conf.coverage.clone(),
            res_range: res_range(&conf.res),
            decode_limits: self.decode_limits,
        }))
    }

    fn ogcapi_tiles_layer(
        &mut self,
        conf: &SourceConf,
        tiles: &OgcApiTilesConf,
        request_format: &str,
    ) -> Arc<dyn MapLayer> {
        let (url, auth) = split_credentials(&tiles.landing_page);
        let landing = Landing::new(&url, tiles.collection.as_deref(), self.client(conf, auth));
        let (set, on_error) = (tiles.tile_matrix_set.clone(), conf.on_error.clone());
        Arc::new(TileSetLayer {
            source: Arc::new(TilesSource::new(conf.name.clone(), landing, set, on_error)),
            media_type: plain_mime_of(request_format),
            transparent: conf.image.options.transparent.unwrap_or(false),
            opacity: conf.image.opacity.map(|o| o as f32),
            coverage: conf.coverage.clone(),
            res_range: res_range(&conf.res),
            decode_limits: self.decode_limits,
        })
    }

    fn ogcapi_maps_layer(&mut self, conf: &SourceConf, maps: &OgcApiMapsConf) -> Arc<dyn MapLayer> {
        let (url, auth) = split_credentials(&maps.landing_page);
        let transparent = conf.image.options.transparent;
        let source = MapsSource::new(MapsParts {
            name: conf.name.clone(),
            landing: Landing::new(&url, maps.collection.as_deref(), self.client(conf, auth)),
            systems: conf.supported_srs.clone(),
            transparent: transparent.unwrap_or(false) || conf.image.transparent_color.is_some(),
            bgcolor: maps.bgcolor,
            on_error: conf.on_error.clone(),
        });
        self.map_layer(conf, MapSource::OgcApi(source), None, transparent, Vec::new())
    }

    fn wms_layer(
        &mut self,
        conf: &SourceConf,
        wms: &WmsConf,
        layers: Option<&[String]>,
    ) -> Arc<dyn MapLayer> {
        let (url, auth) = split_credentials(&wms.url);
        let transparent = conf.image.options.transparent.or(wms.transparent);
        let source = WmsSource {
            name: conf.name.clone(),
            url,
            version: wms.version,
            layers: layers.map_or_else(|| wms.layers.clone(), <[String]>::to_vec),
            parameters: wms.parameters.clone(),
            transparent: wms.transparent,
            format: wms.format.as_deref().map(mime_of),
            client: self.client(conf, auth),
            on_error: conf.on_error.clone(),
        };
        let format = wms.format.as_deref();
        let forwarded = wms.forward_req_params.iter().map(|p| p.to_lowercase()).collect();
        self.map_layer(conf, MapSource::Wms(source), format, transparent, forwarded)
    }

    fn arcgis_layer(&mut self, conf: &SourceConf, arcgis: &ArcGisConf) -> Arc<dyn MapLayer> {
        let (url, auth) = split_credentials(&arcgis.url);
        let source = ArcGisSource {
            name: conf.name.clone(),
            url,
            parameters: arcgis.parameters(),
            format: arcgis.format.clone(),
            client: self.client(conf, auth),
            on_error: conf.on_error.clone(),
        };
        let transparent = conf.image.options.transparent.or(arcgis.transparent);
        self.map_layer(conf, MapSource::ArcGis(source), arcgis.format.as_deref(), transparent, Vec::new())
    }

    /// What all servers of maps have in common.
    fn map_layer(
        &self,
        conf: &SourceConf,
        source: MapSource,
        format: Option<&str>,
        transparent: Option<bool>,
        forward_parameters: Vec<String>,
    ) -> Arc<dyn MapLayer> {
        let image = &conf.image;
        Arc::new(WmsLayer::new(WmsLayerOptions {
            source: Arc::new(source),
            supported_srs: self.supported_srs(conf),
            supported_formats: conf.supported_formats.iter().map(|f| mime_of(f)).collect(),
            format: format.or(image.options.format.as_deref()).map(mime_of),
            transparent: transparent.unwrap_or(false),
            transparent_color: image.transparent_color.map(|c| (c, image.transparent_color_tolerance)),
            opacity: image.opacity.map(|o| o as f32),
            coverage: conf.coverage.clone(),
            res_range: res_range(&conf.res),
            forward_parameters,
            resampling: image.resampling,
            decode_limits: self.decode_limits,
        }))
    }

    /// Sources that are asked in the same way share a client and its connections.
    pub(super) fn client(&mut self, conf: &SourceConf, basic_auth: Option<(String, String)>) -> Arc<Client> {
        let program = match &conf.kind {
            SourceKind::MapServer(server) => server
                .server
                .binary
                .clone()
                .map(|binary| Program { binary, working_dir: server.server.working_dir.clone() }),
            _ => None,
        };
        let http = conf.http.clone();
        self.client_for(ClientKey {
            http,
            concurrent_requests: conf.concurrent_requests,
            basic_auth,
            program,
        })
    }

    pub(super) fn client_for(&mut self, key: ClientKey) -> Arc<Client> {
        if let Some((_, client)) = self.clients.iter().find(|(known, _)| *known == key) {
            return Arc::clone(client);
        }
        let limits = self.shared.limits;
        let picture = largest_picture_bytes(self.conf) as u64;
        let timeout = seconds(key.http.client_timeout_s);
        let client = Arc::new(Client::new(ClientOptions {
            timeout_connect: Duration::from_millis(limits.upstream_connect_ms).min(timeout),
            timeout_first_byte: timeout,
            timeout_total: timeout.max(UPSTREAM_TOTAL_MIN),
            body_bytes_max: limits.upstream_body_bytes.max(picture),
            redirects_max: limits.upstream_redirects,
            headers: key.http.headers.clone(),
            basic_auth: key.basic_auth.clone(),
            ca_certs: key.http.ssl_ca_certs.clone(),
            verify_certs: !key.http.ssl_no_cert_checks,
            method: key.http.method,
            manage_cookies: key.http.manage_cookies,
            concurrent_requests: key.concurrent_requests,
            lock_dir: self.conf.globals.lock_dir.clone(),
            hide_error_details: key.http.hide_error_details,
            program: key.program.clone(),
        }));
        self.clients.push((key, Arc::clone(&client)));
        client
    }
}

/// A whole answer may take at least this long, whatever `client_timeout` says
/// about its first byte (reliability.md §2).
const UPSTREAM_TOTAL_MIN: Duration = Duration::from_secs(60);

pub(super) fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or(Duration::from_secs(60))
}

/// Where a cache takes tiles from that no source can make.
fn rescale(conf: &CacheConf) -> Option<Rescale> {
    match (conf.rescale.upscale, conf.rescale.downscale) {
        (0, 0) => None,
        (0, levels) => Some(Rescale::Down(levels)),
        (levels, _) => Some(Rescale::Up(levels)),
    }
}

fn fresh_rule(spec: &TimeSpec) -> FreshRule {
    match spec {
        TimeSpec::Ago { seconds: age } => FreshRule::Age(seconds(*age)),
        TimeSpec::At(moment) => FreshRule::Since(*moment),
        TimeSpec::FileTime(path) => FreshRule::FileTime(path.clone()),
    }
}

pub(crate) fn res_range(bounds: &ResBounds) -> Option<ResRange> {
    (!bounds.is_unbounded()).then_some(ResRange { coarsest: bounds.min_res, finest: bounds.max_res })
}

/// `png` → `image/png`; a MIME type stays as it is.
pub(super) fn mime_of(format: &str) -> String {
    if format.contains('/') { format.to_owned() } else { format!("image/{format}") }
}

/// `image/png` of `image/png; mode=24bit` and `png`.
fn plain_mime_of(format: &str) -> String {
    mime_of(format.split(';').next().unwrap_or(format).trim())
}

/// `https://user:password@host/…` without the user, and the user apart.
pub(super) fn split_credentials(url: &str) -> (String, Option<(String, String)>) {
    let Some((scheme, rest)) = url.split_once("://") else { return (url.to_owned(), None) };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let Some(at) = rest[..authority_end].rfind('@') else { return (url.to_owned(), None) };
    let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let (user, password) = rest[..at].split_once(':').unwrap_or((&rest[..at], ""));
    (format!("{scheme}://{}", &rest[at + 1..]), Some((decode(user), decode(password))))
}

/// The area of several layers together: a single one's own, otherwise the
/// envelope in degrees. `None`: none of them is limited. With it, which of its
/// edges were written as whole numbers.
pub(crate) fn merged_extent(layers: &[Arc<dyn MapLayer>]) -> (Option<(Extent, Srs)>, WholeEdges) {
    const NONE: WholeEdges = [false; 4];
    let parts = layers.iter().filter_map(|layer| Some((layer.extent()?, layer.whole_edges())));
    let parts: Vec<((Extent, Srs), WholeEdges)> = parts.collect();
    if let [(only, whole)] = parts.as_slice() {
        return (Some(only.clone()), *whole);
    }
    let Ok(geographic) = Srs::parse("EPSG:4326") else { return (None, NONE) };
    let in_degrees = parts.iter().filter_map(|((extent, srs), whole)| {
        let whole = if *srs == geographic { *whole } else { NONE };
        Some((srs.transform_extent(&geographic, extent)?, whole))
    });
    let parts: Vec<(Extent, WholeEdges)> = in_degrees.collect();
    match parts.iter().map(|(extent, _)| *extent).reduce(|a, b| a.union(&b)) {
        Some(all) => (Some((all, geographic)), all.whole_edges_of(&parts)),
        None => (None, NONE),
    }
}

#[cfg(test)]
mod tests;
