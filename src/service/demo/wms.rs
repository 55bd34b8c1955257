//! The viewer of a WMS layer in one system.

use super::Visit;
use super::elsewhere::{Viewer, credit_of};
use super::page::missing;
use super::viewer::{
    Choice, Controls, InfoFormat, LAYERS_MAX, MapRequests, Requests, Shown, Values, code_of, encode,
};
use crate::render::Format;
use crate::service::Answer;
use crate::service::wms::{Wms, WmsVersion};

/// `wms_layer`
pub fn show(visit: &Visit<'_>) -> Answer {
    let Some(wms) = &visit.services.wms else { return visit.no_such_service("WMS") };
    let name = visit.parameters.first("wms_layer").unwrap_or_default();
    let Some(at) = wms.layers().find(name) else { return visit.no_such_layer("WMS", name) };
    let node = wms.layers().node(at);
    let code = match visit.parameters.first("srs").map(str::trim) {
        Some(code) if !code.is_empty() => code_of(code),
        _ => best_srs(wms),
    };
    let Some(srs) = wms.srs_of(&code) else {
        return missing(400, &format!("Maps are not drawn in the coordinate system “{code}”."));
    };
    let formats = viewable_formats(wms);
    let wanted = visit.parameters.first("format").unwrap_or_default();
    let format = formats
        .iter()
        .find(|(mime, short)| mime == wanted || short == wanted)
        .or_else(|| formats.first())
        .cloned()
        .unwrap_or_else(|| ("image/png".to_owned(), "png".to_owned()));
    let version = visit.parameters.first("version").and_then(WmsVersion::parse);
    let version = version.filter(|known| wms.versions().contains(known)).unwrap_or(wms.highest_version());
    let mut systems: Vec<Choice> = wms.served_srs().map(|known| Choice::new(known, known, &code)).collect();
    if !systems.iter().any(|choice| choice.chosen) {
        systems.push(Choice::new(&code, &code, &code));
    }
    let layers = named_layers(wms).into_iter().map(|(name_of, title, _)| Choice::new(&name_of, &title, name));
    let versions = wms.versions().iter().rev().map(|known| known.text());
    let controls = Controls {
        service: Viewer::Wms.label(),
        parameter: Viewer::Wms.parameter(),
        site: visit.site_title().to_owned(),
        title: if node.title.is_empty() { name.to_owned() } else { node.title.clone() },
        name: name.to_owned(),
        about: node.metadata.abstract_text.clone(),
        credit: credit_of(node),
        srs: code.clone(),
        layers: layers.take(LAYERS_MAX).collect(),
        systems,
        formats: formats.iter().map(|(_, short)| Choice::new(short, short, &format.1)).collect(),
        versions: versions.map(|known| Choice::new(known, known, version.text())).collect(),
        dimensions: dimensions(visit, wms, at),
        any_srs: wms.any_srs(),
        is_queryable: node.queryable,
        legend: visit.legend_of(name),
        services: visit.services_of(name, &code, Viewer::Wms),
        downloads: visit.overlays_of(name),
        documents: vec![("Capabilities", "service?SERVICE=WMS&REQUEST=GetCapabilities".to_owned())],
        capabilities_query: Some("wms_capabilities".to_owned()),
        ..Controls::default()
    };
    let info = if node.queryable { wms.info_formats("text/xml") } else { Vec::new() };
    visit.place(
        controls,
        Shown {
            srs,
            code,
            extent: (node.extent.extent, node.extent.srs.clone()),
            requests: Requests::Wms(MapRequests {
                layer: name.to_owned(),
                version: version.text(),
                format: format.0,
            }),
            info: info.into_iter().map(|mime| InfoFormat::new(mime, "")).collect(),
        },
    )
}

/// The dimensions of all that is drawn for a layer, each once.
fn dimensions(visit: &Visit<'_>, wms: &Wms, at: usize) -> Vec<Values> {
    let mut drawing = Vec::new();
    wms.layers().drawing(at, &mut drawing);
    let mut found: Vec<Values> = Vec::new();
    for dimension in drawing.iter().flat_map(|&at| &wms.layers().node(at).dimensions) {
        if !found.iter().any(|known| known.name == dimension.key()) {
            found.push(visit.values_of(dimension));
        }
    }
    found
}

/// The system that a map is shown in unless another is wanted.
pub fn best_srs(wms: &Wms) -> String {
    let mercator = wms.served_srs().find(|code| matches!(*code, "EPSG:3857" | "EPSG:900913"));
    mercator.or_else(|| wms.served_srs().next()).unwrap_or("EPSG:4326").to_owned()
}

/// The configured formats that a browser shows: MIME type and short name.
pub fn viewable_formats(wms: &Wms) -> Vec<(String, String)> {
    let viewable = wms.image_formats().iter().filter(|(_, options)| {
        matches!(options.format, Format::Png | Format::Jpeg | Format::Gif | Format::WebP)
    });
    viewable.map(|(mime, _)| (mime.clone(), mime.strip_prefix("image/").unwrap_or(mime).to_owned())).collect()
}

/// Every layer that can be asked for, parents before their children: its
/// name, its title, and the titles of the groups it stands in.
pub fn named_layers(wms: &Wms) -> Vec<(String, String, Vec<String>)> {
    fn walk(
        wms: &Wms,
        at: Option<usize>,
        groups: &mut Vec<String>,
        found: &mut Vec<(String, String, Vec<String>)>,
    ) {
        let node = at.map_or_else(|| wms.layers().root(), |at| wms.layers().node(at));
        if let Some(name) = &node.name {
            let title = if node.title.is_empty() { name } else { &node.title };
            found.push((name.clone(), title.clone(), groups.clone()));
        }
        let is_group = at.is_some() && !node.title.is_empty();
        if is_group {
            groups.push(node.title.clone());
        }
        for &child in &node.children {
            walk(wms, Some(child), groups, found);
        }
        if is_group {
            groups.pop();
        }
    }
    let mut found = Vec::new();
    walk(wms, None, &mut Vec::new(), &mut found);
    found
}

/// The viewer's page, as MapProxy writes it.
pub fn page_address(name: &str, format: &str, code: &str) -> String {
    format!("?srs={}&format={}&wms_layer={}", encode(code), encode(format), encode(name))
}
