//! The services of the configuration with their layers, ready for a site.

use std::collections::HashMap;
use std::sync::Arc;

use super::layers::{Builder, res_range};
use super::{Shared, documents};
use crate::conf::conf::{self, Conf, LayerConf, SourceRef};
use crate::plan::InfoKind;
use crate::plan::compose::OnSourceErrors;
use crate::render::decor::Attribution;
use crate::service::SiteParts;
use crate::service::demo::DemoParts;
use crate::service::kml::KmlParts;
use crate::service::ogcapi::OgcApiParts;
use crate::service::tile::TileLayer;
use crate::service::tms::TmsParts;
use crate::service::wms::{WmsLayer, WmsParts, WmsVersion};
use crate::service::wmts::WmtsParts;
use crate::service::xml::unescape;
use crate::source::wms::WmsVersion as SourceVersion;

/// Everything that a site is made of. `warnings` receives sentences about
/// what is left out.
///
/// # Errors
/// Sentences about what cannot be built.
pub(crate) fn parts<'a>(
    conf: &'a Conf,
    shared: &'a Shared<'a>,
    warnings: &mut Vec<String>,
) -> Result<SiteParts, Vec<String>> {
    let mut builder = Builder::new(conf, shared);
    let layers = &conf.services;
    let tile_layers = tile_layers(conf, &mut builder);
    let expires_s = conf.globals.tile_age_max_s;
    let parts = SiteParts {
        wms: layers
            .wms
            .as_ref()
            .and_then(|wms| wms_parts(conf, wms, &tile_layers, shared.any_srs, &mut builder)),
        wmts: layers.wmts.as_ref().map(|wmts| wmts_parts(wmts, &tile_layers, expires_s, warnings)),
        tms: layers.tms.as_ref().map(|tms| TmsParts {
            metadata: documents::service(&tms.md),
            layers: tile_layers.clone(),
            use_grid_names: tms.use_grid_names,
            origin: tms.origin,
            expires_s,
        }),
        kml: layers.kml.as_ref().map(|kml| KmlParts {
            metadata: documents::service(&kml.md),
            layers: tile_layers.clone(),
            use_grid_names: kml.use_grid_names,
            expires_s,
        }),
        ogcapi: layers
            .ogcapi
            .as_ref()
            .and_then(|ogcapi| ogcapi_parts(conf, ogcapi, &tile_layers, &mut builder)),
        demo: layers.demo.as_ref().map(|demo| DemoParts {
            metadata: documents::service(&demo.md),
            background_url: conf.globals.background_url.clone(),
        }),
        cors: conf.globals.access_control_allow_origin.clone(),
        hide_error_details: conf.globals.http.hide_error_details,
        decorations: None,
    };
    if builder.errors.is_empty() { Ok(parts) } else { Err(builder.errors) }
}

fn wms_parts<'a>(
    conf: &'a Conf,
    wms: &conf::WmsService,
    tile_layers: &[TileLayer],
    any_srs: bool,
    builder: &mut Builder<'a>,
) -> Option<WmsParts> {
    let root = wms_layer(conf.root_layer.as_ref()?, wms.md.title.as_deref(), builder)?;
    Some(WmsParts {
        root,
        metadata: documents::service(&wms.md),
        inspire: wms.inspire.as_ref().map(documents::inspire),
        srs: wms.srs.clone(),
        any_srs,
        srs_extents: wms.bbox_srs.iter().map(|b| (b.srs.clone(), b.limit)).collect(),
        image_formats: wms.image_formats.iter().map(|f| (f.mime.clone(), f.image.clone())).collect(),
        versions: wms.versions.iter().map(|v| version(*v)).collect(),
        attribution: attribution(conf, wms.attribution.as_ref()),
        info_stylesheets: info_stylesheets(wms, builder),
        info_types: wms.featureinfo_types.clone().unwrap_or_default(),
        on_source_errors: on_source_errors(wms.on_source_errors),
        max_output_pixels: wms.output_pixels_max,
        strict: wms.strict,
        concurrent_layers: wms.concurrent_layer_renderer as usize,
        tile_layers: tile_layers.to_vec(),
        expires_s: conf.globals.tile_age_max_s,
    })
}

