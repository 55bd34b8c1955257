// What the maps of all pages have in common. The system, the levels and the addresses come with the page: nothing is computed
// from one system to another here, so that no formulas are needed.

import {
  FullScreen, ImageLayer, ImageWMS, Map, Projection, ScaleLine, TileGrid, TileImage, TileLayer, XYZ, Zoom,
  interactions, knownProjection,
} from './openlayers/ol.js';

// OpenLayers knows mercator and degrees: there the world goes round. Any other system is what the page says of it.
export function projectionOf(told) {
  const known = knownProjection(told.code);
  if (known) return known;
  return new Projection({
    code: told.code,
    units: told.geographic ? 'degrees' : 'm',
    metersPerUnit: told.meters_per_unit,
    extent: told.extent ?? undefined,
    axisOrientation: told.north_first ? 'neu' : 'enu',
    getPointResolution: (resolution) => resolution,
  });
}

// The edges of a map in the order that a standard wants.
export const edges = (bbox, northFirst) => (northFirst ? [bbox[1], bbox[0], bbox[3], bbox[2]] : bbox);

// The address of a collection's map: `path`, the system's URL and the bbox in its own order of axes.
export function collectionAddress({ path, crs }, northFirst, bbox, width, height) {
  const query = { crs, 'bbox-crs': crs, bbox: edges(bbox, northFirst).join(','), width, height };
  return `${path}?${Object.entries(query).map(([name, value]) => `${name}=${plain(value)}`).join('&')}`;
}

// The widget asks like a WMS; what it says is put in the OGC API's words by `addressOf`.
export function collectionLayer(projection, addressOf) {
  const imageLoadFunction = (image, asked) => {
    const { searchParams } = new URL(asked, location.href);
    const bbox = searchParams.get('BBOX').split(',').map(Number);
    image.getImage().src = addressOf(bbox, searchParams.get('WIDTH'), searchParams.get('HEIGHT'));
  };
  const params = { VERSION: '1.1.1', LAYERS: '' };
  return new ImageLayer({ source: new ImageWMS({ url: './', params, projection, ratio: 1, imageLoadFunction }) });
}

// A value in a query: readable where the standards let it be.
export const plain = (value) => encodeURIComponent(value).replaceAll('%3A', ':').replaceAll('%2C', ',').replaceAll('%2F', '/');

export function tileGridOf({ levels, tile_size: tileSize }) {
  return new TileGrid({
    resolutions: levels.map((level) => level.resolution),
    origins: levels.map((level) => level.corner),
    sizes: levels.map((level) => [level.columns, level.rows]),
    tileSize,
  });
}

// What stands for {z}, {x} and {y} of a tile, whose rows OpenLayers counts from the north.
export function tileNumbers(tiles, [index, column, row]) {
  const level = tiles.levels[index];
  return { z: level.id ?? String(index), x: column, y: tiles.from_south ? level.rows - 1 - row : row };
}

export const fill = (template, values) => template.replace(/\{([^{}]+)\}/g, (whole, name) => (name in values ? values[name] : whole));

export function tileLayer(projection, tileGrid, tileUrlFunction) {
  return new TileLayer({ source: new TileImage({ projection, tileGrid, tileUrlFunction }) });
}

// A drawn sign for a button: no font can lack it.
function sign(path) {
  const holder = document.createElement('span');
  holder.className = 'sign';
  holder.innerHTML = `<svg viewBox="0 0 24 24" width="18" height="18" aria-hidden="true"><path d="${path}" fill="none" stroke="currentColor" stroke-width="2"/></svg>`;
  return holder;
}

export function makeMap(target, view, layer, background) {
  const below = background ? [new TileLayer({ source: new XYZ({ url: background }) })] : [];
  const map = new Map({
    target,
    view,
    layers: [...below, layer],
    controls: [
      new Zoom({ zoomInTipLabel: 'Zoom in', zoomOutTipLabel: 'Zoom out' }),
      new FullScreen({ tipLabel: 'Full screen', label: sign('M3 9V3h6M15 3h6v6M21 15v6h-6M9 21H3v-6'), labelActive: sign('M9 3v6H3M21 9h-6V3M15 21v-6h6M3 15h6v6'), source: target.parentElement }),
      new ScaleLine(),
    ],
    interactions: interactions({ altShiftDragRotate: false, pinchRotate: false }),
  });
  // A title alone does not name a button to those who hear the page.
  for (const button of target.querySelectorAll('button')) button.setAttribute('aria-label', button.title);
  return map;
}

// Calls `told(underway, failures)` whenever a request of the layer begins or ends.
export function watch(layer, told) {
  const source = layer.getSource();
  for (const kind of ['tile', 'image']) {
    source.on(`${kind}loadstart`, () => told(1, 0));
    source.on(`${kind}loadend`, () => told(-1, 0));
    source.on(`${kind}loaderror`, () => told(-1, 1));
  }
}

// The resolution at which an extent is shown whole; the world may lose its polar rims to fill the box.
export function fitting(box, projection, extent, resolutions) {
  const [width, height] = [box.clientWidth || 256, box.clientHeight || 256];
  const across = (extent[2] - extent[0]) / width;
  const down = (extent[3] - extent[1]) / height;
  const whole = projection.getExtent();
  const isWorld = projection.isGlobal() && whole && extent[2] - extent[0] > 0.9 * (whole[2] - whole[0]);
  const wanted = isWorld ? Math.min(across, down) : Math.max(across, down);
  if (!resolutions) return wanted;
  // The coarsest level that fills the box, or the finest that shows the layer whole.
  const fits = isWorld ? resolutions.find((r) => r <= wanted * 1.2) : resolutions.findLast((r) => r >= wanted * 0.9);
  return fits ?? (isWorld ? resolutions.at(-1) : resolutions[0]);
}
