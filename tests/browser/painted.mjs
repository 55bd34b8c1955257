// Whether a map shows the right place, on pictures that bear their own address (tests/harness/painted.rs): each pixel's colour
// tells level, column and row of the web mercator tile it lies in, or the complement of that on the tile's edge.

const MERC = 20037508.342789244;
const RADIUS = 6378137;

// Positions of a system in web mercator.
const TO_MERCATOR = {
  'EPSG:3857': (position) => position,
  'EPSG:4326': ([east, north]) => geographic(east, north),
  'EPSG:25832': ([east, north]) => geographic(...utm(east, north, 9)),
};

export const toMercator = (code, position) => TO_MERCATOR[code](position);

function geographic(longitude, latitude) {
  const phi = latitude * Math.PI / 180;
  return [RADIUS * longitude * Math.PI / 180, RADIUS * Math.log(Math.tan(Math.PI / 4 + phi / 2))];
}

// The inverse transverse mercator projection after Krüger, on the ellipsoid of GRS 80: degrees, to a millimetre.
function utm(easting, northing, meridian) {
  const n = (1 / 298.257222101) / (2 - 1 / 298.257222101);
  const a = RADIUS / (1 + n) * (1 + n ** 2 / 4 + n ** 4 / 64);
  const beta = [n / 2 - 2 * n ** 2 / 3 + 37 * n ** 3 / 96, n ** 2 / 48 + n ** 3 / 15, 17 * n ** 3 / 480];
  const delta = [2 * n - 2 * n ** 2 / 3 - 2 * n ** 3, 7 * n ** 2 / 3 - 8 * n ** 3 / 5, 56 * n ** 3 / 15];
  const [xi, eta] = [northing / (0.9996 * a), (easting - 500000) / (0.9996 * a)];
  let [x, y] = [xi, eta];
  beta.forEach((b, at) => {
    const k = 2 * (at + 1);
    x -= b * Math.sin(k * xi) * Math.cosh(k * eta);
    y -= b * Math.cos(k * xi) * Math.sinh(k * eta);
  });
  const chi = Math.asin(Math.sin(x) / Math.cosh(y));
  const phi = chi + delta.reduce((sum, d, at) => sum + d * Math.sin(2 * (at + 1) * chi), 0);
  return [meridian + Math.atan2(Math.sinh(y), Math.cos(x)) * 180 / Math.PI, phi * 180 / Math.PI];
}

// Colours of a net of points on the map, each with its position; `null` where the neighbours of a pixel differ.
const sample = (page) => page.evaluate(() => {
  const { map } = window.demo ?? window.ogcapi;
  const [width, height] = map.getSize();
  const sheet = document.createElement('canvas');
  [sheet.width, sheet.height] = [width, height];
  const context = sheet.getContext('2d', { willReadFrequently: true });
  context.imageSmoothingEnabled = false;
  const frame = map.getTargetElement().getBoundingClientRect();
  for (const canvas of document.querySelectorAll('#map canvas')) {
    const place = canvas.getBoundingClientRect();
    context.drawImage(canvas, place.x - frame.x, place.y - frame.y, place.width, place.height);
  }
  const found = [];
  for (let row = 1; row < 12; row += 1) {
    for (let column = 1; column < 16; column += 1) {
      const [x, y] = [Math.round((column / 16) * width), Math.round((row / 12) * height)];
      const { data } = context.getImageData(x - 1, y - 1, 3, 3);
      const pixel = [...data.slice(16, 20)];
      const isPure = Array.from({ length: 36 }, (_, at) => data[at] === pixel[at % 4]).every(Boolean);
      const position = map.getCoordinateFromPixel([x + 0.5, y + 0.5]);
      found.push({ position, color: isPure && pixel[3] === 255 ? pixel.slice(0, 3) : null });
    }
  }
  const view = map.getView();
  return { found, code: view.getProjection().getCode(), resolution: view.getResolution(), metres: view.getProjection().getMetersPerUnit() };
});

// The level of the tile that a colour stands for, if that tile holds the position, give or take two of its pixels. Numbers of
// columns and rows have ten bits: they begin anew after 1024 tiles.
function levelAt([red, green, blue], [x, y]) {
  const code = (red << 16) | (green << 8) | blue;
  const [level, column, row] = [code >> 20, (code >> 10) & 1023, code & 1023];
  const tile = 2 * MERC / 2 ** level;
  const within = (distance, number) => {
    const part = ((distance / tile - number + 0.5) % 1024 + 1024) % 1024 - 0.5;
    return part > -2 / 256 && part < 1 + 2 / 256;
  };
  return level > 0 && within(x + MERC, column) && within(MERC - y, row) ? level : null;
}

// What is wrong with the place that the map shows; nothing where it is right.
export async function misplaced(page) {
  const { found, code, resolution, metres } = await sample(page);
  if (!TO_MERCATOR[code]) return `no formula for ${code}`;
  let [right, wrong] = [0, null];
  for (const { position, color } of found.filter(({ color: known }) => known)) {
    const [x, y] = toMercator(code, position);
    const level = levelAt(color, [x, y]);
    // Levels of tiles are up to twice as fine as the view, and reprojection may double that.
    const stretch = Math.cosh(y / RADIUS);
    const wanted = Math.log2((2 * MERC / 256) / (resolution * metres * (code === 'EPSG:3857' ? 1 : stretch)));
    if (level && level - wanted < 2.5 && wanted - level < 1.5) right += 1;
    else wrong ??= `${color} at ${position} (${Math.round(x)}, ${Math.round(y)}), level ${level} where ${wanted.toFixed(1)} is wanted`;
  }
  if (wrong) return wrong;
  return right >= found.length / 3 ? '' : `only ${right} of ${found.length} points show anything`;
}
