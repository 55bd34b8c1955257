// A map of one layer. Everything it needs to know comes with the page; requests go to the address the page came from.

import { ImageLayer, ImageWMS, TileLayer, TileWMS, View } from './openlayers/ol.js';
import {
  collectionAddress, collectionLayer, edges, fill, fitting, makeMap, plain, projectionOf, tileGridOf, tileLayer, tileNumbers, watch,
} from './map.js';
import { note, presented } from './info.js';
import './copy.js';

const config = JSON.parse(document.getElementById('config').textContent);
const element = (id) => document.getElementById(id);
const projection = projectionOf(config.projection);
const box = element('map');
const choice = element('choice');
const northFirst = config.projection.north_first;

// What is chosen in the form.

const chosen = (name) => choice.elements[name]?.value;
const dimensions = () => [...document.querySelectorAll('[data-dimension]')].map((select) => [select.dataset.dimension, select.value]);

// Requests of the WMS.

function wmsParameters() {
  const { layer } = config.wms;
  const version = chosen('version') ?? config.wms.version;
  const format = chosen('format') ? `image/${chosen('format')}` : config.wms.format;
  return {
    ...(version === '1.0.0' ? { WMTVER: version } : {}),
    VERSION: version, LAYERS: layer, STYLES: '', FORMAT: format, TRANSPARENT: String(format !== 'image/jpeg'),
    ...Object.fromEntries(dimensions().map(([name, value]) => [name.toUpperCase(), value])),
  };
}

function wmsLayer(pieces) {
  const options = { url: '../service', params: wmsParameters(), projection };
  if (pieces === 'tiles') return new TileLayer({ source: new TileWMS(options) });
  return new ImageLayer({ source: new ImageWMS({ ...options, ratio: 1 }) });
}

// The query for the map on show; `more` asks something else about it.
function wmsQuery(request, more = {}) {
  const [width, height] = map.getSize();
  const parameters = wmsParameters();
  const is130 = parameters.VERSION === '1.3.0';
  const bbox = edges(view.calculateExtent([width, height]), is130 && northFirst);
  const query = {
    SERVICE: 'WMS', REQUEST: request, ...parameters, [is130 ? 'CRS' : 'SRS']: projection.getCode(),
    BBOX: bbox.map((edge) => Number(edge.toPrecision(12))).join(','), WIDTH: Math.round(width), HEIGHT: Math.round(height), ...more,
  };
  return Object.entries(query).map(([name, value]) => `${name}=${plain(value)}`).join('&');
}

// Addresses of tiles.

const manner = () => config.tiles.manners.find((known) => known.name === chosen('manner')) ?? config.tiles.manners[0];

function tileValues(coord) {
  const values = { ...tileNumbers(config.tiles, coord), format: chosen('format') ?? config.tiles.format };
  for (const [name, value] of dimensions()) values[`dim:${name}`] = plain(value);
  return values;
}
const tileAddress = (coord) => fill(manner().path, tileValues(coord));

// Maps of the OGC API.

function collectionMap(bbox, width, height) {
  const path = config.map.path.replace('{format}', chosen('format') ?? config.map.format);
  return collectionAddress({ path, crs: config.map.crs }, northFirst, bbox, width, height);
}

// The map.

const tileGrid = config.tiles && tileGridOf(config.tiles);
function makeLayer(pieces) {
  if (config.wms) return wmsLayer(pieces);
  if (config.map) return collectionLayer(projection, (...of) => `../${collectionMap(...of)}`);
  return tileLayer(projection, tileGrid, (coord) => (coord ? `../${tileAddress(coord)}` : undefined));
}

// The view to begin with: the place that was on show before, else the layer.
function firstView() {
  const resolutions = config.tiles?.levels.map((level) => level.resolution);
  const extent = config.extent ?? projection.getExtent() ?? [-180, -90, 180, 90];
  const first = new View({
    projection,
    ...(resolutions ? { resolutions, constrainResolution: true } : {}),
    center: [(extent[0] + extent[2]) / 2, (extent[1] + extent[3]) / 2],
    resolution: fitting(box, projection, extent, resolutions),
    enableRotation: false,
    showFullExtent: true,
  });
  if (config.view) {
    first.setCenter(config.view.center);
    first.setResolution(config.view.resolution);
  }
  return first;
}

const view = firstView();
let layer = makeLayer('map');
const map = makeMap(box, view, layer, config.background);

