//! Tile Map Service 1.0.0 and its plain sister `/tiles`: the same tree of
//! tiles, but `/tms` counts levels and rows as its standard wants them.

use std::collections::HashMap;
use std::sync::Arc;

use super::Answer;
use super::base_url::BaseUrl;
use super::exception::{Failure, document, plain_failure, tms_failure};
use super::metadata::ServiceMetadata;
use super::parameters::Parameters;
use super::permit::{Feature, Kind, Question};
use super::question::{about_all, about_layer, about_tile};
use super::site::Manners;
use super::tile::{PublicTile, ServedLayer, TileAnswers, TileLayer};
use super::xml::{XmlWriter, number};
use crate::geo::Origin;
use crate::plan::TileAddress;
use crate::wire::Request;

/// `services.tms` (mapproxy-features.md §7.3).
#[derive(Clone)]
pub struct TmsParts {
    pub metadata: ServiceMetadata,
    pub layers: Vec<TileLayer>,
    pub use_grid_names: bool,
    /// `origin`: where `/tiles` counts rows from unless the request says so.
    pub origin: Option<Origin>,
    /// `tiles.expires_hours` in seconds.
    pub expires_s: u64,
}

/// Tile layers by name and system (or grid).
pub struct LayerTable {
    layers: Vec<ServedLayer>,
    by_name: HashMap<String, usize>,
    use_grid_names: bool,
}

impl LayerTable {
    /// A later layer of the same name and system takes the place of an earlier one.
    pub fn new(parts: Vec<TileLayer>, use_grid_names: bool) -> LayerTable {
        let mut table = LayerTable { layers: Vec::new(), by_name: HashMap::new(), use_grid_names };
        for layer in parts {
            let served = ServedLayer::new(layer, use_grid_names);
            let key = table.key(&served.layer.name, Some(&served.spec));
            match table.by_name.get(&key) {
                Some(&at) => table.layers[at] = served,
                None => {
                    table.by_name.insert(key, table.layers.len());
                    table.layers.push(served);
                }
            }
        }
        table
    }

