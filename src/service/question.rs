//! Which question a request puts: which service, which layers, which place and
//! level. Asks nobody and decides nothing. What is malformed or names nothing
//! that there is puts none; the service says what is wrong with it.

use super::base_url::BaseUrl;
use super::parameters::Parameters;
use super::permit::{Feature, Kind, Question};
use super::site::{Services, form, is_form, service_named, split_service};
use super::tile::ServedLayer;
use crate::geo::TileCoord;
use crate::wire::{Method, Request};

/// What a request is to whoever guards a site.
#[derive(Debug)]
pub enum Asked {
    /// Nothing that needs a permit: the front page, files of the demo, OPTIONS.
    Open,
    /// No known layer: of that service, or of none.
    Nothing(Option<Kind>),
    Of(Question),
}

/// The question that a request puts to a site with these services.
pub fn ask(services: &Services, url: &BaseUrl<'_>, request: &Request) -> Asked {
    if request.method == Method::Options || matches!(&*url.path, "" | "/") {
        return Asked::Open;
    }
    let Some((name, path)) = split_service(&url.path) else { return Asked::Nothing(None) };
    let Services { wms, wmts, tms, kml, ogcapi } = services;
    match name {
        "service" | "ows" | "wms" => {
            let parameters = if is_form(request) { form(request) } else { Parameters::parse(&request.query) };
            match service_named(&parameters).as_deref() {
                Some("wms") => of(Kind::Wms, wms.as_ref().and_then(|wms| wms.question(&parameters))),
                Some("wmts") => of(Kind::Wmts, wmts.as_ref().and_then(|wmts| wmts.question(&parameters))),
                _ => Asked::Nothing(None),
            }
        }
        "wmts" => of(Kind::Wmts, wmts.as_ref().and_then(|wmts| wmts.rest_question(path))),
        "tms" | "tiles" => of(Kind::Tms, tms.as_ref().and_then(|tms| tms.question(name, path, request))),
        "kml" => of(Kind::Kml, kml.as_ref().and_then(|kml| kml.question(path))),
        "ogcapi" | "demo" if path.starts_with("/static/") => Asked::Open,
        "ogcapi" => of(Kind::OgcApi, ogcapi.as_ref().and_then(|api| api.question(path, request))),
        "demo" => Asked::Of(Question {
            kind: Kind::Demo,
            service: "demo",
            feature: None,
            asked: Vec::new(),
            layers: Vec::new(),
            extent: None,
            level: None,
        }),
        _ => Asked::Nothing(None),
    }
}

fn of(kind: Kind, question: Option<Question>) -> Asked {
    question.map_or(Asked::Nothing(Some(kind)), Asked::Of)
}

/// The question about one tile.
pub(super) fn about_tile(
    kind: Kind,
    service: &'static str,
    feature: Feature,
    layer: &ServedLayer,
    coord: TileCoord,
) -> Question {
    let grid = layer.grid();
    Question {
        extent: Some((grid.srs.code().to_owned(), grid.tile_extent(coord))),
        level: Some(coord.z),
        ..about_layer(kind, service, feature, layer)
    }
}

/// The question about a layer's own document.
pub(super) fn about_layer(
    kind: Kind,
    service: &'static str,
    feature: Feature,
    layer: &ServedLayer,
) -> Question {
    let name = layer.layer.name.clone();
    Question {
        kind,
        service,
        feature: Some(feature),
        asked: vec![name.clone()],
        layers: vec![name],
        extent: None,
        level: None,
    }
}

/// The question about a document of all layers.
pub(super) fn about_all(kind: Kind, service: &'static str, layers: Vec<String>) -> Question {
    Question { kind, service, feature: None, asked: Vec::new(), layers, extent: None, level: None }
}