let underway = 0;
let failures = 0;
function progress(begun, failed) {
  underway = Math.max(0, underway + begun);
  failures += failed;
  element('progress').hidden = underway === 0;
  if (failures) element('status').textContent = failures === 1 ? 'A request failed.' : `${failures} requests failed.`;
}
watch(layer, progress);

// Another choice of what does not change the place: the layer is made anew.
function renew() {
  const pieces = document.querySelector('input[name=pieces]:checked')?.value;
  const layers = map.getLayers();
  layer = makeLayer(pieces);
  failures = 0;
  element('status').textContent = '';
  watch(layer, progress);
  layers.setAt(layers.getLength() - 1, layer);
  describe();
  if (asked) ask(asked);
}

// What the view is, in numbers.

const digits = config.projection.geographic ? 5 : 1;
// Never “-0”, which rounding may leave.
const number = (value) => String(Number(value.toFixed(digits)) + 0);
const place = (position) => position.map(number).join(', ');
const unit = config.projection.geographic ? '°' : config.projection.meters_per_unit === 1 ? 'm' : 'units';

function described(center, resolution) {
  if (config.wms) return [`service?${wmsQuery('GetMap')}`];
  if (config.map) {
    const [width, height] = map.getSize();
    const bbox = view.calculateExtent([width, height]).map((edge) => Number(edge.toPrecision(12)));
    return [collectionMap(bbox, Math.round(width), Math.round(height))];
  }
  const level = tileGrid.getZForResolution(resolution);
  element('level-row').hidden = false;
  element('level').textContent = config.tiles.levels[level].id;
  const values = tileValues([0, 0, 0]);
  for (const name of ['z', 'x', 'y']) delete values[name];
  return [tileAddress(tileGrid.getTileCoordForCoordAndZ(center, level)), fill(manner().path, values)];
}

function describe() {
  const center = view.getCenter();
  const resolution = view.getResolution();
  if (!center || !resolution || !map.getSize()) return;
  element('center').textContent = place(center);
  element('pixel').textContent = `${Number(resolution.toPrecision(5))} ${unit}`;
  const [open, template] = described(center, resolution);
  element('address').textContent = `${config.base}/${template ?? open}`;
  element('open').href = `../${open}`;
  keepPlace([...center, resolution].map((value) => Number(value.toPrecision(12))).join(','));
}

// The page's own address, its forms and the links to other services keep the place.
function keepPlace(at) {
  for (const field of document.querySelectorAll('input[name=view]')) {
    field.value = at;
    field.disabled = false;
  }
  const from = projection.getCode();
  for (const link of document.querySelectorAll('[data-keeps-place]')) {
    const address = new URL(link.href);
    address.searchParams.set('view', at);
    address.searchParams.set('from', from);
    link.href = address.href;
  }
  const address = new URL(location.href);
  address.searchParams.delete('of');
  for (const field of choice.querySelectorAll('select')) address.searchParams.set(field.name, field.value);
  address.searchParams.set('view', at);
  address.searchParams.set('from', from);
  history.replaceState(null, '', address);
}
map.on('moveend', describe);
map.on('change:size', describe);

// Where the pointer is.

const position = element('position');
map.on('pointermove', (event) => {
  position.hidden = event.dragging;
  position.textContent = `${place(event.coordinate)} ${config.projection.geographic ? '°' : ''}`.trim();
});
box.addEventListener('pointerleave', () => (position.hidden = true));

// The choices take effect at once.

choice.addEventListener('change', ({ target }) => ('inPlace' in target.dataset ? renew() : choice.submit()));
for (const radio of document.querySelectorAll('input[name=pieces]')) radio.addEventListener('change', renew);

// A legend that cannot be drawn leaves no broken sign behind.
const legend = element('legend');
const dropLegend = () => legend.replaceWith(note('The legend cannot be drawn.'));
legend?.addEventListener('error', dropLegend);
if (legend?.complete && legend.naturalWidth === 0 && legend.currentSrc) dropLegend();

// What is at a place. `asked` is the place on show, `asking` ends a question that is overtaken.

let asked;
let asking;
const INFO_COUNT = 10;
const INFO_KEPT = 'rhumb.info';
const marker = document.createElement('div');
marker.className = 'marker';

// Browsers may refuse to keep anything.
function remembered() {
  try {
    return localStorage.getItem(INFO_KEPT);
  } catch {
    return null;
  }
}
function remember(label) {
  try {
    localStorage.setItem(INFO_KEPT, label);
  } catch {
    // The next page begins with the first format again.
  }
}

