//! The rules of `decorate:` that are about one map.

use std::sync::Arc;
use std::time::Duration;

use crate::conf::daemon::decorate::{Decoration, What};
use crate::plan::PictureHook;
use crate::service::decorations::{Addition, Decorations, Rule};
use crate::service::pattern::names;

/// `map`: its name where there are several, else empty.
pub(super) fn build(decorate: &[Decoration], map: &str) -> Option<Arc<Decorations>> {
    let rules = decorate.iter().filter(|decoration| names(&decoration.maps, map));
    let rules = rules.map(|decoration| Rule {
        services: decoration.services.clone(),
        layers: decoration.layers.clone(),
        addition: match &decoration.what {
            What::Text { caption, style } => {
                Addition::Text { caption: caption.clone(), style: style.clone() }
            }
            What::Image(overlay) => Addition::Image(Arc::clone(overlay)),
            What::Http(http) => Addition::Hook {
                hook: Arc::new(PictureHook::new(&http.url, Duration::from_millis(http.timeout_ms))),
                fields: http.fields.clone(),
                may_fail: http.may_fail,
                is_steady: http.is_steady,
            },
        },
    });
    Decorations::new(map, rules.collect())
}
