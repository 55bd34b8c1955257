//! The wiring closet: configuration → live services, layers, caches, sources.
//!
//! The only room that names every kind. Builds, opens nothing: connections and
//! stores are opened at first use, after the fork.

mod decorations;
mod documents;
mod infos;
mod layers;
mod services;
mod stores;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::Gatekeeper;
use crate::conf::conf::Conf;
use crate::conf::daemon::auth::Auth;
use crate::conf::daemon::decorate::Decoration;
use crate::conf::daemon::{Fsync, Limits, Maps};
use crate::conf::{Daemon, FileSet, Finding, Loaded, Severity, load_embedded, load_map};
use crate::plan::{Gate, TileCache, TileMemory};
use crate::service::base_url::request_below;
use crate::service::guard::Guarded;
use crate::service::{Answer, Site, SiteParts};
use crate::story;
use crate::wire::{Request, Response};

/// Everything that a worker serves from.
pub struct App {
    pub site: Sites,
    pub memory: Arc<TileMemory>,
    pub gate: Arc<Gate>,
    /// What the operator should know though it does not stop the start.
    pub warnings: Vec<Finding>,
}

/// What all maps of a daemon share.
pub(crate) struct Shared<'a> {
    limits: &'a Limits,
    fsync: Fsync,
    memory: Arc<TileMemory>,
    /// The WMS answers in every system that PROJ knows, not only in those listed.
    any_srs: bool,
    /// Who may see what.
    auth: Option<&'a Auth>,
    /// What is added to pictures.
    decorate: &'a [Decoration],
    /// How soon a daemon that makes tiles should see to ours.
    renderd_priority: u32,
}

/// Somebody waits for what is served, nobody for what is exported: MapProxy's numbers.
const SERVING_PRIORITY: u32 = 100;
const SEEDING_PRIORITY: u32 = 10;

/// A map, with somebody before it or not.
pub enum Served {
    Open(Box<Site>),
    Guarded(Guarded),
}

impl Served {
    fn build(parts: SiteParts, auth: Option<&Auth>, map: &str) -> Result<Served, Vec<String>> {
        let Some(auth) = auth else { return Ok(Served::Open(Box::new(Site::build(parts)?))) };
        let gatekeeper = Gatekeeper::new(auth, map, layer_names(&parts))?;
        Ok(Served::Guarded(Guarded::build(parts, Arc::new(gatekeeper))?))
    }

    fn answer(&self, request: &Request) -> Answer {
        match self {
            Served::Open(site) => site.answer(request),
            Served::Guarded(site) => site.answer(request),
        }
    }
}

/// Names of all layers of a map, in whatever service.
fn layer_names(parts: &SiteParts) -> Vec<String> {
    fn add(layer: &crate::service::wms::WmsLayer, names: &mut Vec<String>) {
        names.extend(layer.name.clone());
        layer.children.iter().for_each(|child| add(child, names));
    }
    let mut names = Vec::new();
    parts.wms.iter().for_each(|wms| add(&wms.root, &mut names));
    parts.ogcapi.iter().for_each(|ogcapi| add(&ogcapi.root, &mut names));
    let tiles = parts.wmts.iter().flat_map(|wmts| &wmts.layers);
    let tiles = tiles.chain(parts.tms.iter().flat_map(|tms| &tms.layers));
    let tiles = tiles.chain(parts.kml.iter().flat_map(|kml| &kml.layers));
    names.extend(tiles.map(|layer| layer.name.clone()));
    names.sort_unstable();
    names.dedup();
    names
}

/// The maps of a daemon: one at the root, or several below their names.
pub enum Sites {
    One(Box<Served>),
    Several {
        /// In alphabetical order.
        sites: Vec<(String, Served)>,
        /// Whether `/` names them.
        listed: bool,
    },
}

impl Sites {
    /// Names that stand before the paths of services; none for one map.
    pub fn names(&self) -> Vec<String> {
        match self {
            Sites::One(_) => Vec::new(),
            Sites::Several { sites, .. } => sites.iter().map(|(name, _)| name.clone()).collect(),
        }
    }