function infoAddress(at) {
  const format = config.info[element('info-format').selectedIndex] ?? config.info[0];
  if (config.wms) {
    const is130 = wmsParameters().VERSION === '1.3.0';
    const [column, row] = map.getPixelFromCoordinate(at).map((pixel) => Math.max(0, Math.floor(pixel)));
    const names = is130 ? { I: column, J: row } : { X: column, Y: row };
    const more = { QUERY_LAYERS: config.wms.layer, INFO_FORMAT: format.mime, FEATURE_COUNT: INFO_COUNT, ...names };
    return `service?${wmsQuery('GetFeatureInfo', more)}`;
  }
  const coord = tileGrid.getTileCoordForCoordAndZ(at, tileGrid.getZForResolution(view.getResolution()));
  const [west, , , north] = tileGrid.getTileCoordExtent(coord);
  const resolution = tileGrid.getResolution(coord[0]);
  const pixel = (distance) => Math.max(0, Math.floor(distance / resolution));
  const info = manner().by_suffix ? format.suffix : plain(format.mime);
  return fill(manner().info, { ...tileValues(coord), i: pixel(at[0] - west), j: pixel(north - at[1]), info });
}

async function ask(at) {
  asked = at;
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  const address = infoAddress(at);
  const answer = element('info-answer');
  element('info').hidden = false;
  element('info').dataset.state = 'asking';
  element('info-place').textContent = place(at);
  element('info-address').textContent = `${config.base}/${address}`;
  element('info-raw').hidden = true;
  answer.replaceChildren(note('Asking…'));
  makeRoom();
  markPlace();
  try {
    const response = await fetch(`../${address}`, { signal });
    const body = await response.text();
    if (signal.aborted) return;
    show(response.ok ? presented(response.headers.get('Content-Type') ?? '', body) : refused(response, body));
    element('info').dataset.state = response.ok ? 'answered' : 'refused';
  } catch (error) {
    if (signal.aborted) return;
    show({ shown: note(`No answer: ${error.message}`) });
    element('info').dataset.state = 'refused';
  }
}

// Exceptions are XML; what they say is all that a reader wants.
function refused(response, body) {
  const text = new DOMParser().parseFromString(body, 'text/xml').documentElement?.textContent.trim();
  return { shown: note(`${response.status}: ${text || body}`.slice(0, 2000)) };
}

function show({ shown, raw }) {
  const answer = element('info-answer');
  const button = element('info-raw');
  answer.replaceChildren(shown);
  answer.scrollTop = 0;
  element('info').scrollIntoView({ block: 'nearest' });
  button.hidden = !raw;
  button.setAttribute('aria-pressed', 'false');
  button.onclick = () => {
    const isRaw = button.getAttribute('aria-pressed') === 'false';
    button.setAttribute('aria-pressed', String(isRaw));
    answer.replaceChildren(isRaw ? raw : shown);
  };
}

// The card stays off the place that it speaks of, and in sight.
function makeRoom() {
  const [x] = map.getPixelFromCoordinate(asked);
  element('info').classList.toggle('aside', x < map.getSize()[0] / 2);
  element('info').scrollIntoView({ block: 'nearest' });
}

function markPlace() {
  const pixel = asked && map.getPixelFromCoordinate(asked);
  marker.hidden = !pixel;
  if (pixel) marker.style.transform = `translate(${pixel[0]}px, ${pixel[1]}px)`;
}

function closeInfo() {
  asking?.abort();
  asked = undefined;
  element('info').hidden = true;
  markPlace();
}

if (element('info') && config.info.length) {
  const formats = element('info-format');
  formats.append(...config.info.map(({ label }) => new Option(label)));
  const kept = config.info.findIndex(({ label }) => label === remembered());
  formats.selectedIndex = Math.max(0, kept);
  formats.addEventListener('change', () => {
    remember(config.info[formats.selectedIndex].label);
    if (asked) ask(asked);
  });
  box.classList.add('queryable');
  map.getOverlayContainer().append(marker);
  marker.hidden = true;
  map.on('singleclick', (event) => ask(event.coordinate));
  map.on('postrender', markPlace);
  element('info-close').addEventListener('click', () => {
    closeInfo();
    box.focus();
  });
  box.parentElement.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && asked) closeInfo();
    if (event.key === 'Enter' && event.target === box) ask(view.getCenter());
  });
}

// For those who look into the page with their browser's console.
window.demo = { map, config };
