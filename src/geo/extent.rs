//! A rectangle in the units of a coordinate system, always x (east) before y
//! (north) whatever order the system's authority prescribes.

/// Which edges of an extent (west, south, east, north) a configuration wrote as
/// whole numbers: documents show them without decimals, as MapProxy does.
pub type WholeEdges = [bool; 4];

/// A rectangle in map units: west, south, east, north.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extent {
    pub min_x: f64,
    pub min_y: f64,
    pub max_x: f64,
    pub max_y: f64,
}

impl Extent {
    /// From the four edges; does not reorder them.
    pub const fn new(min_x: f64, min_y: f64, max_x: f64, max_y: f64) -> Self {
        Self { min_x, min_y, max_x, max_y }
    }

    /// Width in map units; negative for a reversed extent.
    pub fn width(&self) -> f64 {
        self.max_x - self.min_x
    }

    /// Height in map units; negative for a reversed extent.
    pub fn height(&self) -> f64 {
        self.max_y - self.min_y
    }

    /// Whether all four edges are finite and the area is positive.
    pub fn is_valid(&self) -> bool {
        [self.min_x, self.min_y, self.max_x, self.max_y].iter().all(|v| v.is_finite())
            && self.width() > 0.0
            && self.height() > 0.0
    }

    /// West, south, east, north.
    pub fn to_array(self) -> [f64; 4] {
        [self.min_x, self.min_y, self.max_x, self.max_y]
    }

    /// Which edges of an extent that was put together from `parts` are a whole
    /// one of theirs.
    pub fn whole_edges_of(&self, parts: &[(Extent, WholeEdges)]) -> WholeEdges {
        let own = self.to_array();
        std::array::from_fn(|at| {
            parts.iter().any(|(part, whole)| whole[at] && part.to_array()[at] == own[at])
        })
    }

    /// Whether the two share an area (touching edges do not count).
    pub fn intersects(&self, other: &Extent) -> bool {
        self.min_x < other.max_x
            && self.max_x > other.min_x
            && self.min_y < other.max_y
            && self.max_y > other.min_y
    }

    /// Whether `other` lies within this one (equal edges count as within).
    pub fn contains(&self, other: &Extent) -> bool {
        self.min_x <= other.min_x
            && self.min_y <= other.min_y
            && self.max_x >= other.max_x
            && self.max_y >= other.max_y
    }

    /// The shared area, if there is one.
    pub fn intersection(&self, other: &Extent) -> Option<Extent> {
        let both = Extent::new(
            self.min_x.max(other.min_x),
            self.min_y.max(other.min_y),
            self.max_x.min(other.max_x),
            self.max_y.min(other.max_y),
        );
        (both.width() > 0.0 && both.height() > 0.0).then_some(both)
    }

    /// The smallest extent that holds both.
    pub fn union(&self, other: &Extent) -> Extent {
        Extent::new(
            self.min_x.min(other.min_x),
            self.min_y.min(other.min_y),
            self.max_x.max(other.max_x),
            self.max_y.max(other.max_y),
        )
    }

    /// Grown by `distance` map units on every side.
    pub fn grow(&self, distance: f64) -> Extent {
        Extent::new(
            self.min_x - distance,
            self.min_y - distance,
            self.max_x + distance,
            self.max_y + distance,
        )
    }
}