fn info_stylesheets(
    wms: &conf::WmsService,
    builder: &mut Builder<'_>,
) -> Vec<(InfoKind, Arc<crate::plan::Stylesheet>)> {
    let kind = |name: &str| match name {
        "html" => InfoKind::Html,
        "xml" => InfoKind::Xml,
        "json" => InfoKind::Json,
        _ => InfoKind::Text,
    };
    let sheets = wms.featureinfo_xslt.iter();
    sheets.filter_map(|(name, sheet)| Some((kind(name), builder.stylesheet(sheet)?))).collect()
}

/// What is written on maps, in the operator's font.
fn attribution(conf: &Conf, text: Option<&String>) -> Option<Attribution> {
    let typeface = conf.globals.typeface.clone();
    text.map(|text| Attribution { text: text.clone(), typeface })
}

fn on_source_errors(said: conf::OnSourceErrors) -> OnSourceErrors {
    match said {
        conf::OnSourceErrors::Notify => OnSourceErrors::Notify,
        conf::OnSourceErrors::Raise => OnSourceErrors::Raise,
    }
}

fn ogcapi_parts<'a>(
    conf: &'a Conf,
    ogcapi: &conf::OgcApiService,
    tile_layers: &[TileLayer],
    builder: &mut Builder<'a>,
) -> Option<OgcApiParts> {
    let root_conf = conf.root_layer.as_ref()?;
    let mut nominal_scales = HashMap::new();
    nominal_scale(root_conf, &mut nominal_scales);
    let mut single = Vec::new();
    single_caches(root_conf, &mut single);
    Some(OgcApiParts {
        root: wms_layer(root_conf, None, builder)?,
        nominal_scales,
        tiles: tile_layers
            .iter()
            .filter(|tiles| single.contains(&(tiles.name.as_str(), tiles.cache_name.as_str())))
            .cloned()
            .collect(),
        grids: conf.grids.iter().map(|(key, grid)| (key.to_owned(), Arc::clone(&grid.grid))).collect(),
        metadata: ogcapi.md.clone(),
        enable_tiles: ogcapi.enable_tiles,
        enable_maps: ogcapi.enable_maps,
        map_srs: ogcapi.map_srs.clone(),
        image_formats: ogcapi.image_formats.iter().map(|format| format.image.clone()).collect(),
        attribution: attribution(conf, ogcapi.attribution.as_ref()),
        on_source_errors: on_source_errors(ogcapi.on_source_errors),
        pixels_max: ogcapi.output_pixels_max,
        concurrent_layers: ogcapi.concurrent_layer_renderer as usize,
        dataset: ogcapi.default_dataset_layers.clone(),
        expires_s: conf.globals.tile_age_max_s,
        background_url: conf.globals.background_url.clone(),
        has_demo: conf.services.demo.is_some(),
    })
}

/// The nominal scale of a layer, for a group the largest number of those below;
/// `found` receives them by name.
fn nominal_scale(layer: &LayerConf, found: &mut HashMap<String, f64>) -> Option<f64> {
    let below = layer.layers.iter().filter_map(|child| nominal_scale(child, found)).reduce(f64::max);
    let scale = layer.nominal_scale.into_iter().chain(below).reduce(f64::max)?;
    if let Some(name) = &layer.name {
        found.insert(name.clone(), scale);
    }
    Some(scale)
}

/// Layers that draw just one cache, with that cache: a stored tile of it is a
/// tile of the layer.
fn single_caches<'l>(layer: &'l LayerConf, found: &mut Vec<(&'l str, &'l str)>) {
    if let (Some(name), [SourceRef::Cache(cache)]) = (&layer.name, layer.sources.as_slice())
        && layer.has_map
    {
        found.push((name, cache));
    }
    for child in &layer.layers {
        single_caches(child, found);
    }
}

fn version(version: SourceVersion) -> WmsVersion {
    match version {
        SourceVersion::V100 => WmsVersion::V100,
        SourceVersion::V110 => WmsVersion::V110,
        SourceVersion::V111 => WmsVersion::V111,
        SourceVersion::V130 => WmsVersion::V130,
    }
}

