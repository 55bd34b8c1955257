//! Legends: pictures of sources, stacked, kept for ever in a folder that
//! MapProxy shares. Source of the rules: mapproxy-features.md §4.3, §5.2.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use md5::{Digest as _, Md5};

use super::{PlanError, Turn};
use crate::cache::atomic::{WriteOptions, write_atomic};
use crate::log;
use crate::render::{self, DecodeLimits, Format, ImageOptions, Raster};
use crate::source::LegendSource;

/// How long the size of a legend that could not be had whole is believed.
const BROKEN_SIZE_AGE_MAX: Duration = Duration::from_secs(60);

/// What a legend is made of.
pub struct LegendOptions {
    /// Uppermost last; one for each layer of the source.
    pub parts: Vec<LegendSource>,
    /// `<base_dir>/legends`
    pub directory: PathBuf,
    pub write: WriteOptions,
    pub decode_limits: DecodeLimits,
}

/// The legend of one source.
pub struct Legend {
    options: LegendOptions,
    /// MapProxy's name for it: addresses and layers in a row.
    identifier: String,
    /// A picture at an address knows no scales.
    is_fixed: bool,
    size: Mutex<Option<KnownSize>>,
}

#[derive(Clone, Copy)]
struct KnownSize {
    size: (u32, u32),
    until: Option<Instant>,
}

impl Legend {
    pub fn new(options: LegendOptions) -> Legend {
        let identifier = options.parts.iter().map(LegendSource::identifier).collect();
        let is_fixed = options.parts.iter().any(|part| matches!(part, LegendSource::Fixed { .. }));
        Legend { options, identifier, is_fixed, size: Mutex::new(None) }
    }

    /// The legend, from the folder or from the source. Parts that fail are left
    /// out and the rest is not kept. `scale` as MapProxy writes it (`5.0`).
    ///
    /// # Errors
    /// The parts are larger together than a picture may be.
    pub fn draw(&self, mime: &str, scale: Option<&str>, turn: &Turn) -> Result<Raster, PlanError> {
        self.make(mime, scale, turn).map(|(raster, _)| raster)
    }

    /// The picture, and whether all of its parts are there.
    fn make(&self, mime: &str, scale: Option<&str>, turn: &Turn) -> Result<(Raster, bool), PlanError> {
        let path = self.path(scale.filter(|_| !self.is_fixed));
        let limits = &self.options.decode_limits;
        if let Ok(bytes) = std::fs::read(&path) {
            match render::decode(&bytes, limits) {
                Ok(raster) => return Ok((raster, true)),
                Err(error) => log::warn!("{}: {error}; the legend is fetched again", path.display()),
            }
        }
        let mut pictures = Vec::with_capacity(self.options.parts.len());
        for part in &self.options.parts {
            let fetched = turn.wait(|| part.fetch_image(mime, scale)).map_err(|error| error.to_string());
            match fetched.and_then(|bytes| render::decode(&bytes, limits).map_err(|error| error.to_string()))
            {
                Ok(raster) => pictures.push(raster),
                Err(error) => log::warn!("a legend is left out: {error}"),
            }
        }
        let is_whole = pictures.len() == self.options.parts.len();
        let legend = stack(pictures, limits)?;
        if is_whole {
            self.keep(&path, &legend);
        }
        Ok((legend, is_whole))
    }

    fn keep(&self, path: &std::path::Path, legend: &Raster) {
        match render::encode(legend, &ImageOptions::new(Format::Png), None) {
            Ok(encoded) => {
                if let Err(error) = write_atomic(path, &encoded.bytes, &self.options.write) {
                    log::error!("a legend cannot be kept: {error}");
                }
            }
            Err(error) => log::warn!("a legend cannot be kept: {error}"),
        }
    }

    fn path(&self, scale: Option<&str>) -> PathBuf {
        let mut hash = Md5::new();
        hash.update(self.identifier.as_bytes());
        hash.update(scale.unwrap_or("None").as_bytes());
        let mut name = String::with_capacity(36);
        for byte in hash.finalize() {
            name.push_str(&format!("{byte:02x}"));
        }
        name.push_str(".png");
        self.options.directory.join(name)
    }

