//! Tables of section `services`.

use super::super::schema::Kind::{
    Any, Bool, Choice, Date, Int, List, Map, Named, Number, OneOf, Text, Typed,
};
use super::super::schema::{Kind, Status, Table, Variant, idle, key, need};
use super::{KEYWORDS, NUMBERS, TEXTS};

pub(super) static SERVICES: Table = Table {
    path: "services",
    keys: &[
        key("demo", Map(&[])),
        key("kml", Map(&[&KML])),
        key("tms", Map(&[&TMS])),
        key("wmts", Map(&[&WMTS])),
        key("wms", Map(&[&WMS_SERVICE])),
        key("ogcapi", Map(&[&OGCAPI])),
    ],
};

static KML: Table = Table {
    path: "services.kml",
    keys: &[
        key("use_grid_names", Bool),
        idle("md", Map(&[&SERVICE_MD]), "documents of KML bear nothing but the name of the layer"),
    ],
};

static TMS: Table = Table {
    path: "services.tms",
    keys: &[
        key("use_grid_names", Bool),
        key("origin", Choice(&["ll", "sw", "ul", "nw"])),
        key("md", Map(&[&SERVICE_MD])),
    ],
};

static WMTS: Table = Table {
    path: "services.wmts",
    keys: &[
        key("kvp", Bool),
        key("restful", Bool),
        key("restful_template", Text),
        key("restful_featureinfo_template", Text),
        key("md", Map(&[&SERVICE_MD])),
        key("featureinfo_formats", List(&Map(&[&INFO_FORMAT]))),
    ],
};

static INFO_FORMAT: Table =
    Table { path: "services.wmts.featureinfo_formats", keys: &[need("mimetype", Text), key("suffix", Text)] };

const PIXELS: Kind = OneOf(&[Number, NUMBERS]);
const ON_SOURCE_ERRORS: Kind = Choice(&["notify", "raise"]);

static WMS_SERVICE: Table = Table {
    path: "services.wms",
    keys: &[
        key("srs", TEXTS),
        key("bbox_srs", List(&OneOf(&[Text, Map(&[&BBOX_SRS])]))),
        key("image_formats", TEXTS),
        key("attribution", Map(&[&ATTRIBUTION])),
        key("featureinfo_types", TEXTS),
        key("featureinfo_xslt", Named(&Text)),
        key("on_source_errors", ON_SOURCE_ERRORS),
        key("max_output_pixels", PIXELS),
        key("strict", Bool),
        key("md", Map(&[&SERVICE_MD])),
        key("inspire_md", Typed(INSPIRE)),
        key("versions", TEXTS),
        key("concurrent_layer_renderer", Int),
    ],
};

static BBOX_SRS: Table =
    Table { path: "services.wms.bbox_srs", keys: &[key("bbox", NUMBERS), key("srs", Text)] };

static ATTRIBUTION: Table = Table { path: "attribution", keys: &[key("text", Text)] };

/// `md` of WMS, WMTS, TMS and KML.
static SERVICE_MD: Table = Table {
    path: "services.md",
    keys: &[
        key("title", Text),
        key("abstract", Text),
        key("online_resource", Text),
        key("contact", super::super::schema::Kind::Open(&[&CONTACT])),
        key("fees", Text),
        key("access_constraints", Text),
        key("keyword_list", KEYWORDS),
    ],
};

static CONTACT: Table = Table {
    path: "services.md.contact",
    keys: &[
        key("person", Any),
        key("position", Any),
        key("organization", Any),
        key("address_type", Any),
        key("address", Any),
        key("city", Any),
        key("postcode", Any),
        key("state", Any),
        key("country", Any),
        key("phone", Any),
        key("fax", Any),
        key("email", Any),
    ],
};

static OGCAPI: Table = Table {
    path: "services.ogcapi",
    keys: &[
        key("enable_tiles", Bool),
        key("enable_maps", Bool),
        key("map_srs", TEXTS),
        key("attribution", Map(&[&ATTRIBUTION])),
        key("on_source_errors", ON_SOURCE_ERRORS),
        key("max_output_pixels", PIXELS),
        key("image_formats", TEXTS),
        key("concurrent_layer_renderer", Number),
        key("md", Map(&[&OGCAPI_MD])),
        key("default_dataset_layers", TEXTS),
    ],
};