    /// Decides how the request is answered; opens nothing.
    pub fn answer(&self, request: &Request) -> Answer {
        let (sites, listed) = match self {
            Sites::One(site) => return site.answer(request),
            Sites::Several { sites, listed } => (sites, *listed),
        };
        let (name, below) = request_below(request);
        if let Ok(at) = sites.binary_search_by(|(known, _)| known.as_str().cmp(&name)) {
            story::name_map(&name);
            return sites[at].1.answer(&below);
        }
        if !name.is_empty() {
            return Answer::Ready(Response::new(404, "text/plain; charset=utf-8", "not found\n"));
        }
        let names = if listed { sites.as_slice() } else { &[] };
        Answer::Ready(welcome(names, below.script_name.trim_end_matches('/')))
    }
}

/// The page at the root of several maps. It names MapProxy, which probes of
/// balancers look for there.
fn welcome(sites: &[(String, Served)], script_name: &str) -> Response {
    let mut page = String::from(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>rhumb</title></head>\n\
         <body><h1>Welcome to rhumb</h1>\n<p>It answers as MapProxy does.</p>\n",
    );
    if !sites.is_empty() {
        page.push_str("<ul>\n");
        for (name, _) in sites {
            let (base, name) = (escape(script_name), escape(name));
            page.push_str(&format!("<li><a href=\"{base}/{name}/\">{name}</a></li>\n"));
        }
        page.push_str("</ul>\n");
    }
    page.push_str("</body></html>\n");
    Response::new(200, "text/html; charset=utf-8", page)
}

fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Builds the application of `daemon` from its files: read from disk and
/// remembered in `files` by the probe, answered from the sealed set in a
/// worker.
///
/// # Errors
/// All findings, errors and warnings together, when there is any error.
pub fn build(daemon: &Daemon, files: &mut FileSet) -> Result<App, Vec<Finding>> {
    let memory = tile_memory(&daemon.limits);
    // A newcomer may ask the embedded map for whatever system he needs.
    let any_srs = matches!(daemon.maps, Maps::Embedded);
    let shared = Shared {
        limits: &daemon.limits,
        fsync: daemon.fsync,
        memory: Arc::clone(&memory),
        any_srs,
        auth: daemon.auth.as_ref(),
        decorate: &daemon.decorate,
        renderd_priority: SERVING_PRIORITY,
    };
    let mut findings = Vec::new();
    // Wrong for one map, wrong for all: it must not leave maps out one by one.
    if let Some(Err(errors)) = daemon.auth.as_ref().map(|auth| Gatekeeper::new(auth, "", Vec::new())) {
        let file = daemon.file.clone().unwrap_or_default();
        findings.extend(errors.into_iter().map(|error| finding(&file, Severity::Error, error)));
        return Err(findings);
    }
    let site = match &daemon.maps {
        Maps::Embedded => one(load_embedded(), &shared, &mut findings),
        Maps::File(path) => one(load_map(path, files), &shared, &mut findings),
        Maps::Directory(path) => several(path, daemon.allow_listing, files, &shared, &mut findings),
    };
    match site {
        Some(site) if !findings.iter().any(|f| f.severity == Severity::Error) => {
            Ok(App { site, memory, gate: Gate::new(daemon.limits.render_threads.max(1)), warnings: findings })
        }
        _ => Err(findings),
    }
}

fn tile_memory(limits: &Limits) -> Arc<TileMemory> {
    TileMemory::new(limits.cache_memory_bytes, Duration::from_millis(limits.stored_trust_ms))
}

/// One cache of a configuration on its first grid, for work without a server.
///
/// # Errors
/// Sentences about what cannot be built.
pub fn cache(conf: &Conf, name: &str) -> Result<Arc<TileCache>, Vec<String>> {
    let limits = Limits::default();
    let shared = Shared {
        limits: &limits,
        fsync: Fsync::default(),
        memory: tile_memory(&limits),
        any_srs: false,
        auth: None,
        decorate: &[],
        renderd_priority: SEEDING_PRIORITY,
    };
    let mut builder = layers::Builder::new(conf, &shared);
    let built = conf.caches.get(name).map(|cache| builder.cache(cache));
    if !builder.errors.is_empty() {
        return Err(builder.errors);
    }
    let first = built.as_ref().and_then(|built| built.first());
    first.map(|built| Arc::clone(&built.cache)).ok_or_else(|| vec![format!("there is no cache `{name}`")])
}

fn one(loaded: Loaded, shared: &Shared<'_>, findings: &mut Vec<Finding>) -> Option<Sites> {
    build_site(loaded, "", shared, findings).map(|site| Sites::One(Box::new(site)))
}

