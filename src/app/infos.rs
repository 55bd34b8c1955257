//! Sources of feature info and of legends, each built once.

use std::sync::Arc;

use super::layers::{Builder, ClientKey, mime_of, split_credentials};
use crate::conf::conf::{ArcGisConf, SourceConf, SourceKind, SourceRef, StylesheetConf, WmsConf};
use crate::plan::{
    InfoKind, InfoLayer, Legend, LegendOptions, SourceInfoLayer, Stylesheet, SupportedSrs, WriteOptions,
};
use crate::source::arcgis::ArcGisInfoSource;
use crate::source::{InfoSource, LegendSource, WmsInfoSource};

impl<'a> Builder<'a> {
    /// Who is asked about points of what a layer or cache draws from.
    pub(crate) fn infos(&mut self, sources: &[SourceRef]) -> Vec<Arc<dyn InfoLayer>> {
        let mut found = Vec::new();
        for (name, layers) in self.origins(sources) {
            found.extend(self.info(&name, layers.as_deref()));
        }
        found
    }

    /// The legends of what a layer or cache draws from.
    pub(crate) fn legends(&mut self, sources: &[SourceRef]) -> Vec<Arc<Legend>> {
        let mut found = Vec::new();
        for (name, layers) in self.origins(sources) {
            found.extend(self.legend(&name, layers.as_deref()));
        }
        found
    }

    /// The sources below, those of caches of caches too.
    fn origins(&self, sources: &[SourceRef]) -> Vec<(String, Option<Vec<String>>)> {
        let mut found = Vec::new();
        for source in sources {
            match source {
                SourceRef::Source { name, layers } => found.push((name.clone(), layers.clone())),
                SourceRef::Cache(name) => {
                    if let Some(cache) = self.conf.caches.get(name) {
                        found.extend(self.origins(&cache.sources));
                        let bands = cache.bands.iter().flatten().map(|band| band.source.clone());
                        found.extend(self.origins(&bands.collect::<Vec<_>>()));
                    }
                }
            }
        }
        found
    }

    fn info(&mut self, name: &str, layers: Option<&[String]>) -> Option<Arc<dyn InfoLayer>> {
        let key = (name.to_owned(), layers.map(<[String]>::to_vec));
        if let Some(known) = self.infos.get(&key) {
            return known.clone();
        }
        let conf: &'a SourceConf = self.conf.sources.get(name)?;
        let made = match &conf.kind {
            SourceKind::Wms(wms) if wms.info.featureinfo => Some(self.wms_info(conf, wms, layers)),
            SourceKind::MapServer(server) if server.wms.info.featureinfo => {
                Some(self.wms_info(conf, &server.wms, layers))
            }
            SourceKind::ArcGis(arcgis) if arcgis.featureinfo => Some(self.arcgis_info(conf, arcgis)),
            _ => None,
        };
        self.infos.insert(key, made.clone());
        made
    }

    fn wms_info(
        &mut self,
        conf: &SourceConf,
        wms: &WmsConf,
        layers: Option<&[String]>,
    ) -> Arc<dyn InfoLayer> {
        let (url, auth) = split_credentials(&wms.url);
        let info = &wms.info;
        let stylesheet = info.featureinfo_xslt.as_ref().and_then(|sheet| self.stylesheet(sheet));
        let out = info.featureinfo_out_format.as_deref().or(info.featureinfo_format.as_deref());
        let source = InfoSource::Wms(WmsInfoSource {
            name: conf.name.clone(),
            url,
            version: wms.version,
            layers: layers.map_or_else(|| wms.layers.clone(), <[String]>::to_vec),
            query_layers: info.query_layers.clone(),
            parameters: wms.parameters.clone(),
            transparent: wms.transparent,
            format: wms.format.as_deref().map(mime_of),
            info_format: info.featureinfo_format.clone(),
            client: self.client(conf, auth),
        });
        Arc::new(SourceInfoLayer {
            source,
            supported_srs: self.supported_srs(conf),
            coverage: conf.coverage.clone(),
            stylesheet: stylesheet.map(|sheet| (sheet, InfoKind::of_mime(out.unwrap_or("text/xml")))),
        })
    }

