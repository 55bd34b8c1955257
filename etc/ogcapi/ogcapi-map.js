// The map of a collection or of its tiles, asked for as the OGC API says.

import {
  Attribution, FullScreen, ImageLayer, ImageWMS, Map, Projection, ScaleLine, TileGrid, TileImage, TileLayer, View, XYZ, Zoom,
  interactions, knownProjection,
} from './openlayers/ol.js';

const config = JSON.parse(document.getElementById('config').textContent);
const box = document.getElementById('map');
const projection = knownProjection(config.projection.code) ?? new Projection({
  code: config.projection.code,
  units: config.projection.geographic ? 'degrees' : 'm',
  metersPerUnit: config.projection.meters_per_unit,
  axisOrientation: config.projection.north_first ? 'neu' : 'enu',
  extent: config.tiles?.extent,
  getPointResolution: (resolution) => resolution,
});
const northFirst = config.projection.north_first;

// The widget asks like a WMS; what it says is put in the OGC API's words.
function mapAddress(bbox, width, height) {
  const edges = northFirst ? [bbox[1], bbox[0], bbox[3], bbox[2]] : bbox;
  const query = new URLSearchParams({ crs: config.crs, 'bbox-crs': config.crs, bbox: edges.join(','), width, height });
  return `${config.map}?${query}`;
}

function mapLayer() {
  return new ImageLayer({
    source: new ImageWMS({
      url: config.map,
      params: { VERSION: '1.1.1', LAYERS: '' },
      projection,
      ratio: 1,
      imageLoadFunction(image, asked) {
        const { searchParams } = new URL(asked, location.href);
        const bbox = searchParams.get('BBOX').split(',').map(Number);
        image.getImage().src = mapAddress(bbox, searchParams.get('WIDTH'), searchParams.get('HEIGHT'));
      },
    }),
  });
}

function tileAddress(coord) {
  const [index, column, row] = coord;
  const level = config.tiles.levels[index];
  const y = config.tiles.from_south ? level.rows - 1 - row : row;
  return config.tiles.address.replace('{z}', index).replace('{x}', column).replace('{y}', y);
}

function tileLayer() {
  const { levels, tile_size: tileSize } = config.tiles;
  const tileGrid = new TileGrid({
    resolutions: levels.map((level) => level.resolution),
    origins: levels.map((level) => level.corner),
    sizes: levels.map((level) => [level.columns, level.rows]),
    tileSize,
  });
  return new TileLayer({ source: new TileImage({ projection, tileGrid, tileUrlFunction: (coord) => coord && tileAddress(coord) }) });
}

// A drawn sign for a button: no font can lack it.
function sign(path) {
  const holder = document.createElement('span');
  holder.className = 'sign';
  holder.innerHTML = `<svg viewBox="0 0 24 24" width="18" height="18" aria-hidden="true"><path d="${path}" fill="none" stroke="currentColor" stroke-width="2"/></svg>`;
  return holder;
}

const [minX, minY, maxX, maxY] = config.extent;
const view = new View({
  projection,
  center: [(minX + maxX) / 2, (minY + maxY) / 2],
  resolution: Math.max((maxX - minX) / (box.clientWidth || 256), (maxY - minY) / (box.clientHeight || 256)),
  ...(config.tiles ? { resolutions: config.tiles.levels.map((level) => level.resolution), constrainResolution: true } : {}),
  enableRotation: false,
  showFullExtent: true,
});
const backgrounds = config.background ? [new TileLayer({ source: new XYZ({ url: config.background }) })] : [];
const layer = config.tiles ? tileLayer() : mapLayer();
const map = new Map({
  target: box,
  view,
  layers: [...backgrounds, layer],
  controls: [
    new Zoom({ zoomInTipLabel: 'Zoom in', zoomOutTipLabel: 'Zoom out' }),
    new FullScreen({ tipLabel: 'Full screen', label: sign('M3 9V3h6M15 3h6v6M21 15v6h-6M9 21H3v-6'), labelActive: sign('M9 3v6H3M21 9h-6V3M15 21v-6h6M3 15h6v6') }),
    new ScaleLine(),
    new Attribution({ collapsible: false }),
  ],
  interactions: interactions({ altShiftDragRotate: false, pinchRotate: false }),
});
for (const button of box.querySelectorAll('button')) button.setAttribute('aria-label', button.title);

function describe() {
  const size = map.getSize();
  const center = view.getCenter();
  if (!size || !center) return;
  let address;
  if (config.tiles) {
    const grid = layer.getSource().getTileGrid();
    const level = grid.getZForResolution(view.getResolution());
    address = tileAddress(grid.getTileCoordForCoordAndZ(center, level));
  } else {
    const bbox = view.calculateExtent(size).map((edge) => Number(edge.toPrecision(12)));
    address = mapAddress(bbox, Math.round(size[0]), Math.round(size[1]));
  }
  document.getElementById('address').textContent = decodeURIComponent(address);
  document.getElementById('open').href = address;
}
map.on('moveend', describe);

// For those who look into the page with their browser's console.
window.ogcapi = { map, config };
