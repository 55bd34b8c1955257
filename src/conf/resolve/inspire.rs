//! `services.wms.inspire_md`: what the INSPIRE directive wants to be told of a
//! view service.

use super::super::conf::{
    InspireConf, InspireContact, InspireDates, InspireKeyword, InspireLocator, InspireSpecification,
};
use super::super::node::Node;
use super::{text, texts};

/// The section, checked by the tables already.
pub(super) fn inspire(node: &Node) -> InspireConf {
    let items = |key: &str| node.get(key).map_or(&[][..], Node::items).iter();
    let said = |node: &Node, key: &str| text(node, key).unwrap_or_default();
    InspireConf {
        is_linked: text(node, "type").as_deref() == Some("linked"),
        metadata_url: node.get("metadata_url").map(locator),
        default_language: node
            .get("languages")
            .map(|languages| said(languages, "default"))
            .unwrap_or_default(),
        resource_locators: items("resource_locators").map(locator).collect(),
        temporal_reference: node.get("temporal_reference").map(dates).unwrap_or_default(),
        conformities: items("conformities").map(|item| (specification(item), said(item, "degree"))).collect(),
        contacts: items("metadata_points_of_contact")
            .map(|item| InspireContact {
                organisation_name: said(item, "organisation_name"),
                email: said(item, "email"),
            })
            .collect(),
        metadata_date: date(node, "metadata_date").unwrap_or_default(),
        mandatory_keywords: texts(node, "mandatory_keywords").unwrap_or_default(),
        keywords: items("keywords")
            .map(|item| InspireKeyword {
                vocabulary: specification(item),
                value: said(item, "keyword_value"),
            })
            .collect(),
    }
}

fn specification(node: &Node) -> InspireSpecification {
    InspireSpecification {
        title: text(node, "title").unwrap_or_default(),
        dates: dates(node),
        uris: texts(node, "uris").unwrap_or_default(),
        resource_locators: node
            .get("resource_locators")
            .map_or(&[][..], Node::items)
            .iter()
            .map(locator)
            .collect(),
    }
}

fn locator(node: &Node) -> InspireLocator {
    InspireLocator {
        url: text(node, "url").unwrap_or_default(),
        media_type: text(node, "media_type").unwrap_or_default(),
    }
}

fn dates(node: &Node) -> InspireDates {
    InspireDates {
        publication: date(node, "date_of_publication"),
        creation: date(node, "date_of_creation"),
        last_revision: date(node, "date_of_last_revision"),
    }
}

/// YAML reads dates as dates; documents show them as they were written.
fn date(node: &Node, key: &str) -> Option<String> {
    node.get(key).filter(|value| !value.is_null()).and_then(Node::printed)
}