    /// The size as it was last seen.
    pub fn known_size(&self) -> Option<(u32, u32)> {
        self.size.lock().unwrap_or_else(PoisonError::into_inner).map(|known| known.size)
    }

    /// Whether [`Legend::size`] need not look anywhere.
    pub fn is_size_known(&self) -> bool {
        let known = *self.size.lock().unwrap_or_else(PoisonError::into_inner);
        known.is_some_and(|known| known.until.is_none_or(|until| Instant::now() < until))
    }

    /// Width and height for capabilities; asks the source if nobody did yet.
    pub fn size(&self, turn: &Turn) -> (u32, u32) {
        let known = *self.size.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known
            && known.until.is_none_or(|until| Instant::now() < until)
        {
            return known.size;
        }
        let (size, is_whole) = match self.make("image/png", None, turn) {
            Ok((raster, is_whole)) => ((raster.width, raster.height), is_whole),
            Err(error) => {
                log::warn!("the size of a legend is not known: {error}");
                ((1, 1), false)
            }
        };
        let until = (!is_whole).then(|| Instant::now() + BROKEN_SIZE_AGE_MAX);
        *self.size.lock().unwrap_or_else(PoisonError::into_inner) = Some(KnownSize { size, until });
        size
    }

    /// The entries of the source's legends as JSON, appended to `entries`.
    pub fn entries(&self, scale: Option<&str>, turn: &Turn, entries: &mut Vec<serde_json::Value>) {
        for part in &self.options.parts {
            let Some(fetched) = turn.wait(|| part.fetch_json(scale)) else { continue };
            let parsed = fetched.map_err(|error| error.to_string()).and_then(|bytes| {
                serde_json::from_slice::<serde_json::Value>(&bytes)
                    .map_err(|error| format!("no JSON: {error}"))
            });
            match parsed {
                Ok(mut value) => match value.get_mut("Legend").map(serde_json::Value::take) {
                    Some(serde_json::Value::Array(list)) => entries.extend(list),
                    _ => log::warn!("a JSON legend has no list \"Legend\" and is left out"),
                },
                Err(error) => log::warn!("a JSON legend is left out: {error}"),
            }
        }
    }
}

/// Legends one above the other, the last of them uppermost; as wide as the widest.
///
/// # Errors
/// Together they are larger than a picture may be.
pub fn stack(mut legends: Vec<Raster>, limits: &DecodeLimits) -> Result<Raster, PlanError> {
    const GROUND: [u8; 4] = [255, 255, 255, 0];
    if legends.len() == 1
        && let Some(only) = legends.pop()
    {
        return Ok(only);
    }
    let width = legends.iter().map(|legend| legend.width).max().unwrap_or(1);
    let height: u64 = legends.iter().map(|legend| u64::from(legend.height)).sum::<u64>().max(1);
    let bytes = u64::from(width) * height * 4;
    let height = match u32::try_from(height) {
        Ok(height) if bytes <= limits.pixels_bytes_max as u64 => height,
        _ => return Err(PlanError::Image { origin: "legend".into(), reason: "too large".into() }),
    };
    let mut whole = Raster::filled(width, height, GROUND);
    let mut top = 0;
    for legend in legends.iter().rev() {
        render::merge::over(&mut whole, legend, (0, top), None);
        top += i32::try_from(legend.height).unwrap_or(0);
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_legend_is_uppermost() {
        let limits = DecodeLimits::default();
        let [red, blue] = [[255, 0, 0, 255], [0, 0, 255, 255]];
        let stacked = stack(vec![Raster::filled(2, 1, red), Raster::filled(4, 3, blue)], &limits).unwrap();
        assert_eq!((stacked.width, stacked.height), (4, 4));
        assert_eq!((stacked.pixel(3, 2), stacked.pixel(1, 3)), (blue, red));
        assert_eq!(stacked.pixel(3, 3)[3], 0);
        let nothing = stack(Vec::new(), &limits).unwrap();
        assert_eq!((nothing.width, nothing.height, nothing.pixel(0, 0)[3]), (1, 1, 0));
        let small = DecodeLimits { pixels_bytes_max: 16, ..limits };
        assert!(stack(vec![Raster::filled(2, 2, red), Raster::filled(2, 2, red)], &small).is_err());
    }
}
