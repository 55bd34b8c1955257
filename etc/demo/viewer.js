// A map of one layer. Everything it needs to know comes with the page; requests go to the address the page came from.

import {
  Attribution, FullScreen, ImageLayer, ImageWMS, Map, Projection, ScaleLine, TileGrid, TileImage, TileLayer, TileWMS, View, XYZ, Zoom,
  interactions, knownProjection,
} from './openlayers/ol.js';

const config = JSON.parse(document.getElementById('config').textContent);
const element = (id) => document.getElementById(id);
const projection = projectionOf(config.projection);
const box = element('map');

// OpenLayers knows mercator and degrees: there the world goes round. Any other system is what the page says of it; positions
// are never carried from one system to another here, so that no formulas are needed.
function projectionOf(told) {
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

function wmsParameters() {
  const { layer, version, format, transparent } = config.wms;
  return {
    ...(version === '1.0.0' ? { WMTVER: version } : {}),
    VERSION: version, LAYERS: layer, STYLES: '', FORMAT: format, TRANSPARENT: String(transparent),
  };
}

function wmsLayer(manner) {
  const options = { url: '../service', params: wmsParameters(), projection };
  if (manner === 'tiles') return new TileLayer({ source: new TileWMS(options) });
  return new ImageLayer({ source: new ImageWMS({ ...options, ratio: 1 }) });
}

function tileAddress(coord) {
  const [index, column, row] = coord;
  const level = config.tiles.levels[index];
  const y = config.tiles.from_south ? level.rows - 1 - row : row;
  return config.tiles.path.replace('{z}', level.id).replace('{x}', column).replace('{y}', y);
}

function tileLayer() {
  const { levels, tile_size: tileSize } = config.tiles;
  const tileGrid = new TileGrid({
    resolutions: levels.map((level) => level.resolution),
    origins: levels.map((level) => level.corner),
    sizes: levels.map((level) => [level.columns, level.rows]),
    tileSize,
  });
  const tileUrlFunction = (coord) => (coord ? `../${tileAddress(coord)}` : undefined);
  return new TileLayer({ source: new TileImage({ projection, tileGrid, tileUrlFunction }) });
}

// The view to begin with: the place that was on show before, else the layer; the world may lose its polar rims to fill the box.
function firstView() {
  const resolutions = config.tiles?.levels.map((level) => level.resolution);
  const extent = config.extent ?? projection.getExtent() ?? [-180, -90, 180, 90];
  const view = new View({
    projection,
    ...(resolutions ? { resolutions, constrainResolution: true } : {}),
    center: [(extent[0] + extent[2]) / 2, (extent[1] + extent[3]) / 2],
    resolution: fitting(extent, resolutions),
    enableRotation: false,
    showFullExtent: true,
  });
  if (config.view) {
    view.setCenter(config.view.center);
    view.setResolution(config.view.resolution);
  }
  return view;
}

function fitting(extent, resolutions) {
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

// A drawn sign for a button: no font can lack it.
function sign(path) {
  const holder = document.createElement('span');
  holder.className = 'sign';
  holder.innerHTML = `<svg viewBox="0 0 24 24" width="18" height="18" aria-hidden="true"><path d="${path}" fill="none" stroke="currentColor" stroke-width="2"/></svg>`;
  return holder;
}

const view = firstView();
const backgrounds = config.background ? [new TileLayer({ source: new XYZ({ url: config.background }) })] : [];
const map = new Map({
  target: box,
  view,
  layers: [...backgrounds, config.wms ? wmsLayer('map') : tileLayer()],
  controls: [
    new Zoom({ zoomInTipLabel: 'Zoom in', zoomOutTipLabel: 'Zoom out' }),
    new FullScreen({ tipLabel: 'Full screen', label: sign('M3 9V3h6M15 3h6v6M21 15v6h-6M9 21H3v-6'), labelActive: sign('M9 3v6H3M21 9h-6V3M15 21v-6h6M3 15h6v6') }),
    new ScaleLine(),
    new Attribution({ collapsible: false }),
  ],
  interactions: interactions({ altShiftDragRotate: false, pinchRotate: false }),
});

// A title alone does not name a button to those who hear the page.
for (const button of box.querySelectorAll('button')) button.setAttribute('aria-label', button.title);

// How the requests fare.

let underway = 0;
let failures = 0;
function watch(layer) {
  const source = layer.getSource();
  for (const kind of ['tile', 'image']) {
    source.on(`${kind}loadstart`, () => progress(1));
    source.on(`${kind}loadend`, () => progress(-1));
    source.on(`${kind}loaderror`, () => {
      progress(-1);
      failures += 1;
      element('status').textContent = failures === 1 ? 'A request failed.' : `${failures} requests failed.`;
    });
  }
}
function progress(change) {
  underway = Math.max(0, underway + change);
  element('progress').hidden = underway === 0;
}
watch(map.getLayers().item(backgrounds.length));

// What the view is, in numbers.

const digits = config.projection.geographic ? 5 : 1;
const number = (value) => value.toLocaleString('en', { maximumFractionDigits: digits, useGrouping: false });

function mapAddress() {
  const [width, height] = map.getSize();
  let bbox = view.calculateExtent([width, height]);
  const { version } = config.wms;
  const is130 = version === '1.3.0';
  if (is130 && projection.getAxisOrientation().startsWith('ne')) bbox = [bbox[1], bbox[0], bbox[3], bbox[2]];
  const parameters = {
    SERVICE: 'WMS', ...wmsParameters(), REQUEST: 'GetMap', [is130 ? 'CRS' : 'SRS']: projection.getCode(),
    BBOX: bbox.map((edge) => Number(edge.toPrecision(12))).join(','), WIDTH: Math.round(width), HEIGHT: Math.round(height),
  };
  const query = Object.entries(parameters).map(([name, value]) => `${name}=${plain(value)}`);
  return `service?${query.join('&')}`;
}
const plain = (value) => encodeURIComponent(value).replaceAll('%3A', ':').replaceAll('%2C', ',').replaceAll('%2F', '/');

function describe() {
  const center = view.getCenter();
  const resolution = view.getResolution();
  if (!center || !resolution || !map.getSize()) return;
  element('center').textContent = center.map(number).join(', ');
  const unit = config.projection.geographic ? '°' : config.projection.meters_per_unit === 1 ? 'm' : 'units';
  element('pixel').textContent = `${Number(resolution.toPrecision(5))} ${unit}`;
  let open;
  if (config.tiles) {
    const grid = map.getLayers().item(backgrounds.length).getSource().getTileGrid();
    const level = grid.getZForResolution(resolution);
    element('level-row').hidden = false;
    element('level').textContent = config.tiles.levels[level].id;
    element('address').textContent = `${config.base}/${config.tiles.path}`;
    open = tileAddress(grid.getTileCoordForCoordAndZ(center, level));
  } else {
    open = mapAddress();
    element('address').textContent = `${config.base}/${open}`;
  }
  element('open').href = `../${open}`;
  for (const field of document.querySelectorAll('input[name=view]')) {
    field.value = [...center, resolution].join(',');
    field.disabled = false;
  }
}
map.on('moveend', describe);
map.on('change:size', describe);

// The choices take effect at once; the place stays, but for another layer.

const choice = element('choice');
choice.addEventListener('change', (event) => {
  const { target } = event;
  if (target.name === 'format' && config.wms) return changeFormat(target.value);
  if (target.dataset.otherPlace !== undefined) choice.elements.view.disabled = true;
  choice.submit();
});

function changeFormat(short) {
  config.wms.format = `image/${short}`;
  config.wms.transparent = short !== 'jpeg';
  map.getLayers().item(backgrounds.length).getSource().updateParams(wmsParameters());
  const address = new URL(location.href);
  address.searchParams.set('format', short);
  history.replaceState(null, '', address);
  describe();
}

for (const radio of document.querySelectorAll('input[name=manner]')) {
  radio.addEventListener('change', () => {
    const layer = wmsLayer(radio.value);
    watch(layer);
    map.getLayers().setAt(backgrounds.length, layer);
  });
}

for (const button of document.querySelectorAll('[data-copy]')) {
  // Browsers let only secure pages (and those of this machine) write there.
  if (!navigator.clipboard) {
    button.hidden = true;
    continue;
  }
  button.addEventListener('click', async () => {
    await navigator.clipboard.writeText(element(button.dataset.copy).textContent);
    button.textContent = 'Copied';
    setTimeout(() => (button.textContent = 'Copy'), 1500);
  });
}

// For those who look into the page with their browser's console.
window.demo = { map, config };
