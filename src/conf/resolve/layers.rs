//! Section `layers` (mapproxy-features.md §6).

use super::super::conf::{
    Backend, Identifier, KeywordList, LayerAttribution, LayerConf, LayerMd, Logo, MetadataUrl, SourceKind,
    SourceRef,
};
use super::super::nearest::hint;
use super::super::node::{Entry, Node};
use super::sources::Tagged;
use super::{Resolver, number, text};

/// Metres of a pixel on the OGC's screen.
const PIXEL_SIZE_M: f64 = 0.000_28;

impl Resolver<'_> {
    /// The tree under one root. Several layers get an unnamed root of their own.
    pub(super) fn resolve_layers(&mut self) -> Option<LayerConf> {
        let root = self.root;
        let list = root.get("layers")?;
        let items = list.items();
        let mut layers: Vec<LayerConf> =
            items.iter().enumerate().map(|(at, item)| self.layer(item, &format!("layers[{at}]"))).collect();
        self.warn_of_doubles(items, "layers", &mut std::collections::HashMap::new());
        let is_root = match items {
            [only] => ["layers", "sources", "tile_sources"].iter().any(|key| only.entry(key).is_some()),
            _ => false,
        };
        if is_root {
            return layers.pop();
        }
        Some(LayerConf { layers, ..LayerConf::default() })
    }

    /// Two layers of one name hide each other from tile services.
    fn warn_of_doubles<'n>(
        &mut self,
        items: &'n [Node],
        path: &str,
        seen: &mut std::collections::HashMap<&'n str, u32>,
    ) {
        for (at, item) in items.iter().enumerate() {
            let path = format!("{path}[{at}]");
            if let Some(name) = item.get("name")
                && let Some(written) = name.text()
                && let Some(line) = seen.insert(written, name.place.line)
            {
                let text = format!(
                    "a layer named `{written}` is in line {line} already; the last one stands for both"
                );
                self.warn(name, format!("{path}.name"), text);
            }
            if let Some(inner) = item.get("layers") {
                self.warn_of_doubles(inner.items(), &format!("{path}.layers"), seen);
            }
        }
    }

    fn layer(&mut self, node: &Node, path: &str) -> LayerConf {
        let has = |key: &str| node.entry(key).is_some();
        if !["sources", "tile_sources", "layers", "legendurl"].iter().any(|key| has(key)) {
            self.warn(node, path, "has neither `sources` nor `layers`; it shows nothing");
        }
        let (sources, plain) = self.layer_sources(node, path);
        let tile_sources = self.tile_sources(node, path);
        let name = text(node, "name");
        if let Some(name) = node.get("name")
            && name.text().is_some_and(|name| name.contains(','))
        {
            self.warn(
                name,
                format!("{path}.name"),
                "a comma in a layer's name keeps clients from asking for it",
            );
        }
        let inner = node.get("layers").map_or(&[][..], Node::items);
        let layers = inner
            .iter()
            .enumerate()
            .map(|(at, item)| self.layer(item, &format!("{path}.layers[{at}]")))
            .collect();
        let nominal_scale = number(node, "nominal_scale")
            .or_else(|| number(node, "nominal_res").map(|res| res / PIXEL_SIZE_M));
        let layer = LayerConf {
            tile_caches: if name.is_none() {
                Vec::new()
            } else if has("tile_sources") {
                tile_sources
            } else {
                self.tile_caches(&sources, plain)
            },
            name,
            title: text(node, "title"),
            sources,
            has_own_sources: has("sources") || has("tile_sources"),
            has_map: has("sources") || has("legendurl"),
            layers,
            legendurl: text(node, "legendurl"),
            wmts_kvp_legendurl: text(node, "wmts_kvp_legendurl"),
            wmts_rest_legendurl: text(node, "wmts_rest_legendurl"),
            md: node.get("md").map(layer_md).unwrap_or_default(),
            res: self.res_bounds(node, path),
            dimensions: self.dimensions(node, path),
            nominal_scale,
        };
        self.refuse_dimensions(&layer, node, path);
        layer
    }

    /// Tiles of several dimension values would overwrite each other in a cache
    /// whose tiles have a place only for level, column and row.
    fn refuse_dimensions(&mut self, layer: &LayerConf, node: &Node, path: &str) {
        let Some(dimensions) = node.get("dimensions").filter(|_| !layer.dimensions.is_empty()) else {
            return;
        };
        let cache_of = |source: &SourceRef| match source {
            SourceRef::Cache(name) => Some(name.clone()),
            SourceRef::Source { .. } => None,
        };
        let mut open: Vec<String> = layer.sources.iter().filter_map(cache_of).collect();
        open.extend(layer.tile_caches.iter().cloned());
        let mut seen = std::collections::HashSet::new();
        while let Some(name) = open.pop() {
            let Some(cache) = self.caches.get(&name).filter(|_| seen.insert(name.clone())) else { continue };
            open.extend(cache.sources.iter().filter_map(cache_of));
            let keeps_rows = matches!(
                cache.backend,
                Backend::MbTiles { .. } | Backend::Sqlite { .. } | Backend::GeoPackage { .. }
            );
            if !cache.disable_storage && keeps_rows {
                let text = format!(
                    "the cache `{name}` cannot tell tiles of several dimension values apart; make it of \
                     `type: file` or give it `disable_storage: true`"
                );
                self.error(dimensions, format!("{path}.dimensions"), text);
            }
        }
    }

    /// `sources`, a cache before a source of the same name; and whether all of
    /// them could be found.
    fn layer_sources(&mut self, node: &Node, path: &str) -> (Vec<SourceRef>, bool) {
        let mut found = Vec::new();
        let mut whole = true;
        let items = node.get("sources").map_or(&[][..], Node::items);
        for (at, item) in items.iter().enumerate() {
            let Some(name) = item.text() else { continue };
            let path = format!("{path}.sources[{at}]");
            let root = self.root;
            if self.caches.contains(name) {
                found.push(SourceRef::Cache(name.to_owned()));
            } else if super::section(root, "caches").iter().any(|entry| &*entry.key == name) {
                whole = false;
            } else {
                match self.tagged_source(item, name, &path) {
                    Tagged::Found(source) => {
                        self.refuse_tiled(&source, item, &path);
                        found.push(source);
                    }
                    Tagged::Broken => whole = false,
                    Tagged::Unknown => {
                        self.no_such_source(item, name, &path);
                        whole = false;
                    }
                }
            }
        }
        (found, whole)
    }

    fn refuse_tiled(&mut self, source: &SourceRef, item: &Node, path: &str) {
        let SourceRef::Source { name, .. } = source else { return };
        let kind = self.sources.get(name).map(|source| &source.kind);
        if matches!(kind, Some(SourceKind::Tile(_) | SourceKind::OgcApiTiles(_))) {
            let text =
                format!("the source `{name}` has tiles, not maps; put a cache between it and the layer");
            self.error(item, path, text);
        }
    }

    fn tile_sources(&mut self, node: &Node, path: &str) -> Vec<String> {
        let mut found = Vec::new();
        let items = node.get("tile_sources").map_or(&[][..], Node::items);
        let root = self.root;
        let caches = super::section(root, "caches");
        for (at, item) in items.iter().enumerate() {
            let Some(name) = item.text() else { continue };
            if self.caches.contains(name) {
                found.push(name.to_owned());
            } else if !caches.iter().any(|entry: &Entry| &*entry.key == name) {
                let near = hint(name, caches.iter().map(|entry| &*entry.key));
                self.error(
                    item,
                    format!("{path}.tile_sources[{at}]"),
                    format!("there is no cache `{name}`{near}"),
                );
            }
        }
        found
    }

    /// The one cache that can stand for the layer in tile services: debug
    /// sources and those without a map do not count, any other source, or a
    /// second cache, leaves none.
    fn tile_caches(&self, sources: &[SourceRef], whole: bool) -> Vec<String> {
        let mut caches = Vec::new();
        for source in sources {
            match source {
                SourceRef::Cache(name) => caches.push(name.clone()),
                SourceRef::Source { name, .. } => match self.sources.get(name).map(|source| &source.kind) {
                    Some(SourceKind::Debug) => {}
                    Some(SourceKind::Wms(wms)) if !wms.map => {}
                    _ => return Vec::new(),
                },
            }
        }
        if caches.len() == 1 && whole { caches } else { Vec::new() }
    }
}

