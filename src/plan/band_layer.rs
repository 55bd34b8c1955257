//! Bands of several layers mixed into one picture (`sources` of a cache as a
//! mapping). Source of the rules: mapproxy-features.md §4.1.

use std::any::Any;
use std::sync::Arc;

use super::create::side_by_side;
use super::{Drawn, MapLayer, MapQuery, PlanError, ResRange, Turn};
use crate::geo::{Coverage, Extent, Srs};
use crate::render::{DecodeLimits, Raster};

/// A share of one band of a layer in one band of the result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BandShare {
    /// Which of the layers.
    pub layer: usize,
    /// 0–3: red, green, blue, alpha.
    pub band: usize,
    pub factor: f64,
}

/// The shares of each band of the result.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BandMix {
    /// Red, green, blue, alpha; a band without shares is 0, alpha 255.
    pub color: [Vec<BandShare>; 4],
    /// Grey, in place of the three colours.
    pub grey: Vec<BandShare>,
}

/// Layers whose bands are mixed.
pub struct BandLayer {
    pub layers: Vec<Arc<dyn MapLayer>>,
    pub mix: BandMix,
    pub extent: Option<(Extent, Srs)>,
    pub decode_limits: DecodeLimits,
}

impl MapLayer for BandLayer {
    /// Blank where any of the layers is.
    fn draw(&self, query: &MapQuery, turn: &Turn) -> Result<Drawn, PlanError> {
        let drawn =
            side_by_side(&self.layers, self.layers.len(), turn, |layer, turn| layer.draw(query, turn))?;
        let mut rasters = Vec::with_capacity(drawn.len());
        for picture in &drawn {
            match picture.raster(&self.decode_limits)? {
                Some(raster) => rasters.push(raster),
                None => return Ok(Drawn::BLANK),
            }
        }
        if rasters.iter().any(|raster| (raster.width, raster.height) != query.size) {
            return Err(PlanError::Image {
                origin: "bands".into(),
                reason: "pictures differ in size".into(),
            });
        }
        let cacheable = drawn.iter().all(|picture| picture.cacheable);
        let authorize_stale = drawn.iter().any(|picture| picture.authorize_stale);
        Ok(Drawn { cacheable, authorize_stale, ..Drawn::pixels(self.mix.merge(&rasters, query.size)) })
    }

    fn is_opaque(&self, _query: &MapQuery) -> bool {
        false
    }

    fn is_transparent(&self) -> bool {
        !self.mix.color[3].is_empty()
    }

    fn res_range(&self) -> Option<ResRange> {
        super::conditional::union_of(&self.layers)
    }

    fn coverage(&self) -> Option<&Coverage> {
        None
    }

    fn extent(&self) -> Option<(Extent, Srs)> {
        self.extent.clone()
    }

    fn supports_meta_tiles(&self) -> bool {
        self.layers.iter().all(|layer| layer.supports_meta_tiles())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl BandMix {
    fn merge(&self, rasters: &[Arc<Raster>], (width, height): (u32, u32)) -> Raster {
        let pixels: Vec<&[[u8; 4]]> = rasters.iter().map(|raster| raster.pixels.as_chunks::<4>().0).collect();
        let mut whole = Raster::filled(width, height, [0, 0, 0, 255]);
        let mut opaque = true;
        for (at, pixel) in whole.pixels.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            if self.grey.is_empty() {
                for (band, shares) in self.color.iter().enumerate().filter(|(_, shares)| !shares.is_empty()) {
                    pixel[band] = sum(shares, &pixels, at);
                }
            } else {
                let grey = sum(&self.grey, &pixels, at);
                *pixel = [grey, grey, grey, 255];
            }
            opaque &= pixel[3] == 255;
        }
        whole.opaque = opaque;
        whole
    }
}

/// Each share is cut to a whole number before they are added. (MapProxy lets a
/// share of exactly 1 overwrite what stood before it; that is not copied.)
fn sum(shares: &[BandShare], pixels: &[&[[u8; 4]]], at: usize) -> u8 {
    let value = |share: &BandShare| {
        let pixel = pixels.get(share.layer).and_then(|layer| layer.get(at)).copied().unwrap_or_default();
        let value = f64::from(pixel[share.band.min(3)]) * share.factor;
        value.clamp(0.0, 255.0) as u32
    };
    shares.iter().map(value).sum::<u32>().min(255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_are_weighted_and_added() {
        let share = |layer, band, factor| BandShare { layer, band, factor };
        let one = Arc::new(Raster::filled(2, 1, [50, 100, 200, 255]));
        let other = Arc::new(Raster::filled(2, 1, [250, 0, 10, 255]));
        for (mix, expected) in [
            (
                BandMix {
                    grey: vec![share(0, 0, 0.25), share(0, 1, 0.7), share(0, 2, 0.05)],
                    ..BandMix::default()
                },
                [92, 92, 92, 255],
            ),
            (
                BandMix {
                    color: [vec![share(0, 0, 1.0)], vec![share(0, 2, 1.0)], vec![share(0, 1, 1.0)], vec![]],
                    ..BandMix::default()
                },
                [50, 200, 100, 255],
            ),
            (
                BandMix {
                    color: [
                        vec![share(0, 0, 1.0), share(1, 0, 1.0)],
                        vec![],
                        vec![share(1, 2, 0.5)],
                        vec![share(0, 2, 0.25)],
                    ],
                    ..BandMix::default()
                },
                [255, 0, 5, 50],
            ),
        ] {
            let merged = mix.merge(&[Arc::clone(&one), Arc::clone(&other)], (2, 1));
            assert_eq!(merged.pixel(1, 0), expected);
            assert_eq!(merged.opaque, expected[3] == 255);
        }
    }
}
