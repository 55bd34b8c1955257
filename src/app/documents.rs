//! What the operator says about services and layers, from the configuration's
//! shape into that of the documents.

use crate::conf::conf as from;
use crate::service::metadata as to;
use crate::service::xml::unescape;

pub(crate) fn service(md: &from::ServiceMd) -> to::ServiceMetadata {
    to::ServiceMetadata {
        title: plain(&md.title).unwrap_or_default(),
        abstract_text: plain(&md.abstract_text),
        online_resource: plain(&md.online_resource),
        contact: md.contact.as_ref().map(contact),
        fees: plain(&md.fees),
        access_constraints: plain(&md.access_constraints),
        keyword_lists: md.keyword_list.iter().map(keywords).collect(),
    }
}

/// MapProxy copies most texts into its XML as they stand, so whoever writes
/// for it has written `&amp;`: references mean their characters here too.
pub(crate) fn plain(text: &Option<String>) -> Option<String> {
    text.as_deref().map(unescape)
}

fn contact(contact: &from::Contact) -> to::Contact {
    let text = |value: &Option<String>| plain(value).unwrap_or_default();
    to::Contact {
        person: text(&contact.person),
        position: text(&contact.position),
        organization: text(&contact.organization),
        address_type: plain(&contact.address_type),
        address: text(&contact.address),
        city: text(&contact.city),
        postcode: text(&contact.postcode),
        state: text(&contact.state),
        country: text(&contact.country),
        phone: text(&contact.phone),
        fax: text(&contact.fax),
        email: text(&contact.email),
    }
}

fn keywords(list: &from::KeywordList) -> to::KeywordList {
    to::KeywordList {
        vocabulary: plain(&list.vocabulary),
        keywords: list.keywords.iter().map(|keyword| unescape(keyword)).collect(),
    }
}

/// Addresses of layers stay as they are: these MapProxy does escape.
pub(crate) fn layer(md: &from::LayerMd) -> to::LayerMetadata {
    to::LayerMetadata {
        abstract_text: plain(&md.abstract_text),
        keyword_lists: md.keyword_list.iter().map(keywords).collect(),
        attribution: md.attribution.as_ref().map(|a| to::Attribution {
            title: plain(&a.title),
            url: a.url.clone(),
            logo: a.logo.as_ref().map(|logo| to::Logo {
                url: logo.url.clone(),
                width: logo.width.map(|w| w.to_string()),
                height: logo.height.map(|h| h.to_string()),
                format: logo.format.clone(),
            }),
        }),
        identifiers: md
            .identifier
            .iter()
            .map(|i| to::Identifier {
                url: i.url.clone(),
                name: plain(&i.name).unwrap_or_default(),
                value: plain(&i.value).unwrap_or_default(),
            })
            .collect(),
        metadata_urls: urls(&md.metadata),
        data_urls: urls(&md.data),
        feature_list_urls: urls(&md.feature_list),
    }
}

fn urls(list: &[from::MetadataUrl]) -> Vec<to::MetadataUrl> {
    list.iter()
        .map(|m| to::MetadataUrl {
            url: m.url.clone().unwrap_or_default(),
            kind: m.kind.clone(),
            format: m.format.clone(),
        })
        .collect()
}

pub(crate) fn dimensions(list: &[from::DimensionConf]) -> Vec<to::Dimension> {
    list.iter()
        .map(|d| to::Dimension { name: d.name.clone(), values: d.values.clone(), default: d.default.clone() })
        .collect()
}

pub(crate) fn inspire(md: &from::InspireConf) -> to::Inspire {
    to::Inspire {
        linked: md.is_linked,
        metadata_url: md.metadata_url.as_ref().map(locator),
        default_language: md.default_language.clone(),
        resource_locators: md.resource_locators.iter().map(locator).collect(),
        temporal_reference: dates(&md.temporal_reference),
        conformities: md
            .conformities
            .iter()
            .map(|(specification, degree)| to::InspireSpecification {
                title: unescape(&specification.title),
                dates: dates(&specification.dates),
                uris: specification.uris.clone(),
                resource_locators: specification.resource_locators.iter().map(locator).collect(),
                degree: degree.clone(),
            })
            .collect(),
        contacts: md
            .contacts
            .iter()
            .map(|contact| to::InspireContact {
                organisation_name: unescape(&contact.organisation_name),
                email: contact.email.clone(),
            })
            .collect(),
        metadata_date: md.metadata_date.clone(),
        mandatory_keywords: md.mandatory_keywords.clone(),
        keywords: md
            .keywords
            .iter()
            .map(|keyword| to::InspireKeyword {
                title: unescape(&keyword.vocabulary.title),
                dates: dates(&keyword.vocabulary.dates),
                uris: keyword.vocabulary.uris.clone(),
                resource_locators: keyword.vocabulary.resource_locators.iter().map(locator).collect(),
                value: unescape(&keyword.value),
            })
            .collect(),
    }
}

fn locator(locator: &from::InspireLocator) -> to::InspireLocator {
    to::InspireLocator { url: locator.url.clone(), media_type: locator.media_type.clone() }
}

fn dates(dates: &from::InspireDates) -> to::InspireDates {
    to::InspireDates {
        publication: dates.publication.clone(),
        creation: dates.creation.clone(),
        last_revision: dates.last_revision.clone(),
    }
}
