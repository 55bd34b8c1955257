//! Section `services` (mapproxy-features.md §7).

use super::super::conf::{
    BboxSrs, Contact, DemoService, KmlService, LayerConf, OgcApiService, OnSourceErrors, ServiceMd, Services,
    TmsService, WMTS_TEMPLATE, WmsService, WmtsService,
};
use super::super::nearest::hint;
use super::super::node::{Node, Place, Value};
use super::{Resolver, flag, text, texts};
use crate::source::wms::WmsVersion;

const WMS_FORMATS: [&str; 5] = ["image/png", "image/jpeg", "image/gif", "image/GeoTIFF", "image/tiff"];
const WMS_SRS: [&str; 5] = ["EPSG:4326", "EPSG:4258", "CRS:84", "EPSG:900913", "EPSG:3857"];
const OGCAPI_FORMATS: [&str; 2] = ["image/png", "image/jpeg"];
const OUTPUT_PIXELS_MAX: u64 = 4000 * 4000;
/// Largest `max_output_pixels` that may be configured: 32,768 pixels squared.
const OUTPUT_PIXELS_CEILING: f64 = 1_073_741_824.0;
const RENDERERS_MAX: u32 = 64;
const TITLE: &str = "MapProxy WMS";
const PLACEHOLDERS: [&str; 6] = ["Layer", "TileMatrixSet", "TileMatrix", "TileCol", "TileRow", "Format"];

