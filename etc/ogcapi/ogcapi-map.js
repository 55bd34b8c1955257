// The map of a collection or of its tiles, asked for as the OGC API says.

import { View } from './openlayers/ol.js';
import { collectionAddress, collectionLayer, fill, fitting, makeMap, projectionOf, tileGridOf, tileLayer, tileNumbers } from './map.js';
import './copy.js';

const config = JSON.parse(document.getElementById('config').textContent);
const box = document.getElementById('map');
const projection = projectionOf({ ...config.projection, extent: config.tiles?.extent });

const mapAddress = (bbox, width, height) =>
  collectionAddress({ path: config.map, crs: config.crs }, config.projection.north_first, bbox, width, height);
const tileAddress = (coord) => fill(config.tiles.address, tileNumbers(config.tiles, coord));
const tileGrid = config.tiles && tileGridOf(config.tiles);

const { extent } = config;
const resolutions = config.tiles?.levels.map((level) => level.resolution);
const view = new View({
  projection,
  center: [(extent[0] + extent[2]) / 2, (extent[1] + extent[3]) / 2],
  resolution: fitting(box, projection, extent, resolutions),
  ...(resolutions ? { resolutions, constrainResolution: true } : {}),
  enableRotation: false,
  showFullExtent: true,
});
const layer = config.tiles
  ? tileLayer(projection, tileGrid, (coord) => coord && tileAddress(coord))
  : collectionLayer(projection, mapAddress);
const map = makeMap(box, view, layer, config.background);

function describe() {
  const size = map.getSize();
  const center = view.getCenter();
  if (!size || !center) return;
  let address;
  if (config.tiles) {
    address = tileAddress(tileGrid.getTileCoordForCoordAndZ(center, tileGrid.getZForResolution(view.getResolution())));
  } else {
    const bbox = view.calculateExtent(size).map((edge) => Number(edge.toPrecision(12)));
    address = mapAddress(bbox, Math.round(size[0]), Math.round(size[1]));
  }
  document.getElementById('address').textContent = address;
  document.getElementById('open').href = address;
}
map.on('moveend', describe);

// For those who look into the page with their browser's console.
window.ogcapi = { map, config };
