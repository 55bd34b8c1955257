//! Section `caches` (mapproxy-features.md §4).

use std::collections::HashMap;
use std::sync::Arc;

use super::super::color;
use super::super::conf::{BandConf, CacheConf, FormatConf, GridConf, RescaleConf, SourceKind, SourceRef};
use super::super::nearest::hint;
use super::super::node::{Entry, Node, Value};
use super::image::{extension, join};
use super::sources::Tagged;
use super::{Resolver, flag, text};
use crate::cache::file::LinkKind;
use crate::render::decor::Watermark;
use crate::render::{ColorMode, Format, ImageOptions};

/// Most tiles on one side of a meta tile.
const META_SIZE_MAX: u32 = 64;
const META_BUFFER_MAX_PX: u32 = 4096;
const CREATORS_MAX: u32 = 256;
const TILE_LIMIT_MAX: u32 = 1_000_000;
const RESCALE_MAX: u32 = 32;
/// MapProxy's watermark where the file does not say.
const WATERMARK_OPACITY: u8 = 30;
const WATERMARK_SIZE_PX: f64 = 24.0;
const WATERMARK_COLOR: [u8; 4] = [128, 128, 128, 255];

impl Resolver<'_> {
    pub(super) fn resolve_caches(&mut self) {
        let root = self.root;
        let entries = super::section(root, "caches");
        for entry in entries {
            if let Some(cache) = self.cache(entry, entries) {
                self.caches.insert(entry.key.to_string(), cache);
            }
        }
        self.refuse_circles(entries);
        self.check_tiled_sources(entries);
        self.join_source_options(entries);
    }

    fn cache(&mut self, entry: &Entry, all: &[Entry]) -> Option<CacheConf> {
        let node = &entry.value;
        let path = format!("caches.{}", entry.key);
        let grids = self.cache_grids(entry, &path);
        let (sources, bands) = self.cache_sources(node, all, &path);
        let globals = self.root.get("globals").and_then(|globals| globals.get("cache"));
        let empty = Node::null(node.place);
        let common = globals.unwrap_or(&empty);
        const GLOBAL: &str = "globals.cache";

        let (image, opacity, request_format) = self.cache_image(entry, &path);

        let meta_size = self
            .pair(node, "meta_size", &path, META_SIZE_MAX)
            .or_else(|| self.pair(common, "meta_size", GLOBAL, META_SIZE_MAX));
        let meta_buffer = self
            .count(node, "meta_buffer", &path, 0, META_BUFFER_MAX_PX)
            .or_else(|| self.count(common, "meta_buffer", GLOBAL, 0, META_BUFFER_MAX_PX));
        let creators = self
            .count(node, "concurrent_tile_creators", &path, 1, CREATORS_MAX)
            .or_else(|| self.count(common, "concurrent_tile_creators", GLOBAL, 1, CREATORS_MAX));
        let tile_limit = self
            .count(node, "max_tile_limit", &path, 1, TILE_LIMIT_MAX)
            .or_else(|| self.count(common, "max_tile_limit", GLOBAL, 1, TILE_LIMIT_MAX));
        let switch = |key| flag(node, key).or_else(|| flag(common, key)).unwrap_or(false);
        let rescale = self.rescale(node, &path);
        let store = self.store(entry, &grids, &path);
        Some(CacheConf {
            name: entry.key.to_string(),
            sources,
            bands,
            image: image.options.clone(),
            base_image: image.options,
            extension: image.extension,
            opacity,
            request_format,
            meta_size: meta_size.unwrap_or((4, 4)),
            meta_buffer_px: meta_buffer.unwrap_or(80),
            bulk_meta_tiles: switch("bulk_meta_tiles"),
            minimize_meta_requests: switch("minimize_meta_requests"),
            concurrent_tile_creators: creators.unwrap_or(2),
            max_tile_limit: tile_limit.unwrap_or(500),
            disable_storage: flag(node, "disable_storage").unwrap_or(false),
            use_direct_from_res: self.direct_from(node, &grids, &path),
            link_single_color: link_kind(node).or_else(|| link_kind(common)).flatten(),
            rescale,
            refresh_before: node
                .get("refresh_before")
                .and_then(|spec| self.time_spec(spec, &format!("{path}.refresh_before"))),
            watermark: node.get("watermark").and_then(|mark| self.watermark(mark, &path)),
            grids,
            backend: store.backend,
            coverage: store.coverage,
            lock_dir: store.lock_dir,
            lock_timeout_s: self.globals.http.client_timeout_s,
            directory_mode: store.directory_mode.or(self.globals.directory_mode),
            file_mode: store.file_mode.or(self.globals.file_mode),
        })
    }

    /// Where tiles are taken from that no source can make.
    fn rescale(&mut self, node: &Node, path: &str) -> RescaleConf {
        let upscale = self.count(node, "upscale_tiles", path, 0, RESCALE_MAX).unwrap_or(0);
        let downscale = self.count(node, "downscale_tiles", path, 0, RESCALE_MAX).unwrap_or(0);
        if upscale > 0 && downscale > 0 {
            let text = "has both `upscale_tiles` and `downscale_tiles`; only one of them can be used";
            self.error(node, path, text);
        }
        let is_kept = flag(node, "cache_rescaled_tiles").unwrap_or(false);
        if is_kept && upscale == 0 && downscale == 0 {
            let key = "cache_rescaled_tiles";
            let text = "has no effect without `upscale_tiles` or `downscale_tiles`";
            self.warn(node.get(key).unwrap_or(node), format!("{path}.{key}"), text);
        }
        RescaleConf { upscale, downscale, is_kept }
    }

    /// Image options with what the globals say of the format, opacity, and the
    /// format that sources are asked for.
    fn cache_image(&mut self, entry: &Entry, path: &str) -> (CacheImage, Option<f64>, String) {
        let node = &entry.value;
        let own_image = node.get("image");
        let image_path = format!("{path}.image");
        let own = own_image.map(|image| self.format_conf(image, &image_path)).unwrap_or_default();
        let format = text(node, "format").unwrap_or_else(|| "image/png".to_owned());
        let named = if own.format.is_some() { None } else { Some(format.as_str()) };
        let mut image = self.image_conf(&own, named);
        if image.format.is_none() {
            image.format = Some("image/png".to_owned());
        }
        let written = image.format.clone().unwrap_or_default();
        if Format::parse(&written).is_none()
            && let Some(value) = node.get("format")
        {
            self.error(value, format!("{path}.format"), super::image::unknown_format(&written));
        }
        let request_format = text(node, "request_format").unwrap_or_else(|| format.clone());
        if format == "mixed" && !["image/png", "image/vnd.jpeg-png"].contains(&request_format.as_str()) {
            let text = "a `mixed` cache needs `request_format: image/png`";
            self.error(node.get("request_format").unwrap_or(node), format!("{path}.request_format"), text);
        }
        let options = self.image_options(&image);
        self.cache_images.insert(entry.key.to_string(), image);
        let opacity = own_image.and_then(|image| self.opacity(image, &image_path));
        (CacheImage { options, extension: extension(&written) }, opacity, request_format)
    }

    fn cache_grids(&mut self, entry: &Entry, path: &str) -> Vec<Arc<GridConf>> {
        let node = &entry.value;
        let Some(list) = node.get("grids") else {
            let default = super::grids::DEFAULT_GRID;
            self.findings.warn(
                entry.place,
                path,
                format!("no `grids` are given; it is taken to be [{default}]"),
            );
            return self.grids.get(default).cloned().into_iter().collect();
        };
        let mut grids: Vec<Arc<GridConf>> = Vec::new();
        for (at, item) in list.items().iter().enumerate() {
            let Some(name) = item.text() else { continue };
            match self.grids.get(name) {
                Some(grid) => grids.push(Arc::clone(grid)),
                None if self.broken_grids.contains(name) => {}
                None => {
                    let near = hint(name, self.grids.names());
                    self.findings.error(
                        item.place,
                        format!("{path}.grids[{at}]"),
                        format!("there is no grid `{name}`{near}"),
                    );
                }
            }
        }
        if list.items().is_empty() && matches!(list.value, Value::List(_)) {
            self.error(list, format!("{path}.grids"), "must name at least one grid");
        }
        grids
    }

    fn cache_sources(
        &mut self,
        node: &Node,
        all: &[Entry],
        path: &str,
    ) -> (Vec<SourceRef>, Option<Vec<BandConf>>) {
        let Some(list) = node.get("sources") else { return (Vec::new(), None) };
        let path = format!("{path}.sources");
        let mut found = Vec::new();
        if let Value::List(items) = &list.value {
            for (at, item) in items.iter().enumerate() {
                found.extend(self.cache_source(item, all, &format!("{path}[{at}]")));
            }
            return (found, None);
        }
        let mut bands = Vec::new();
        if list.get("l").is_some() && list.entries().len() > 1 {
            self.error(list, &path, "the band `l` cannot be combined with other bands");
        }
        for entry in list.entries() {
            let Some(target) = entry.key.chars().next().filter(|_| entry.key.len() == 1) else { continue };
            for (at, band) in entry.value.items().iter().enumerate() {
                let path = format!("{path}.{}[{at}]", entry.key);
                let Some(name) = band.get("source") else { continue };
                let Some(source) = self.cache_source(name, all, &format!("{path}.source")) else { continue };
                if !found.contains(&source) {
                    found.push(source.clone());
                }
                let index = self.count(band, "band", &path, 0, 3).unwrap_or(0);
                let factor = super::number(band, "factor").unwrap_or(1.0);
                bands.push(BandConf { target, source, band: index, factor });
            }
        }
        (found, Some(bands))
    }

    /// A source before a cache of the same name.
    fn cache_source(&mut self, item: &Node, all: &[Entry], path: &str) -> Option<SourceRef> {
        let name = item.text()?;
        match self.tagged_source(item, name, path) {
            Tagged::Found(source) => Some(source),
            Tagged::Broken => None,
            Tagged::Unknown if all.iter().any(|entry| &*entry.key == name) => {
                Some(SourceRef::Cache(name.to_owned()))
            }
            Tagged::Unknown => {
                self.no_such_source(item, name, path);
                None
            }
        }
    }

    pub(super) fn no_such_source(&mut self, node: &Node, name: &str, path: &str) {
        let root = self.root;
        let known = ["sources", "caches"].into_iter().flat_map(|name| super::section(root, name));
        let near = hint(name, known.map(|entry| &*entry.key));
        self.error(node, path, format!("there is neither a source nor a cache `{name}`{near}"));
    }

    fn direct_from(&mut self, node: &Node, grids: &[Arc<GridConf>], path: &str) -> Option<f64> {
        let from = node.get("use_direct_from_level").or_else(|| node.get("use_direct_from_res"))?;
        if node.get("sources").is_some_and(|sources| sources.items().len() != 1) {
            self.error(from, path, "use_direct_from_level and use_direct_from_res need exactly one source");
        }
        if let (Some(grid), Some(_)) = (grids.first(), node.get("use_direct_from_level")) {
            let top = grid.grid.levels().saturating_sub(1);
            let level = self.count(node, "use_direct_from_level", path, 0, top)?;
            return Some(grid.grid.resolution(level));
        }
        self.positive(node, "use_direct_from_res", path)
    }

    fn watermark(&mut self, mark: &Node, path: &str) -> Option<Watermark> {
        let path = format!("{path}.watermark");
        let words = text(mark, "text").filter(|text| !text.is_empty())?;
        let size = self.positive(mark, "font_size", &path).unwrap_or(WATERMARK_SIZE_PX);
        Some(Watermark {
            text: words,
            opacity: self
                .count(mark, "opacity", &path, 0, 255)
                .map_or(WATERMARK_OPACITY, |value| value as u8),
            font_size_px: size.min(1000.0) as f32,
            color: mark.get("color").and_then(color::parse).unwrap_or(WATERMARK_COLOR),
            wide: mark.get("spacing").and_then(Node::text) == Some("wide"),
            typeface: self.globals.typeface.clone(),
        })
    }

    /// A cache made of itself, by whatever way, would never end.
    fn refuse_circles(&mut self, entries: &[Entry]) {
        let inner = |cache: &CacheConf| -> Vec<String> {
            let names = cache.sources.iter().filter_map(|source| match source {
                SourceRef::Cache(name) => Some(name.clone()),
                SourceRef::Source { .. } => None,
            });
            names.collect()
        };
        let edges: HashMap<String, Vec<String>> =
            self.caches.iter().map(|(name, cache)| (name.to_owned(), inner(cache))).collect();
        // Without circles what remains after taking away finished ones is nothing.
        let mut open: HashMap<&str, usize> = HashMap::new();
        let mut users: HashMap<&str, Vec<&str>> = HashMap::new();
        for (name, targets) in &edges {
            let known = targets.iter().filter(|target| edges.contains_key(*target));
            open.insert(name, known.clone().count());
            known.for_each(|target| users.entry(target).or_default().push(name));
        }
        let mut ready: Vec<&str> =
            open.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
        while let Some(name) = ready.pop() {
            open.remove(name);
            for user in users.get(name).map_or(&[][..], Vec::as_slice) {
                if let Some(count) = open.get_mut(user) {
                    *count -= 1;
                    if *count == 0 {
                        ready.push(user);
                    }
                }
            }
        }
        let stuck: Vec<String> = open.keys().map(|name| (*name).to_owned()).collect();
        for entry in entries.iter().filter(|entry| stuck.iter().any(|name| **name == *entry.key)) {
            let text = "is made, directly or through other caches, from itself";
            self.findings.error(entry.place, format!("caches.{}.sources", entry.key), text);
        }
    }

    /// Tiled sources must have the cache's tiles, and cannot share meta tiles
    /// with sources that draw maps.
    fn check_tiled_sources(&mut self, entries: &[Entry]) {
        let mut found = Vec::new();
        for entry in entries {
            let Some(cache) = self.caches.get(&entry.key) else { continue };
            let (mut tiled, mut maps) = (0, 0);
            for source in &cache.sources {
                let SourceRef::Source { name, .. } = source else { continue };
                match self.sources.get(name).map(|source| &source.kind) {
                    Some(SourceKind::Tile(tile)) => {
                        tiled += 1;
                        for grid in &cache.grids {
                            let (ours, theirs) = (&grid.grid, &tile.grid.grid);
                            if ours.srs != theirs.srs || ours.tile_size != theirs.tile_size {
                                found.push((
                                    entry,
                                    format!(
                                        "the grid `{}` of the tile source `{name}` must have the coordinate system and tile size of the cache's grid `{}`",
                                        tile.grid.key, grid.key
                                    ),
                                ));
                            }
                        }
                    }
                    // A debug source tells of each tile.
                    Some(SourceKind::OgcApiTiles(_) | SourceKind::Debug) => tiled += 1,
                    Some(_) => maps += 1,
                    None => {}
                }
            }
            let meta = cache.meta_size != (1, 1) || cache.meta_buffer_px > 0;
            if tiled > 0 && maps > 0 && meta {
                let text = "mixes sources of single tiles with others, which cannot share meta tiles; set `meta_size: [1, 1]` and `meta_buffer: 0`";
                found.push((entry, text.to_owned()));
            }
        }
        for (entry, text) in found {
            self.findings.error(entry.place, format!("caches.{}.sources", entry.key), text);
        }
    }

    /// The image options of sources go into those of the cache where the
    /// cache does not say.
    fn join_source_options(&mut self, entries: &[Entry]) {
        let mut joined = Vec::new();
        for entry in entries {
            let Some(cache) = self.caches.get(&entry.key) else { continue };
            let Some(own) = self.cache_images.get(&*entry.key).cloned() else { continue };
            let mut lent: Vec<FormatConf> = cache
                .sources
                .iter()
                .filter_map(|source| self.lent_options(source, &cache.request_format))
                .collect();
            if cache.sources.is_empty() {
                lent.push(FormatConf { transparent: Some(true), ..FormatConf::default() });
            }
            let mut image = self.image_options(&join(&own, &lent));
            let is_grey = cache.bands.as_ref().is_some_and(|bands| bands.iter().all(|b| b.target == 'l'));
            if is_grey && image.mode.is_none() && image.colors == 0 {
                image.mode = Some(ColorMode::I);
            }
            joined.push((entry.key.to_string(), image));
        }
        for (name, image) in joined {
            if let Some(cache) = self.caches.get(&name) {
                let cache = CacheConf { image, ..cache.clone() };
                self.caches.insert(name, cache);
            }
        }
    }

    fn lent_options(&self, source: &SourceRef, request_format: &str) -> Option<FormatConf> {
        match source {
            SourceRef::Cache(name) => self.cache_images.get(name).cloned(),
            SourceRef::Source { name, .. } => {
                let source = self.sources.get(name)?;
                if source.seed_only {
                    return Some(FormatConf { transparent: Some(true), ..FormatConf::default() });
                }
                let options = &source.image.options;
                Some(match &source.kind {
                    SourceKind::Wms(wms) if !wms.map => return None,
                    SourceKind::Wms(wms) => {
                        self.image_conf(options, Some(wms.format.as_deref().unwrap_or(request_format)))
                    }
                    SourceKind::ArcGis(_) | SourceKind::MapServer(_) => {
                        self.image_conf(options, Some(request_format))
                    }
                    SourceKind::Debug => FormatConf::default(),
                    _ => self.image_conf(options, None),
                })
            }
        }
    }
}

/// How tiles are written, and the extension of their files.
struct CacheImage {
    options: ImageOptions,
    extension: String,
}

/// Outer `None`: not said.
fn link_kind(node: &Node) -> Option<Option<LinkKind>> {
    match &node.get("link_single_color_images")?.value {
        Value::Bool(false) => Some(None),
        Value::Bool(true) => Some(Some(LinkKind::Symlink)),
        Value::Text(text) if &**text == "hardlink" => Some(Some(LinkKind::Hardlink)),
        Value::Text(_) => Some(Some(LinkKind::Symlink)),
        _ => None,
    }
}