impl Resolver<'_> {
    pub(super) fn resolve_services(&mut self, layers: Option<&LayerConf>) -> Services {
        let root = self.root;
        let Some(node) = root.get("services") else { return Services::default() };
        let null = Node::null(Place::default());
        // A service without a body has its defaults; one that is not named is off.
        let body = |name: &str| {
            node.entry(name).map(|entry| if entry.value.is_null() { &null } else { &entry.value })
        };
        let wms_md = match body("wms") {
            Some(wms) => wms
                .get("md")
                .map(service_md)
                .unwrap_or_else(|| ServiceMd { title: Some(TITLE.to_owned()), ..ServiceMd::default() }),
            None => ServiceMd::default(),
        };
        let wms = body("wms").map(|wms| self.wms_service(wms, &wms_md));
        for name in ["wms", "ogcapi"] {
            if let Some(entry) = node.entry(name)
                && layers.is_none_or(|root| !shows_something(root))
            {
                self.findings.error(
                    entry.place,
                    format!("services.{name}"),
                    "needs a `layers` section with a layer that has sources",
                );
            }
        }
        let restful_defaults = wms.as_ref().map(|wms| wms.srs.clone());
        Services {
            wmts: body("wmts").map(|wmts| self.wmts_service(wmts, &wms_md)),
            tms: body("tms").map(|tms| TmsService {
                md: overlaid(&wms_md, tms),
                use_grid_names: flag(tms, "use_grid_names").unwrap_or(false),
                origin: tms.get("origin").and_then(Node::text).and_then(super::grids::origin_of),
            }),
            kml: body("kml").map(|kml| KmlService {
                md: overlaid(&wms_md, kml),
                use_grid_names: flag(kml, "use_grid_names").unwrap_or(false),
            }),
            demo: body("demo").map(|demo| DemoService {
                md: overlaid(&wms_md, demo),
                image_formats: self.service_formats(&null, "services.demo", &WMS_FORMATS),
                srs: restful_defaults.unwrap_or_else(|| WMS_SRS.map(str::to_owned).to_vec()),
            }),
            ogcapi: body("ogcapi").map(|ogcapi| self.ogcapi_service(ogcapi, layers)),
            wms,
        }
    }

    fn wms_service(&mut self, node: &Node, md: &ServiceMd) -> WmsService {
        const PATH: &str = "services.wms";
        let srs = texts(node, "srs").unwrap_or_else(|| WMS_SRS.map(str::to_owned).to_vec());
        self.srs_list(node, "srs", PATH);
        WmsService {
            md: md.clone(),
            srs,
            bbox_srs: self.bbox_srs(node),
            image_formats: self.service_formats(node, PATH, &WMS_FORMATS),
            versions: self.versions(node),
            attribution: node.get("attribution").and_then(|attribution| text(attribution, "text")),
            on_source_errors: on_source_errors(node),
            output_pixels_max: self.output_pixels(node, PATH),
            strict: flag(node, "strict").unwrap_or(false),
            concurrent_layer_renderer: self
                .count(node, "concurrent_layer_renderer", PATH, 1, RENDERERS_MAX)
                .unwrap_or(1),
            inspire: node.get("inspire_md").map(super::inspire::inspire),
            featureinfo_types: texts(node, "featureinfo_types"),
            featureinfo_xslt: super::section(node, "featureinfo_xslt")
                .iter()
                .filter_map(|entry| {
                    let path = format!("{PATH}.featureinfo_xslt.{}", entry.key);
                    Some((entry.key.to_string(), self.stylesheet(&entry.value, &path)?))
                })
                .collect(),
        }
    }

    fn bbox_srs(&mut self, node: &Node) -> Vec<BboxSrs> {
        let mut found: Vec<BboxSrs> = Vec::new();
        let items = node.get("bbox_srs").map_or(&[][..], Node::items);
        for (at, item) in items.iter().enumerate() {
            let path = format!("services.wms.bbox_srs[{at}]");
            let entry = match &item.value {
                Value::Text(code) => BboxSrs { srs: code.to_string(), limit: None },
                Value::Map(_) => {
                    let (Some(code), Some(_)) = (text(item, "srs"), item.get("bbox")) else {
                        self.error(item, path, "needs both `srs` and `bbox`");
                        continue;
                    };
                    BboxSrs { srs: code, limit: self.limited_extent(item, &path) }
                }
                _ => continue,
            };
            self.srs(item, &entry.srs, path);
            found.retain(|known| known.srs != entry.srs);
            found.push(entry);
        }
        found
    }

    /// Lowest first; all that are served where none is named.
    fn versions(&mut self, node: &Node) -> Vec<WmsVersion> {
        let all = vec![WmsVersion::V100, WmsVersion::V110, WmsVersion::V111, WmsVersion::V130];
        let Some(list) = node.get("versions") else { return all };
        let mut found = Vec::new();
        for (at, item) in list.items().iter().enumerate() {
            let Some(written) = item.text() else { continue };
            match super::sources::wms_version(written) {
                Some(version) => found.push(version),
                None => {
                    let text =
                        format!("unknown WMS version \"{written}\"; it can be 1.0.0, 1.1.0, 1.1.1, 1.3.0");
                    self.error(item, format!("services.wms.versions[{at}]"), text);
                }
            }
        }
        found.sort_by_key(|version| *version as u8);
        found.dedup();
        if found.is_empty() { all } else { found }
    }

    /// One number of pixels, or width and height.
    fn output_pixels(&mut self, node: &Node, path: &str) -> u64 {
        let Some(value) = node.get("max_output_pixels") else { return OUTPUT_PIXELS_MAX };
        let pixels = match &value.value {
            Value::List(items) => match items.iter().filter_map(Node::number).collect::<Vec<_>>()[..] {
                [width, height] => width * height,
                _ => 0.0,
            },
            _ => value.number().unwrap_or(0.0),
        };
        if (1.0..=OUTPUT_PIXELS_CEILING).contains(&pixels) {
            return pixels as u64;
        }
        let text =
            format!("must be a number of pixels or [width, height], at most {OUTPUT_PIXELS_CEILING} pixels");
        self.error(value, format!("{path}.max_output_pixels"), text);
        OUTPUT_PIXELS_MAX
    }

    fn wmts_service(&mut self, node: &Node, wms_md: &ServiceMd) -> WmtsService {
        let (kvp, restful) = match (flag(node, "kvp"), flag(node, "restful")) {
            (None, None) => (true, true),
            (kvp, restful) => (kvp.unwrap_or(false), restful.unwrap_or(false)),
        };
        let mut template = WMTS_TEMPLATE.to_owned();
        if let Some(value) = node.get("restful_template")
            && let Some(written) = value.text()
        {
            template = self.wmts_template(value, written, "restful_template");
            let missing: Vec<&str> = PLACEHOLDERS[..5]
                .iter()
                .filter(|name| !template.contains(&format!("{{{name}}}")))
                .copied()
                .collect();
            if !missing.is_empty() {
                let text = format!("lacks {{{}}}", missing.join("}, {"));
                self.error(value, "services.wmts.restful_template", text);
            }
        }
        let info = node.get("restful_featureinfo_template");
        let info_template = info.and_then(|value| {
            let written = value.text()?.to_owned();
            Some(self.wmts_template(value, &written, "restful_featureinfo_template"))
        });
        let formats = node.get("featureinfo_formats").map_or(&[][..], Node::items);
        WmtsService {
            md: overlaid(wms_md, node),
            kvp,
            restful,
            restful_template: template,
            restful_featureinfo_template: info_template,
            featureinfo_formats: formats
                .iter()
                .filter_map(|item| Some((text(item, "suffix")?, text(item, "mimetype")?)))
                .collect(),
        }
    }

    /// Single braces, a leading slash.
    fn wmts_template(&mut self, value: &Node, written: &str, key: &str) -> String {
        let mut template = written.to_owned();
        if template.contains("{{") {
            self.warn(value, format!("services.wmts.{key}"), "double braces are deprecated; write {Layer}");
            template = template.replace("{{", "{").replace("}}", "}");
        }
        if !template.starts_with('/') {
            template.insert(0, '/');
        }
        for name in template.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name)
        {
            // Any other name is a dimension; one that is nearly a placeholder is a slip.
            let near = super::super::nearest::nearest(name, PLACEHOLDERS);
            if let Some(near) = near.filter(|near| *near != name && near.eq_ignore_ascii_case(name)) {
                let text = format!("{{{name}}} is taken for a dimension; did you mean {{{near}}}?");
                self.warn(value, format!("services.wmts.{key}"), text);
            }
        }
        template
    }

    fn ogcapi_service(&mut self, node: &Node, layers: Option<&LayerConf>) -> OgcApiService {
        const PATH: &str = "services.ogcapi";
        let list = texts(node, "default_dataset_layers");
        if let (Some(names), Some(root)) = (&list, layers) {
            let mut known = Vec::new();
            collect_names(root, &mut known);
            for name in names.iter().filter(|name| !known.contains(&name.as_str())) {
                let near = hint(name, known.iter().copied());
                let place = node.get("default_dataset_layers").unwrap_or(node);
                self.error(
                    place,
                    format!("{PATH}.default_dataset_layers"),
                    format!("there is no layer `{name}`{near}"),
                );
            }
        }
        self.srs_list(node, "map_srs", PATH);
        let mut md = Vec::new();
        if let Some(node) = node.get("md") {
            flatten(node, "", &mut md);
        }
        OgcApiService {
            enable_tiles: flag(node, "enable_tiles").unwrap_or(true),
            enable_maps: flag(node, "enable_maps").unwrap_or(true),
            map_srs: texts(node, "map_srs")
                .unwrap_or_else(|| vec!["EPSG:4326".to_owned(), "EPSG:3857".to_owned()]),
            image_formats: self.service_formats(node, PATH, &OGCAPI_FORMATS),
            attribution: node.get("attribution").and_then(|attribution| text(attribution, "text")),
            on_source_errors: on_source_errors(node),
            output_pixels_max: self.output_pixels(node, PATH),
            concurrent_layer_renderer: self
                .count(node, "concurrent_layer_renderer", PATH, 1, RENDERERS_MAX)
                .unwrap_or(1),
            default_dataset_layers: list,
            md,
        }
    }
}

