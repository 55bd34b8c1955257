//! The question that a request to the OGC API puts to whoever guards the site.
//! Maps and tiles of a collection both show it as a map, so both are asked
//! about as one.

use super::subject::{Scope, Subject};
use super::{OgcApi, Route};
use crate::service::parameters::Parameters;
use crate::service::permit::{Feature, Kind, Question};
use crate::service::question::about_all;
use crate::service::wms::level_of;
use crate::wire::Request;

/// Finer than any rule allows.
const LEVEL_UNKNOWN: u32 = 100;
const DOCUMENT: &str = "ogcapi.capabilities";

impl OgcApi {
    /// `path` is what follows `/ogcapi`. `None` for what is refused anyhow.
    pub(in crate::service) fn question(&self, path: &str, request: &Request) -> Option<Question> {
        let parameters = Parameters::parse(&request.query);
        match Route::parse(path, self.enable_maps, self.enable_tiles)? {
            Route::Landing
            | Route::Conformance
            | Route::Api
            | Route::Collections
            | Route::TileMatrixSets
            | Route::TileMatrixSet(_) => Some(about_all(Kind::OgcApi, DOCUMENT, self.names.clone())),
            Route::Collection(name) => {
                let subject = self.subject(DOCUMENT, Scope::Collection(name), &parameters).ok()?;
                Some(self.about(&subject))
            }
            Route::TileSets(scope) | Route::TileSet(scope, _) => {
                Some(self.about(&self.subject(DOCUMENT, scope, &parameters).ok()?))
            }
            Route::Map(scope, _) => {
                let Ok((subject, wanted)) = self.asked_map(scope, &parameters) else {
                    return self.about_nowhere("ogcapi.map", scope, &parameters);
                };
                let level = level_of(&wanted.extent, &wanted.srs, wanted.size);
                let extent = Some((wanted.srs.code().to_owned(), wanted.extent));
                Some(Question { level: Some(level), extent, ..self.about(&subject) })
            }
            Route::Tile(scope, place) => {
                let Ok((subject, wanted, level)) = self.asked_tile(scope, place, &parameters) else {
                    return self.about_nowhere("ogcapi.tile", scope, &parameters);
                };
                let grid = self.grid(place.set).ok()?;
                // A tile of another size is finer than its level.
                let is_usual = wanted.size == grid.tile_size;
                let level = if is_usual { level } else { level_of(&wanted.extent, &wanted.srs, wanted.size) };
                let extent = Some((wanted.srs.code().to_owned(), wanted.extent));
                Some(Question { level: Some(level), extent, ..self.about(&subject) })
            }
        }
    }

    /// The question of a request that makes no sense: who may ask is told what
    /// is wrong with it; whose levels are limited need not know.
    fn about_nowhere(
        &self,
        service: &'static str,
        scope: Scope<'_>,
        parameters: &Parameters,
    ) -> Option<Question> {
        let subject = self.subject(service, scope, parameters).ok()?;
        Some(Question { level: Some(LEVEL_UNKNOWN), ..self.about(&subject) })
    }

    fn about(&self, subject: &Subject) -> Question {
        let mut drawing = Vec::new();
        for &at in &subject.collections {
            self.layers.drawing(at, &mut drawing);
        }
        let name = |&at: &usize| self.layers.node(at).name.clone();
        Question {
            kind: Kind::OgcApi,
            service: subject.service,
            feature: Some(Feature::Map),
            // Nobody names the layers of the data set.
            asked: subject.collections.iter().filter(|_| subject.is_named).filter_map(name).collect(),
            layers: drawing.iter().filter_map(name).collect(),
            extent: None,
            level: None,
        }
    }
}
