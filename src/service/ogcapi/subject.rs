//! What a request is about: which service, which collections, and so what is
//! drawn and where it lies. Every answer with pixels is made from a
//! [`Subject`], so this is the one place where a rule about who may see what
//! has everything it needs, before any work is done.

use super::OgcApi;
use super::refusal::Refusal;
use super::request::said;
use crate::service::parameters::Parameters;
use crate::service::wms::layer::{LayerExtent, LayerNode};

/// One collection, or all of the data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'p> {
    Dataset,
    Collection(&'p str),
}

/// The collections of a request.
pub struct Subject {
    /// `ogcapi.map` or `ogcapi.tile`.
    pub service: &'static str,
    /// Collections as asked for, bottom to top: places in the layer tree.
    pub collections: Vec<usize>,
    /// The area of all of them.
    pub extent: LayerExtent,
    /// The scale at which they are meant to be looked at.
    pub nominal_scale: Option<f64>,
    /// The request names them, not only the configuration.
    pub is_named: bool,
    /// For messages.
    pub name: String,
}

impl OgcApi {
    /// The subject of a request for pixels.
    ///
    /// # Errors
    /// An unknown collection; no data set configured.
    pub(super) fn subject(
        &self,
        service: &'static str,
        scope: Scope<'_>,
        parameters: &Parameters,
    ) -> Result<Subject, Refusal> {
        let named = said(parameters, "collections");
        let is_named = named.is_some() || scope != Scope::Dataset;
        let (collections, name) = match (scope, named) {
            (Scope::Collection(name), _) => (vec![self.collection(name)?], name.to_owned()),
            (Scope::Dataset, Some(names)) => {
                let find = |name: &str| {
                    let unknown = || Refusal::invalid(format!("unknown collection {name}"));
                    self.collection(name).map_err(|_| unknown())
                };
                let mut found: Vec<usize> = Vec::new();
                for at in names.split(',').map(find) {
                    // Named twice it is drawn once, and costs no more than once.
                    let at = at?;
                    if !found.contains(&at) {
                        found.push(at);
                    }
                }
                (found, names.to_owned())
            }
            (Scope::Dataset, None) => (self.dataset()?.to_vec(), "of the data set".to_owned()),
        };
        Ok(Subject { is_named, ..self.subject_of(service, collections, name) })
    }

    fn subject_of(&self, service: &'static str, collections: Vec<usize>, name: String) -> Subject {
        let extents = collections.iter().map(|&at| self.layers.node(at).extent.clone()).collect();
        let scales = collections.iter().filter_map(|&at| self.nominal_scale(self.layers.node(at)));
        Subject {
            service,
            extent: LayerExtent::merge_all(extents, &self.geographic),
            nominal_scale: scales.reduce(f64::max),
            collections,
            is_named: false,
            name,
        }
    }

    /// The area of the whole data set.
    pub(super) fn dataset_extent(&self) -> Result<LayerExtent, Refusal> {
        Ok(self.subject_of("ogcapi.tile", self.dataset()?.to_vec(), String::new()).extent)
    }

    /// # Errors
    /// There is no collection of that name.
    pub(super) fn collection(&self, name: &str) -> Result<usize, Refusal> {
        let found = self.layers.find(name).ok_or_else(|| Refusal::not_found("Collection not found"))?;
        crate::story::name_layer(name);
        Ok(found)
    }

    /// The collections of `default_dataset_layers`.
    ///
    /// # Errors
    /// None are configured.
    pub(super) fn dataset(&self) -> Result<&[usize], Refusal> {
        self.dataset.as_deref().ok_or_else(|| {
            Refusal::internal(
                "There is no map of the whole data set: default_dataset_layers is not configured",
            )
        })
    }

    fn nominal_scale(&self, node: &LayerNode) -> Option<f64> {
        self.nominal_scales.get(node.name.as_deref()?).copied()
    }
}
