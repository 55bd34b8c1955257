//! What the operator says about services and layers: plain data for
//! capabilities documents. Nothing here is looked at when a map is drawn.

/// `md` of a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceMetadata {
    pub title: String,
    pub abstract_text: Option<String>,
    pub online_resource: Option<String>,
    pub contact: Option<Contact>,
    pub fees: Option<String>,
    pub access_constraints: Option<String>,
    pub keyword_lists: Vec<KeywordList>,
}

/// `md.contact`; absent parts are written as empty elements.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contact {
    pub person: String,
    pub position: String,
    pub organization: String,
    /// `postal` when absent.
    pub address_type: Option<String>,
    pub address: String,
    pub city: String,
    pub postcode: String,
    pub state: String,
    pub country: String,
    pub phone: String,
    pub fax: String,
    pub email: String,
}

/// One entry of `keyword_list`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeywordList {
    pub vocabulary: Option<String>,
    pub keywords: Vec<String>,
}

/// `md` of a layer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerMetadata {
    pub abstract_text: Option<String>,
    pub keyword_lists: Vec<KeywordList>,
    pub attribution: Option<Attribution>,
    pub identifiers: Vec<Identifier>,
    /// `metadata`
    pub metadata_urls: Vec<MetadataUrl>,
    /// `data`
    pub data_urls: Vec<MetadataUrl>,
    /// `feature_list`
    pub feature_list_urls: Vec<MetadataUrl>,
}

/// `md.attribution` of a layer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attribution {
    pub title: Option<String>,
    pub url: Option<String>,
    pub logo: Option<Logo>,
}

/// `md.attribution.logo`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logo {
    pub url: Option<String>,
    /// Pixels, as written.
    pub width: Option<String>,
    pub height: Option<String>,
    pub format: Option<String>,
}

/// One entry of `md.identifier`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identifier {
    pub url: Option<String>,
    pub name: String,
    pub value: String,
}

/// One entry of `md.metadata`, `md.data`, `md.feature_list`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetadataUrl {
    pub url: String,
    pub kind: Option<String>,
    pub format: Option<String>,
}

/// `inspire_md` of the WMS.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspire {
    /// `type: linked`; otherwise embedded.
    pub linked: bool,
    pub metadata_url: Option<InspireLocator>,
    /// `languages.default`
    pub default_language: String,
    pub resource_locators: Vec<InspireLocator>,
    pub temporal_reference: InspireDates,
    pub conformities: Vec<InspireSpecification>,
    pub contacts: Vec<InspireContact>,
    pub metadata_date: String,
    pub mandatory_keywords: Vec<String>,
    pub keywords: Vec<InspireKeyword>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct InspireLocator {
    pub url: String,
    pub media_type: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct InspireDates {
    pub publication: Option<String>,
    pub creation: Option<String>,
    pub last_revision: Option<String>,
}

/// A specification with title, dates and addresses, and how far it is met.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InspireSpecification {
    pub title: String,
    pub dates: InspireDates,
    pub uris: Vec<String>,
    pub resource_locators: Vec<InspireLocator>,
    pub degree: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct InspireContact {
    pub organisation_name: String,
    pub email: String,
}

/// A keyword out of a vocabulary.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InspireKeyword {
    pub title: String,
    pub dates: InspireDates,
    pub uris: Vec<String>,
    pub resource_locators: Vec<InspireLocator>,
    pub value: String,
}

/// One dimension of a layer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dimension {
    /// As written in the configuration; requests name it in lower case.
    pub name: String,
    /// All values, intervals spelled out.
    pub values: Vec<String>,
    pub default: String,
}

impl Dimension {
    /// The name in lower case, as capabilities show it and requests find it.
    pub fn key(&self) -> String {
        self.name.to_lowercase()
    }
}