/// Each `NAME.yaml` of a directory. One that is refused is named in a warning
/// and stays as it was, or is left out, so that it does not take the others
/// with it; where all are refused, so is the whole.
fn several(
    directory: &Path,
    listed: bool,
    files: &mut FileSet,
    shared: &Shared<'_>,
    findings: &mut Vec<Finding>,
) -> Option<Sites> {
    let names = match files.list(directory) {
        Ok(names) => names,
        Err(error) => {
            findings.push(finding(directory, Severity::Error, format!("cannot list the maps: {error}")));
            return None;
        }
    };
    let mut sites = Vec::new();
    let mut own = Vec::new();
    for path in &names {
        let Some(name) = path.file_stem().and_then(|s| s.to_str()).map(str::to_owned) else { continue };
        if let Some(site) = one_of_several(path, &name, files, shared, &mut own) {
            sites.push((name, site));
        }
    }
    // What is wrong with one map is no reason to refuse the others.
    if !sites.is_empty() {
        own.iter_mut().for_each(|each| each.severity = Severity::Warning);
    }
    findings.append(&mut own);
    sites.sort_by(|a, b| a.0.cmp(&b.0));
    Some(Sites::Several { sites, listed })
}

/// A map of a directory; where its file is refused, the map as the present
/// generation has it, if it does.
fn one_of_several(
    path: &Path,
    name: &str,
    files: &mut FileSet,
    shared: &Shared<'_>,
    findings: &mut Vec<Finding>,
) -> Option<Served> {
    let build = |set: &mut FileSet, findings: &mut Vec<Finding>| {
        let from = findings.len();
        let site = build_site(load_map(path, set), name, shared, findings);
        site.filter(|_| !findings[from..].iter().any(|f| f.severity == Severity::Error))
    };
    let mut set = files.map(path);
    if let Some(site) = build(&mut set, findings) {
        files.keep_map(path, set);
        return Some(site);
    }
    let present = files.present_map(path).and_then(|mut present| {
        let site = build(&mut present, &mut Vec::new())?;
        Some((site, present))
    });
    let what = if present.is_some() { "this map stays as it was" } else { "this map is not served" };
    findings.push(finding(path, Severity::Warning, what.into()));
    let (site, kept) = present.map_or((None, set), |(site, present)| (Some(site), present));
    // Kept in any case: a development server watches these files for the cure.
    files.keep_map(path, kept);
    site
}

fn build_site(
    loaded: Loaded,
    name: &str,
    shared: &Shared<'_>,
    findings: &mut Vec<Finding>,
) -> Option<Served> {
    findings.extend(loaded.findings);
    let conf = loaded.conf?;
    let mut own = Vec::new();
    let parts = services::parts(&conf, shared, &mut own);
    for text in own {
        findings.push(finding(&conf.file, Severity::Warning, text));
    }
    let parts = match parts {
        Ok(parts) => SiteParts { decorations: decorations::build(shared.decorate, name), ..parts },
        Err(errors) => {
            findings.extend(errors.into_iter().map(|e| finding(&conf.file, Severity::Error, e)));
            return None;
        }
    };
    match Served::build(parts, shared.auth, name) {
        Ok(site) => Some(site),
        Err(errors) => {
            findings.extend(errors.into_iter().map(|e| finding(&conf.file, Severity::Error, e)));
            None
        }
    }
}

fn finding(file: &Path, severity: Severity, text: String) -> Finding {
    Finding { severity, file: file.to_owned(), line: 0, column: 0, key: String::new(), text }
}

/// Bytes of the largest picture that a configuration itself asks for: its
/// largest meta tile or map, four bytes a pixel.
fn largest_picture_bytes(conf: &Conf) -> usize {
    let metas = conf.caches.values().flat_map(|cache| {
        cache.grids.iter().map(|grid| {
            let (width, height) = grid.grid.tile_size;
            let side =
                |tiles: u32, px: u32| u64::from(tiles) * u64::from(px) + 2 * u64::from(cache.meta_buffer_px);
            side(cache.meta_size.0, width) * side(cache.meta_size.1, height)
        })
    });
    let maps = conf.services.wms.iter().map(|wms| wms.output_pixels_max);
    let pixels = metas.chain(maps).max().unwrap_or(0);
    usize::try_from(pixels.saturating_mul(4)).unwrap_or(usize::MAX)
}