    fn arcgis_info(&mut self, conf: &SourceConf, arcgis: &ArcGisConf) -> Arc<dyn InfoLayer> {
        let (url, auth) = split_credentials(&arcgis.url);
        let source = InfoSource::ArcGis(ArcGisInfoSource {
            name: conf.name.clone(),
            url,
            parameters: arcgis.parameters(),
            tolerance_px: arcgis.featureinfo_tolerance,
            return_geometries: arcgis.featureinfo_return_geometries,
            client: self.client(conf, auth),
        });
        Arc::new(SourceInfoLayer {
            source,
            supported_srs: self.supported_srs(conf),
            coverage: conf.coverage.clone(),
            stylesheet: None,
        })
    }

    pub(super) fn supported_srs(&self, conf: &SourceConf) -> SupportedSrs {
        SupportedSrs { list: conf.supported_srs.clone(), preferred: self.conf.globals.preferred_src.clone() }
    }

    /// A compiled stylesheet; errors are remembered once.
    pub(super) fn stylesheet(&mut self, conf: &StylesheetConf) -> Option<Arc<Stylesheet>> {
        if let Some(known) = self.stylesheets.get(&conf.path) {
            return known.clone();
        }
        let made = match Stylesheet::parse(&conf.bytes, &conf.path) {
            Ok(sheet) => Some(Arc::new(sheet)),
            Err(error) => {
                self.errors.push(format!("featureinfo_xslt: {error}"));
                None
            }
        };
        self.stylesheets.insert(conf.path.clone(), made.clone());
        made
    }

    fn legend(&mut self, name: &str, layers: Option<&[String]>) -> Option<Arc<Legend>> {
        let key = (name.to_owned(), layers.map(<[String]>::to_vec));
        if let Some(known) = self.legends.get(&key) {
            return known.clone();
        }
        let conf: &'a SourceConf = self.conf.sources.get(name)?;
        let made = match &conf.kind {
            SourceKind::Wms(wms) => self.wms_legend(conf, wms, layers),
            SourceKind::MapServer(server) => self.wms_legend(conf, &server.wms, layers),
            _ => None,
        };
        self.legends.insert(key, made.clone());
        made
    }

    fn wms_legend(
        &mut self,
        conf: &SourceConf,
        wms: &WmsConf,
        layers: Option<&[String]>,
    ) -> Option<Arc<Legend>> {
        if let Some(url) = wms.info.legendurl.as_deref().filter(|url| !url.is_empty()) {
            return Some(self.fixed_legend(url, conf));
        }
        if !wms.info.legendgraphic {
            return None;
        }
        let (url, auth) = split_credentials(&wms.url);
        let client = self.client(conf, auth);
        let names = layers.unwrap_or(&wms.layers);
        let parts = names.iter().map(|layer| LegendSource::Layer {
            url: url.clone(),
            layer: layer.clone(),
            version: wms.version,
            parameters: wms.parameters.clone(),
            transparent: wms.transparent,
            format: wms.format.as_deref().map(mime_of),
            client: Arc::clone(&client),
        });
        Some(self.kept_legend(parts.collect()))
    }

    /// The legend at an address (`legendurl`), asked for as `conf` says.
    fn fixed_legend(&mut self, url: &str, conf: &SourceConf) -> Arc<Legend> {
        let (url, auth) = split_credentials(&self.legend_address(url));
        let client = self.client(conf, auth);
        self.kept_legend(vec![LegendSource::Fixed { url, client }])
    }

    /// The legend that a layer names itself.
    pub(crate) fn layer_legend(&mut self, url: &str) -> Arc<Legend> {
        let (url, auth) = split_credentials(&self.legend_address(url));
        let globals = &self.conf.globals;
        let client = self.client_for(ClientKey {
            http: globals.http.clone(),
            concurrent_requests: globals.concurrent_requests,
            basic_auth: auth,
            program: None,
        });
        self.kept_legend(vec![LegendSource::Fixed { url, client }])
    }

    /// `file://legend.png` counts from the configuration's folder.
    fn legend_address(&self, url: &str) -> String {
        match url.strip_prefix("file://") {
            Some(path) if !path.starts_with('/') => {
                format!("file://{}", self.conf.base_dir.join(path).display())
            }
            _ => url.to_owned(),
        }
    }

    fn kept_legend(&self, parts: Vec<LegendSource>) -> Arc<Legend> {
        let globals = &self.conf.globals;
        Arc::new(Legend::new(LegendOptions {
            parts,
            directory: globals.base_dir.join("legends"),
            write: WriteOptions {
                directory_mode: globals.directory_mode,
                file_mode: globals.file_mode,
                ..WriteOptions::default()
            },
            decode_limits: self.decode_limits,
        }))
    }
}