fn on_source_errors(node: &Node) -> OnSourceErrors {
    match node.get("on_source_errors").and_then(Node::text) {
        Some("raise") => OnSourceErrors::Raise,
        _ => OnSourceErrors::Notify,
    }
}

/// Whether WMS finds a layer to show.
fn shows_something(layer: &LayerConf) -> bool {
    layer.has_map || layer.layers.iter().any(shows_something)
}

fn collect_names<'l>(layer: &'l LayerConf, names: &mut Vec<&'l str>) {
    names.extend(layer.name.as_deref());
    layer.layers.iter().for_each(|layer| collect_names(layer, names));
}

fn flatten(node: &Node, path: &str, out: &mut Vec<(String, String)>) {
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                let path =
                    if path.is_empty() { entry.key.to_string() } else { format!("{path}.{}", entry.key) };
                flatten(&entry.value, &path, out);
            }
        }
        Value::List(items) => items.iter().for_each(|item| flatten(item, path, out)),
        Value::Null => {}
        _ => out.push((path.to_owned(), node.printed().unwrap_or_default())),
    }
}

fn service_md(md: &Node) -> ServiceMd {
    // Postcodes and telephone numbers may be numbers to YAML.
    let said = |node: &Node, key: &str| node.get(key).and_then(Node::printed);
    ServiceMd {
        title: text(md, "title"),
        abstract_text: text(md, "abstract"),
        online_resource: text(md, "online_resource"),
        contact: md.get("contact").map(|contact| Contact {
            person: said(contact, "person"),
            position: said(contact, "position"),
            organization: said(contact, "organization"),
            address_type: said(contact, "address_type"),
            address: said(contact, "address"),
            city: said(contact, "city"),
            postcode: said(contact, "postcode"),
            state: said(contact, "state"),
            country: said(contact, "country"),
            phone: said(contact, "phone"),
            fax: said(contact, "fax"),
            email: said(contact, "email"),
        }),
        fees: text(md, "fees"),
        access_constraints: text(md, "access_constraints"),
        keyword_list: super::layers::keyword_lists(md),
    }
}

/// A service's own `md` over that of the WMS service.
fn overlaid(base: &ServiceMd, service: &Node) -> ServiceMd {
    let Some(node) = service.get("md") else { return base.clone() };
    let own = service_md(node);
    let has_keywords = node.get("keyword_list").is_some();
    let base = base.clone();
    ServiceMd {
        title: own.title.or(base.title),
        abstract_text: own.abstract_text.or(base.abstract_text),
        online_resource: own.online_resource.or(base.online_resource),
        contact: own.contact.or(base.contact),
        fees: own.fees.or(base.fees),
        access_constraints: own.access_constraints.or(base.access_constraints),
        keyword_list: if has_keywords { own.keyword_list } else { base.keyword_list },
    }
}