/// One node of the tree; `None` for a node with nothing to draw below it.
fn wms_layer(layer: &LayerConf, service_title: Option<&str>, builder: &mut Builder<'_>) -> Option<WmsLayer> {
    let children: Vec<WmsLayer> =
        layer.layers.iter().filter_map(|child| wms_layer(child, service_title, builder)).collect();
    let maps: Option<Vec<_>> =
        layer.has_map.then(|| layer.sources.iter().filter_map(|s| builder.layer(s)).collect());
    if children.is_empty() && maps.is_none() {
        return None;
    }
    let title = documents::plain(&layer.title).or_else(|| service_title.map(unescape)).unwrap_or_default();
    Some(WmsLayer {
        name: layer.name.clone(),
        title,
        metadata: documents::layer(&layer.md),
        maps,
        children,
        res_range: res_range(&layer.res),
        dimensions: documents::dimensions(&layer.dimensions),
        infos: if layer.has_map { builder.infos(&layer.sources) } else { Vec::new() },
        legends: match layer.legendurl.as_deref().filter(|url| !url.is_empty()) {
            Some(url) => vec![builder.layer_legend(url)],
            None if layer.has_map => builder.legends(&layer.sources),
            None => Vec::new(),
        },
    })
}

fn wmts_parts(
    wmts: &conf::WmtsService,
    layers: &[TileLayer],
    expires_s: u64,
    warnings: &mut Vec<String>,
) -> WmtsParts {
    // Rows of WMTS count from the north-west: a grid whose corners do not
    // coincide there is left out, as in MapProxy.
    let (fit, unfit): (Vec<TileLayer>, Vec<TileLayer>) =
        layers.iter().cloned().partition(|l| l.tiles.grid().supports_origin(crate::geo::Origin::NorthWest));
    for layer in unfit {
        warnings.push(format!(
            "layer {} is not in WMTS: the grid {} has no upper left corner on each of its levels",
            layer.name,
            layer.tiles.grid().name
        ));
    }
    WmtsParts {
        metadata: documents::service(&wmts.md),
        layers: fit,
        kvp: wmts.kvp,
        restful: wmts.restful,
        restful_template: Some(wmts.restful_template.clone()),
        restful_featureinfo_template: wmts.restful_featureinfo_template.clone(),
        info_formats: wmts.featureinfo_formats.clone(),
        expires_s,
    }
}

/// Where the WMS has the legend that the layer names.
fn wms_legend(conf: &Conf, layer: &LayerConf) -> Option<String> {
    layer.legendurl.as_ref()?;
    let wms = conf.services.wms.as_ref()?;
    let version = wms.versions.last().map_or("1.3.0", |version| version.text());
    Some(format!(
        "{{base_url}}/service?service=WMS&request=GetLegendGraphic&version={version}&format=image%2Fpng&layer={{layer_name}}"
    ))
}

/// Who is asked about a tile: the sources of its cache, then those of the layer
/// that have no map of their own.
fn tile_infos(
    cache: &str,
    layer: &LayerConf,
    builder: &mut Builder<'_>,
) -> Vec<Arc<dyn crate::plan::InfoLayer>> {
    let own = layer.sources.iter().filter(|source| matches!(source, SourceRef::Source { .. })).cloned();
    let sources: Vec<SourceRef> = std::iter::once(SourceRef::Cache(cache.to_owned())).chain(own).collect();
    builder.infos(&sources)
}

/// Layers as tiles: those with caches, on each grid of the cache.
fn tile_layers<'a>(conf: &'a Conf, builder: &mut Builder<'a>) -> Vec<TileLayer> {
    let mut found = Vec::new();
    for layer in conf.flat_layers() {
        let Some(name) = &layer.name else { continue };
        for cache_name in &layer.tile_caches {
            let Some(cache) = conf.caches.get(cache_name) else { continue };
            let infos = tile_infos(cache_name, layer, builder);
            let legend = wms_legend(conf, layer);
            for built in builder.cache(cache).iter() {
                let grid = built.cache.grid();
                let extent = built.extent.clone().unwrap_or_else(|| (grid.extent, grid.srs.clone()));
                found.push(TileLayer {
                    name: name.clone(),
                    title: documents::plain(&layer.title).unwrap_or_default(),
                    cache_name: cache_name.clone(),
                    tiles: Arc::clone(&built.cache) as Arc<dyn crate::service::tile::TileProvider>,
                    extent,
                    whole_edges: built.whole_edges,
                    dimensions: documents::dimensions(&layer.dimensions),
                    infos: infos.clone(),
                    wmts_kvp_legend_url: documents::plain(&layer.wmts_kvp_legendurl)
                        .or_else(|| legend.clone()),
                    wmts_rest_legend_url: documents::plain(&layer.wmts_rest_legendurl)
                        .or_else(|| legend.clone()),
                });
            }
        }
    }
    found
}