/// `keyword_list` of layers and services.
pub(super) fn keyword_lists(md: &Node) -> Vec<KeywordList> {
    let items = md.get("keyword_list").map_or(&[][..], Node::items);
    let list = |item: &Node| KeywordList {
        vocabulary: text(item, "vocabulary"),
        keywords: super::texts(item, "keywords").unwrap_or_default(),
    };
    items.iter().map(list).collect()
}

fn layer_md(md: &Node) -> LayerMd {
    let side =
        |node: &Node, key: &str| node.get(key).and_then(Node::int).and_then(|side| u32::try_from(side).ok());
    let urls = |key: &str| -> Vec<MetadataUrl> {
        let items = md.get(key).map_or(&[][..], Node::items);
        let url = |item: &Node| MetadataUrl {
            url: text(item, "url"),
            kind: text(item, "type"),
            format: text(item, "format"),
        };
        items.iter().map(url).collect()
    };
    let identifiers = md.get("identifier").map_or(&[][..], Node::items).iter().map(|item| Identifier {
        url: text(item, "url"),
        name: text(item, "name"),
        value: text(item, "value"),
    });
    LayerMd {
        abstract_text: text(md, "abstract"),
        keyword_list: keyword_lists(md),
        attribution: md.get("attribution").map(|attribution| LayerAttribution {
            title: text(attribution, "title"),
            url: text(attribution, "url"),
            logo: attribution.get("logo").map(|logo| Logo {
                url: text(logo, "url"),
                width: side(logo, "width"),
                height: side(logo, "height"),
                format: text(logo, "format"),
            }),
        }),
        identifier: identifiers.collect(),
        metadata: urls("metadata"),
        data: urls("data"),
        feature_list: urls("feature_list"),
    }
}
