//! What the operator says about services and layers, from the configuration's
//! shape into that of the documents.

use crate::conf::conf as from;
use crate::service::metadata as to;

pub(crate) fn service(md: &from::ServiceMd) -> to::ServiceMetadata {
    to::ServiceMetadata {
        title: md.title.clone().unwrap_or_default(),
        abstract_text: md.abstract_text.clone(),
        online_resource: md.online_resource.clone(),
        contact: md.contact.as_ref().map(contact),
        fees: md.fees.clone(),
        access_constraints: md.access_constraints.clone(),
        keyword_lists: md.keyword_list.iter().map(keywords).collect(),
    }
}

fn contact(contact: &from::Contact) -> to::Contact {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    to::Contact {
        person: text(&contact.person),
        position: text(&contact.position),
        organization: text(&contact.organization),
        address_type: contact.address_type.clone(),
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
    to::KeywordList { vocabulary: list.vocabulary.clone(), keywords: list.keywords.clone() }
}

pub(crate) fn layer(md: &from::LayerMd) -> to::LayerMetadata {
    to::LayerMetadata {
        abstract_text: md.abstract_text.clone(),
        keyword_lists: md.keyword_list.iter().map(keywords).collect(),
        attribution: md.attribution.as_ref().map(|a| to::Attribution {
            title: a.title.clone(),
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
                name: i.name.clone().unwrap_or_default(),
                value: i.value.clone().unwrap_or_default(),
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
                title: specification.title.clone(),
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
                organisation_name: contact.organisation_name.clone(),
                email: contact.email.clone(),
            })
            .collect(),
        metadata_date: md.metadata_date.clone(),
        mandatory_keywords: md.mandatory_keywords.clone(),
        keywords: md
            .keywords
            .iter()
            .map(|keyword| to::InspireKeyword {
                title: keyword.vocabulary.title.clone(),
                dates: dates(&keyword.vocabulary.dates),
                uris: keyword.vocabulary.uris.clone(),
                resource_locators: keyword.vocabulary.resource_locators.iter().map(locator).collect(),
                value: keyword.value.clone(),
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