static OGCAPI_MD: Table = Table {
    path: "services.ogcapi.md",
    keys: &[
        key("identification", Map(&[&OGCAPI_IDENTIFICATION])),
        key("contact", Map(&[&OGCAPI_CONTACT])),
        key("license", Map(&[&OGCAPI_LICENSE])),
        key("provider", Map(&[&OGCAPI_PROVIDER])),
    ],
};

static OGCAPI_IDENTIFICATION: Table = Table {
    path: "services.ogcapi.md.identification",
    keys: &[
        key("title", Text),
        key("description", Text),
        key("url", Text),
        key("terms_of_service", Text),
        key("keywords", Any),
    ],
};

static OGCAPI_CONTACT: Table = Table {
    path: "services.ogcapi.md.contact",
    keys: &[
        key("name", Text),
        key("email", Text),
        key("address", Text),
        key("city", Text),
        key("stateorprovince", Text),
        key("postalcode", Text),
        key("country", Text),
        key("phone", Text),
        key("fax", Text),
        key("url", Text),
        key("instructions", Text),
    ],
};

static OGCAPI_LICENSE: Table =
    Table { path: "services.ogcapi.md.license", keys: &[need("name", Text), key("url", Text)] };

static OGCAPI_PROVIDER: Table =
    Table { path: "services.ogcapi.md.provider", keys: &[key("name", Text), key("url", Text)] };

const DATE: Kind = OneOf(&[Text, Date]);

static INSPIRE: &[Variant] = &[
    Variant { name: "linked", tables: &[&INSPIRE_LINKED], status: Status::Works },
    Variant { name: "embedded", tables: &[&INSPIRE_EMBEDDED], status: Status::Works },
];

static INSPIRE_LINKED: Table = Table {
    path: "services.wms.inspire_md(linked)",
    keys: &[need("metadata_url", Map(&[&INSPIRE_URL])), need("languages", Map(&[&INSPIRE_LANGUAGES]))],
};

static INSPIRE_URL: Table =
    Table { path: "services.wms.inspire_md.url", keys: &[need("url", Text), need("media_type", Text)] };

static INSPIRE_LANGUAGES: Table =
    Table { path: "services.wms.inspire_md.languages", keys: &[need("default", Text)] };

static INSPIRE_EMBEDDED: Table = Table {
    path: "services.wms.inspire_md(embedded)",
    keys: &[
        need("resource_locators", List(&Map(&[&INSPIRE_URL]))),
        need("temporal_reference", Map(&[&INSPIRE_DATES])),
        need("conformities", List(&Map(&[&INSPIRE_DATES, &INSPIRE_CONFORMITY]))),
        need("metadata_points_of_contact", List(&Map(&[&INSPIRE_CONTACT]))),
        need("mandatory_keywords", TEXTS),
        key("keywords", List(&Map(&[&INSPIRE_DATES, &INSPIRE_KEYWORD]))),
        need("metadata_date", DATE),
        key("metadata_url", Map(&[&INSPIRE_URL])),
        need("languages", Map(&[&INSPIRE_LANGUAGES])),
    ],
};

static INSPIRE_DATES: Table = Table {
    path: "services.wms.inspire_md.dates",
    keys: &[
        key("date_of_publication", DATE),
        key("date_of_creation", DATE),
        key("date_of_last_revision", DATE),
    ],
};

static INSPIRE_CONFORMITY: Table = Table {
    path: "services.wms.inspire_md.conformities",
    keys: &[
        key("title", Text),
        key("uris", TEXTS),
        need("resource_locators", List(&Map(&[&INSPIRE_URL]))),
        need("degree", Text),
    ],
};

static INSPIRE_CONTACT: Table = Table {
    path: "services.wms.inspire_md.metadata_points_of_contact",
    keys: &[key("organisation_name", Text), key("email", Text)],
};

static INSPIRE_KEYWORD: Table = Table {
    path: "services.wms.inspire_md.keywords",
    keys: &[
        need("title", Text),
        key("uris", TEXTS),
        key("resource_locators", List(&Map(&[&INSPIRE_URL]))),
        need("keyword_value", Text),
    ],
};