    /// With grid names the parts stay apart (no name holds a slash); with
    /// codes `layer_EPSG900913` is one name, as clients may write it.
    fn key(&self, name: &str, spec: Option<&str>) -> String {
        match spec {
            Some(spec) if self.use_grid_names => format!("{name}/{spec}"),
            Some(spec) => format!("{name}_{spec}"),
            None => name.to_owned(),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &ServedLayer> {
        self.layers.iter()
    }

    /// The layer for the parts of a path. Without grid names a missing system
    /// is looked for in the order of `fallbacks`.
    ///
    /// # Errors
    /// There is no such layer.
    pub fn find(
        &self,
        name: &str,
        spec: Option<&str>,
        fallbacks: [&str; 2],
    ) -> Result<&ServedLayer, Failure> {
        let key = self.key(name, spec);
        let found = self.by_name.get(&key).or_else(|| {
            if self.use_grid_names {
                return None;
            }
            fallbacks.iter().find_map(|code| self.by_name.get(&format!("{key}_{code}")))
        });
        match found {
            Some(&at) => Ok(&self.layers[at]),
            None => Err(Failure::new(format!("unknown layer: {name}"))),
        }
    }
}

/// A path of the tile services taken apart: `layer[/spec]/z/x/y.format`. What
/// follows the format is not looked at, as in MapProxy.
#[derive(Debug, PartialEq)]
pub struct TilePath<'a> {
    pub layer: &'a str,
    pub spec: Option<&'a str>,
    pub tile: PublicTile,
    pub format: &'a str,
}

impl<'a> TilePath<'a> {
    /// `path` begins behind the service's name, with a slash or without. A
    /// layer may bear the name of the version.
    pub fn parse_versioned(path: &'a str) -> Option<TilePath<'a>> {
        let below = path.strip_prefix('/').unwrap_or(path);
        below.strip_prefix("1.0.0/").and_then(TilePath::parse).or_else(|| TilePath::parse(below))
    }

    /// `path` begins behind the slash of the service's name.
    pub fn parse(path: &'a str) -> Option<TilePath<'a>> {
        let parts: Vec<&str> = path.splitn(6, '/').collect();
        let with_spec = match parts.as_slice() {
            [layer, spec, z, x, file, ..] => TilePath::of(layer, Some(spec), [z, x, file]),
            _ => None,
        };
        with_spec.or_else(|| match parts.as_slice() {
            [layer, z, x, file, ..] => TilePath::of(layer, None, [z, x, file]),
            _ => None,
        })
    }

    fn of(layer: &'a str, spec: Option<&'a str>, [z, x, file]: [&'a str; 3]) -> Option<TilePath<'a>> {
        let (y, format) = file.split_once('.')?;
        let end = format.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(format.len());
        let is_whole = !layer.is_empty() && spec != Some("") && end > 0;
        is_whole.then_some(())?;
        let format = &format[..end];
        Some(TilePath { layer, spec, tile: PublicTile::parse(x, y, z)?, format })
    }
}

/// `/tms` and `/tiles`.
pub struct Tms {
    metadata: ServiceMetadata,
    pub(super) layers: LayerTable,
    origin: Option<Origin>,
    tms: Arc<TileAnswers>,
    plain: Arc<TileAnswers>,
}

const FALLBACKS: [&str; 2] = ["EPSG900913", "EPSG4326"];

impl Tms {
    pub fn new(parts: TmsParts, manners: &Manners) -> Tms {
        Tms {
            metadata: parts.metadata,
            layers: LayerTable::new(parts.layers, parts.use_grid_names),
            origin: parts.origin,
            tms: TileAnswers::new(Kind::Tms, "tms", parts.expires_s, manners, tms_failure),
            plain: TileAnswers::new(Kind::Tms, "tms", parts.expires_s, manners, plain_failure),
        }
    }

    /// The layers, as the demo pages describe them.
    pub fn layers(&self) -> impl Iterator<Item = &ServedLayer> {
        self.layers.iter()
    }

    /// Answers below `/tiles`; `path` is what follows.
    pub fn answer_plain(&self, path: &str, request: &Request) -> Answer {
        self.tile(path, request, &self.plain, false, self.plain_origin(request))
    }

    /// Answers below `/tms`; `path` is what follows.
    pub fn answer_tms(&self, path: &str, url: &BaseUrl<'_>, request: &Request) -> Answer {
        if matches!(path, "" | "/") {
            return Answer::Ready(document(200, "text/xml", self.root(url)));
        }
        let Some(rest) = path.strip_prefix("/1.0.0") else {
            return self.tile(path, request, &self.tms, true, Some(Origin::SouthWest));
        };
        if matches!(rest, "" | "/") {
            return Answer::Ready(document(200, "text/xml", self.capabilities(url)));
        }
        // One slash too many is what comes of joining addresses.
        let rest = if rest.starts_with("//") { &rest[1..] } else { rest };
        let mut parts = rest.strip_prefix('/').unwrap_or(rest).split('/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(layer), spec, None) if rest.starts_with('/') && !rest.ends_with('/') => {
                match self.layers.find(layer, spec, FALLBACKS) {
                    Ok(layer) => Answer::Ready(document(200, "text/xml", tile_map(layer, url))),
                    Err(failure) => self.tms.tell(&failure),
                }
            }
            _ => self.tile(path, request, &self.tms, true, Some(Origin::SouthWest)),
        }
    }

    fn tile(
        &self,
        path: &str,
        request: &Request,
        answers: &Arc<TileAnswers>,
        use_profiles: bool,
        origin: Option<Origin>,
    ) -> Answer {
        match self.find_tile(path, use_profiles, origin) {
            Ok((layer, address)) => answers.tile(layer, address, request),
            Err(failure) => answers.tell(&failure),
        }
    }

    /// The tile that a path names.
    fn find_tile(
        &self,
        path: &str,
        use_profiles: bool,
        origin: Option<Origin>,
    ) -> Result<(&ServedLayer, TileAddress), Failure> {
        let service = if use_profiles { "tms" } else { "tiles" };
        let invalid = || Failure::new(format!("invalid request (/{service}{path})"));
        let path = TilePath::parse_versioned(path).ok_or_else(invalid)?;
        let layer = self.layers.find(path.layer, path.spec, FALLBACKS)?;
        layer.check_format(path.format)?;
        let coord = layer.coord(path.tile, use_profiles, origin)?;
        let dimensions = layer.dimensions(|_| None)?;
        Ok((layer, TileAddress { coord, dimensions }))
    }

    /// The question that a request below `/tms` or `/tiles` (`name`) puts to
    /// whoever guards the site; `None` for what is refused anyhow.
    pub(super) fn question(&self, name: &str, path: &str, request: &Request) -> Option<Question> {
        let plain = name == "tiles";
        let below = path.strip_prefix("/1.0.0").filter(|_| !plain);
        if (!plain && matches!(path, "" | "/")) || matches!(below, Some("" | "/")) {
            let names = self.layers.iter().map(|layer| layer.layer.name.clone()).collect();
            return Some(about_all(Kind::Tms, "tms", names));
        }
        let mut parts = below.unwrap_or_default().trim_start_matches('/').split('/');
        if let (Some(_), Some(layer), spec, None) = (below, parts.next(), parts.next(), parts.next()) {
            let layer = self.layers.find(layer, spec, FALLBACKS).ok()?;
            return Some(about_layer(Kind::Tms, "tms", Feature::Tile, layer));
        }
        let origin = if plain { self.plain_origin(request) } else { Some(Origin::SouthWest) };
        if let Ok((layer, address)) = self.find_tile(path, !plain, origin) {
            return Some(about_tile(Kind::Tms, "tms", Feature::Tile, layer, address.coord));
        }
        // Who may ask is told what is wrong with it.
        let path = TilePath::parse_versioned(path)?;
        let layer = self.layers.find(path.layer, path.spec, FALLBACKS).ok()?;
        Some(about_layer(Kind::Tms, "tms", Feature::Tile, layer))
    }

    fn plain_origin(&self, request: &Request) -> Option<Origin> {
        match Parameters::parse(&request.query).first("origin") {
            Some("sw") => Some(Origin::SouthWest),
            Some("nw") => Some(Origin::NorthWest),
            _ => self.origin,
        }
    }

    fn root(&self, url: &BaseUrl<'_>) -> String {
        let address = url.request_url();
        let mut xml = XmlWriter::new();
        xml.open("Services");
        xml.open("TileMapService")
            .attribute("title", &self.metadata.title)
            .attribute("version", "1.0.0")
            .attribute("href", &format!("{}/1.0.0/", address.strip_suffix('/').unwrap_or(&address)));
        xml.finish()
    }

    fn capabilities(&self, url: &BaseUrl<'_>) -> String {
        let mut xml = XmlWriter::new();
        xml.open("TileMapService").attribute("version", "1.0.0");
        xml.leaf("Title", &self.metadata.title);
        xml.leaf("Abstract", self.metadata.abstract_text.as_deref().unwrap_or_default());
        if !self.metadata.keyword_lists.is_empty() {
            xml.open("KeywordList");
            for list in &self.metadata.keyword_lists {
                let quoted: Vec<String> = list.keywords.iter().map(|word| format!("\"{word}\"")).collect();
                xml.text(&quoted.join(" "));
            }
            xml.close();
        }
        self.write_contact(&mut xml);
        let address = url.request_url();
        let address = address.trim_end_matches('/');
        xml.open("TileMaps");
        for layer in self.layers.iter() {
            xml.open("TileMap")
                .attribute("title", &layer.layer.title)
                .attribute("srs", &layer.srs_name)
                .attribute("profile", layer.profile)
                .attribute("href", &format!("{address}/{}/{}", layer.layer.name, layer.spec))
                .close();
        }
        xml.finish()
    }

    fn write_contact(&self, xml: &mut XmlWriter) {
        let Some(contact) = &self.metadata.contact else { return };
        xml.open("ContactInformation");
        xml.open("ContactPersonPrimary")
            .leaf("ContactPerson", &contact.person)
            .leaf("ContactOrganization", &contact.organization)
            .close();
        xml.leaf("ContactPosition", &contact.position);
        xml.open("ContactAddress")
            .leaf("Address", &contact.address)
            .leaf("City", &contact.city)
            .leaf("PostCode", &contact.postcode)
            .leaf("Country", &contact.country)
            .close();
        xml.leaf("ContactVoiceTelephone", &contact.phone)
            .leaf("ContactFacsimileTelephone", &contact.fax)
            .leaf("ContactElectronicMailAddress", &contact.email);
        xml.close();
    }
}

/// The document of one tile map.
fn tile_map(layer: &ServedLayer, url: &BaseUrl<'_>) -> String {
    let (width, height) = layer.grid().tile_size;
    let [west, south, east, north] = layer.edges_in(&layer.grid().srs);
    let mut xml = XmlWriter::new();
    xml.open("TileMap").attribute("version", "1.0.0");
    xml.leaf("Title", &layer.layer.title);
    xml.leaf("Abstract", "");
    xml.leaf("SRS", &layer.srs_name);
    xml.open("BoundingBox")
        .attribute("minx", &west)
        .attribute("miny", &south)
        .attribute("maxx", &east)
        .attribute("maxy", &north)
        .close();
    xml.open("Origin").attribute("x", &west).attribute("y", &south).close();
    xml.open("TileFormat")
        .attribute("width", &width.to_string())
        .attribute("height", &height.to_string())
        .attribute("mime-type", layer.mime)
        .attribute("extension", layer.format)
        .close();
    xml.open("TileSets").attribute("profile", layer.profile);
    let address = url.request_url();
    for (order, resolution) in layer.tile_sets() {
        xml.open("TileSet")
            .attribute("href", &format!("{address}/{order}"))
            .attribute("units-per-pixel", &number(resolution))
            .attribute("order", &order.to_string())
            .close();
    }
    xml.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_tiles_are_taken_apart() {
        for (path, expected) in [
            ("a/b/3/4/5.png", Some(("a", Some("b"), (4, 5, 3), "png"))),
            ("a/3/4/5.png", Some(("a", None, (4, 5, 3), "png"))),
            ("a/b/03/-4/005.png", Some(("a", Some("b"), (-4, 5, 3), "png"))),
            ("1/2/3/4.png", Some(("1", None, (3, 4, 2), "png"))),
            // What follows is not looked at.
            ("a/b/3/4/5.png/x", Some(("a", Some("b"), (4, 5, 3), "png"))),
            ("a/3/4/5.png/", Some(("a", None, (4, 5, 3), "png"))),
            ("a/b/3/4/5.png&token=1", Some(("a", Some("b"), (4, 5, 3), "png"))),
            ("a/b/3/4/5.", None),
            ("a/b/3/4/5", None),
            ("a//3/4/5.png", None),
            ("/3/4/5.png", None),
            ("a/b/3/4/+5.png", None),
            ("a/b/x/4/5.png", None),
            ("", None),
        ] {
            let expected = expected.map(|(layer, spec, (x, y, z), format)| TilePath {
                layer,
                spec,
                tile: PublicTile { x, y, z },
                format,
            });
            assert_eq!(TilePath::parse(path), expected, "{path}");
        }
    }
}
