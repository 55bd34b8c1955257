// Drives the demo pages of a site with every service, whose maps are painted with their own address, as a visitor would: each
// service shows the right place, pans, zooms, changes layer and system; feature info, legends and dimensions work; whatever the
// configuration and the sources say stays text. services.mjs BASE DIRECTORY PEERS. Ends with 0, or with what is wrong on stderr.

import { join } from 'node:path';
import { SIZES, check, drag, drawn, faint, isNarrow, moveTo, moved, open, ringless, smallTargets, visitAll, watched } from './pages.mjs';
import { misplaced, toMercator } from './painted.mjs';

const [base, directory, peers] = process.argv.slice(2);

// Somewhere in the middle of Germany, in each system, with metres or degrees for a pixel.
const PLACES = {
  'EPSG:3857': [[1_000_000, 6_600_000], 305.7481],
  'EPSG:4326': [[9.1, 50.5], 0.00274658203125],
  'EPSG:25832': [[500_000, 5_650_000], 200],
};

// Each service: a page, what it asks for, another system by which control, another layer.
const VIEWERS = [
  { name: 'wms130', query: 'wms_layer=places&srs=EPSG:3857&version=1.3.0', asks: /\/service\?(?=.*REQUEST=GetMap).*VERSION=1\.3\.0/, control: 'srs', turns: ['EPSG:4326', 'EPSG:25832'], layer: 'weather', as: /LAYERS=weather/, info: true, legend: true },
  { name: 'wms111', query: 'wms_layer=places&srs=EPSG:3857&version=1.1.1', asks: /\/service\?(?=.*REQUEST=GetMap).*VERSION=1\.1\.1/, control: 'srs', turns: ['EPSG:4326', 'EPSG:25832'], layer: 'roads', as: /LAYERS=roads/, info: true, legend: true },
  { name: 'wmts-rest', query: 'wmts_layer=roads&manner=rest', asks: /\/wmts\/roads\/\w+\/default\/\d\d\/\d+\/\d+\.png/, control: 'grid', turns: ['degrees', 'utm32'], layer: 'weather', as: /\/wmts\/weather\/GLOBAL_WEBMERCATOR\/2026-02-01\//, info: true, legend: true },
  { name: 'wmts-kvp', query: 'wmts_layer=roads&manner=kvp', asks: /\/service\?(?=.*REQUEST=GetTile).*LAYER=roads/, control: 'grid', turns: ['degrees', 'utm32'], layer: 'weather', as: /LAYER=weather/, info: true, legend: true },
  { name: 'tms', query: 'tms_layer=roads', asks: /\/tms\/1\.0\.0\/roads\/\w+\/\d+\/\d+\/\d+\.png/, control: 'grid', turns: ['degrees', 'utm32'], layer: 'weather', as: /\/tms\/1\.0\.0\/weather\//, legend: true },
  { name: 'ogc-maps', query: 'ogcapi_map=places&srs=EPSG:3857', asks: /\/ogcapi\/collections\/places\/map\.png\?/, control: 'srs', turns: ['EPSG:4326', 'EPSG:25832'], layer: 'weather', as: /\/collections\/weather\/map\.png/, legend: true },
  { name: 'ogc-tiles', query: 'ogcapi_tiles=roads', asks: /\/ogcapi\/collections\/roads\/map\/tiles\/\w+\/\d+\/\d+\/\d+\.png/, control: 'grid', turns: ['degrees', 'utm32'], layer: 'weather', as: /\/collections\/weather\/map\/tiles\//, legend: true },
];

const codeOf = (page) => page.evaluate(() => window.demo.map.getView().getProjection().getCode());
const shot = (page, name, options) => page.screenshot({ path: join(directory, `${name}.png`), ...options });

// The upper and the lower end of a page with a map, which a picture of the whole page would squeeze.
async function shots(page, name) {
  await shot(page, name);
  await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
  await shot(page, `${name}-lower`);
  await page.evaluate(() => scrollTo(0, 0));
}

async function place(page, what, name) {
  await moveTo(page, ...PLACES[await codeOf(page)]);
  const wrong = await misplaced(page);
  if (wrong) await shot(page, `wrong-${name}`);
  check(!wrong, `${what}: ${wrong}`);
}

// Acts, and waits for the page that comes of it and for its map.
async function turned(page, act) {
  await Promise.all([page.waitForEvent('load'), act()]);
  await page.waitForFunction(() => window.demo);
  await drawn(page);
}

async function view(context, size, viewer) {
  const what = `${viewer.name} at ${size.name}`;
  const page = await watched(context, base, what);
  const asked = [];
  page.on('request', (request) => asked.push(request.url()));
  const asksFor = (pattern, step) => {
    check(asked.some((address) => pattern.test(address)), `${what}: ${step} asks for nothing like ${pattern}`);
    asked.length = 0;
  };
  await open(page, `${base}/demo/?${viewer.query}`);
  asksFor(viewer.asks, 'the page');
  check(await isNarrow(page), `${what}: wider than the window`);
  const small = await smallTargets(page, size.name === 'phone' ? 44 : 36);
  check(small.length === 0, `${what}: too small to press: ${small.join('; ')}`);
  await place(page, what, viewer.name);
  await shots(page, `${viewer.name}-${size.name}`);

  const before = await page.evaluate(() => window.demo.map.getView().getResolution());
  await moved(page, () => page.getByRole('button', { name: 'Zoom in' }).click());
  check(await page.evaluate(() => window.demo.map.getView().getResolution()) < before, `${what}: the button does not zoom`);
  asksFor(viewer.asks, 'zooming in');
  check(!await misplaced(page), `${what}: zoomed in: ${await misplaced(page)}`);
  // Farther than a tile is wide, at the width of a phone too.
  await drag(page);
  await drag(page);
  asksFor(viewer.asks, 'dragging');
  check(!await misplaced(page), `${what}: dragged: ${await misplaced(page)}`);

  for (const turn of viewer.turns) {
    const [was, codeBefore] = [await center(page), await codeOf(page)];
    await turned(page, () => page.locator(`#choice select[name=${viewer.control}]`).selectOption(turn));
    check(await codeOf(page) !== codeBefore, `${what}: ${turn} is no other system`);
    asksFor(viewer.asks, turn);
    const wrong = await misplaced(page);
    check(!wrong, `${what}: ${turn}, from ${was} to ${await center(page)}: ${wrong}`);
    await place(page, `${what} in ${turn}`, `${viewer.name}-${turn.replace(':', '')}`);
  }
  await turned(page, () => page.locator('#choice label.wide select').first().selectOption(viewer.layer));
  asksFor(viewer.as, 'another layer');
  await place(page, `${what}: another layer`, `${viewer.name}-layer`);
  await page.goBack();
  await page.close();
}

const center = (page) => page.evaluate(() => window.demo.map.getView().getCenter().join());

// Clicks the map and waits for an answer.
async function answered(page, act) {
  await page.evaluate(() => (document.getElementById('info').dataset.state = 'none'));
  await act();
  await page.waitForFunction(() => ['answered', 'refused'].includes(document.getElementById('info').dataset.state));
  return page.locator('#info-answer');
}

async function inform(context, size, viewer) {
  const what = `feature info of ${viewer.name} at ${size.name}`;
  const page = await watched(context, base, what);
  await page.goto(`${base}/demo/`);
  await page.evaluate(() => localStorage.clear());
  await open(page, `${base}/demo/?${viewer.query}`);
  await moveTo(page, ...PLACES['EPSG:3857']);
  const box = await page.locator('#map').boundingBox();
  const answer = await answered(page, () => page.mouse.click(box.x + box.width * 0.7, box.y + box.height * 0.3));
  check(await page.locator('#info').isVisible(), `${what}: no answer opens`);
  check((await answer.textContent()).includes('Autobahn 66'), `${what}: HTML: ${await answer.textContent()}`);
  check(await answer.locator('table tr').count() === 3, `${what}: the table is lost`);
  check(await answer.locator('script, style, img, iframe, form, input, svg, [style], [onclick], [onload]').count() === 0, `${what}: markup of the source is in the page`);
  check(await answer.locator('a').evaluateAll((links) => links.map((link) => link.href).join()) === 'https://example.org/a66', `${what}: links of the source`);
  check(await isNarrow(page), `${what}: wider than the window`);
  await shot(page, `info-${viewer.name}-${size.name}`);
  await page.getByRole('button', { name: 'As it came' }).click();
  check((await answer.locator('pre').textContent()).includes('<script>alert(1)</script>'), `${what}: not as it came`);
  const formats = page.locator('#info-format');
  await answered(page, () => formats.selectOption('JSON'));
  check(await answer.locator('table').count() === 2, `${what}: not a table for each feature`);
  check((await answer.textContent()).includes('<img src=x'), `${what}: JSON: ${await answer.textContent()}`);
  await shot(page, `info-json-${viewer.name}-${size.name}`);
  await answered(page, () => formats.selectOption('Text'));
  check((await answer.locator('pre').textContent()).includes("<b>'A 66'</b>"), `${what}: text: ${await answer.textContent()}`);
  await page.getByRole('button', { name: 'Close' }).click();
  check(await page.locator('#info').isHidden(), `${what}: does not close`);
  // The keyboard: Enter asks about the middle, Escape closes.
  await page.locator('#map').focus();
  await answered(page, () => page.keyboard.press('Enter'));
  check(await page.locator('#info').isVisible(), `${what}: Enter asks nothing`);
  // The kind of answer is remembered.
  check((await answer.textContent()).includes('query_layers'), `${what}: the last format is forgotten`);
  await page.keyboard.press('Escape');
  check(await page.locator('#info').isHidden(), `${what}: Escape does not close`);
  check(await page.evaluate(() => document.activeElement.id) === 'map', `${what}: the focus is lost`);
  await page.close();
}

// The answer is about the place that was clicked: the source tells which it was asked about.
async function pointAtPlaces(context, size) {
  for (const query of ['wms_layer=places&srs=EPSG:4326&version=1.3.0', 'wms_layer=places&srs=EPSG:25832&version=1.1.1', 'wmts_layer=roads&manner=rest', 'wmts_layer=roads&manner=kvp']) {
    const what = `${query} at ${size.name}`;
    const page = await watched(context, base, what);
    await open(page, `${base}/demo/?${query}`);
    await moveTo(page, ...PLACES[await codeOf(page)]);
    const box = await page.locator('#map').boundingBox();
    const [x, y] = [Math.round(box.width * 0.8), Math.round(box.height * 0.2)];
    const answer = await answered(page, () => page.mouse.click(box.x + x, box.y + y));
    await answered(page, () => page.locator('#info-format').selectOption('Text'));
    const text = await answer.textContent();
    const told = Object.fromEntries(text.match(/bbox=[\d.,-]+|[xy]=[\d.]+|width=\d+|height=\d+/g).map((pair) => pair.split('=')));
    const [west, south, east, north] = told.bbox.split(',').map(Number);
    const at = [west + (east - west) * (Number(told.x) + 0.5) / told.width, north - (north - south) * (Number(told.y) + 0.5) / told.height];
    const wanted = await page.evaluate(([px, py]) => window.demo.map.getCoordinateFromPixel([px, py]), [x, y]);
    const mercator = await page.evaluate(() => window.demo.map.getView().getResolution());
    const [wx, wy] = toMercator(await codeOf(page), wanted);
    check(Math.hypot(at[0] - wx, at[1] - wy) < 1500, `${what}: asked about ${at} for ${[wx, wy]} (${mercator}): ${text}`);
    await page.close();
  }
}

async function readable(page, what) {
  const found = await faint(page);
  check(found.length === 0, `${what}: faint: ${found.join('; ')}`);
}

async function lookAround(context, size) {
  const what = `looking around at ${size.name}`;
  const page = await watched(context, base, what);
  // A legend, whom to thank, an address to copy, coordinates under the pointer.
  await open(page, `${base}/demo/?wms_layer=roads`);
  await page.locator('#legend').scrollIntoViewIfNeeded();
  await page.waitForFunction(() => document.getElementById('legend').naturalWidth > 0);
  check(await page.locator('.credit').textContent() === '© The <i>Road</i> Office', `${what}: the credit is ${await page.locator('.credit').textContent()}`);
  check(await page.locator('.about').textContent() === 'Every road, </script><script>alert(2)</script> and where it leads.', `${what}: the abstract is not text`);
  check((await page.locator('h1').textContent()).includes('<img src=x onerror=alert(1)>'), `${what}: the title is not text`);
  // In the other scheme of colours, by the keyboard.
  await readable(page, what);
  await shots(page, `looks-dark-${size.name}`);
  check((await ringless(page, 20)).length === 0, `${what}: no ring shows the focus`);
  await page.locator('#map').hover();
  check(/^-?[\d.]+, -?[\d.]+$/.test(await page.locator('#position').textContent()), `${what}: no coordinates under the pointer`);
  const opened = await page.locator('#open').evaluate(async (link) => {
    const reply = await fetch(link.href);
    return `${reply.status} ${reply.headers.get('content-type')}`;
  });
  check(opened === '200 image/png', `${what}: the address of the map gives ${opened}`);
  // The page's own address brings the place back.
  await moveTo(page, ...PLACES['EPSG:3857']);
  const [address, was] = [page.url(), await center(page)];
  await open(page, address);
  check(await center(page) === was, `${what}: the address brings ${await center(page)}, not ${was}`);
  // The same layer at the same place in every other service.
  for (const service of ['WMTS', 'TMS', 'OGC API Maps', 'OGC API Tiles', 'WMS']) {
    await turned(page, () => page.locator('nav.switches').getByRole('link', { name: service, exact: true }).click());
    check(await center(page) === was, `${what}: ${service} shows ${await center(page)}, not ${was}`);
    check(await page.locator('nav.switches [aria-current]').textContent() === service, `${what}: ${service} is not on show`);
  }
  await page.close();
}

// Another value of a dimension is another request, in each service that has dimensions.
async function choose(context, size) {
  for (const [query, pattern] of [
    ['wms_layer=weather', /REQUEST=GetMap.*TIME=2026-03-01/],
    ['wmts_layer=weather&manner=rest', /\/wmts\/weather\/GLOBAL_WEBMERCATOR\/2026-03-01\//],
    ['wmts_layer=weather&manner=kvp', /time=2026-03-01/],
  ]) {
    const page = await watched(context, base, `${query} at ${size.name}`);
    await open(page, `${base}/demo/?${query}`);
    const asks = page.waitForRequest(pattern);
    await page.getByLabel('time').selectOption('2026-03-01');
    await asks;
    await drawn(page);
    check(page.url().includes('2026-03-01'), `${query}: the page's address forgets the choice`);
    const reload = page.waitForRequest(pattern);
    await page.reload();
    await reload;
    await drawn(page);
    await page.close();
  }
}

// The start page: every layer, a filter, ways to the viewers.
async function start(context, size) {
  const what = `the start page at ${size.name}`;
  const page = await watched(context, base, what);
  await page.goto(`${base}/demo/`, { waitUntil: 'networkidle' });
  check(await page.locator('.layer').count() === 4, `${what}: ${await page.locator('.layer').count()} layers`);
  check(await isNarrow(page), `${what}: wider than the window`);
  const small = await smallTargets(page, size.name === 'phone' ? 44 : 36);
  check(small.length === 0, `${what}: too small to press: ${small.join('; ')}`);
  await shot(page, `services-start-${size.name}`, { fullPage: true });
  await readable(page, what);
  const links = await page.locator('a[href^="?"], a[href^="../"]').evaluateAll((all) => all.map((link) => link.href));
  for (const link of new Set(links)) {
    const reply = await page.request.get(link);
    check(reply.status() === 200, `${what}: ${link} gives ${reply.status()}`);
  }
  // Documents of every service are there to be read.
  await page.locator('a', { hasText: 'read' }).first().click();
  const pages = await page.locator('nav.switches a').evaluateAll((all) => all.map((link) => link.href));
  check(pages.length >= 7, `${what}: only ${pages.length} documents`);
  for (const [at, address] of pages.entries()) {
    await page.goto(address);
    check((await page.locator('pre').textContent()).length > 500, `${what}: ${address} is empty`);
    check(await page.locator('nav.switches [aria-current]').count() === 1, `${what}: ${address} is not marked`);
    check(await isNarrow(page), `${what}: ${address} is wider than the window`);
    if (at > 0) continue;
    await shot(page, `services-capabilities-${size.name}`);
    await readable(page, `${what}: ${address}`);
  }
  await page.close();
}

// The pages of the OGC API look and feel the same: maps that zoom, and no page wider than the window.
async function standard(context, size) {
  const what = `the OGC API's pages at ${size.name}`;
  const page = await watched(context, base, what);
  for (const [name, path] of [['landing', ''], ['collections', '/collections'], ['conformance', '/conformance'], ['sets', '/tileMatrixSets'], ['set', '/tileMatrixSets/utm32'], ['tilesets', '/collections/roads/map/tiles'], ['api', '/api']]) {
    await page.goto(`${base}/ogcapi${path}?f=html`, { waitUntil: 'networkidle' });
    check(await isNarrow(page), `${what}: ${path} is wider than the window`);
    const small = await smallTargets(page, size.name === 'phone' ? 44 : 36);
    check(small.length === 0, `${what}: ${path}: too small to press: ${small.slice(0, 5).join('; ')}`);
    await shot(page, `ogcapi-${name}-${size.name}`, { fullPage: name !== 'api' });
    await readable(page, `${what}: ${path}`);
  }
  for (const [name, path, pattern] of [
    ['collection', '/collections/roads', /\/collections\/roads\/map\.png/],
    ['tileset', '/collections/roads/map/tiles/degrees', /\/map\/tiles\/degrees\/\d+\/\d+\/\d+\.png/],
  ]) {
    await open(page, `${base}/ogcapi${path}?f=html`);
    check(await isNarrow(page), `${what}: ${path} is wider than the window`);
    const asks = page.waitForRequest(pattern);
    await moved(page, () => page.getByRole('button', { name: 'Zoom in' }).click());
    await asks;
    const code = await page.evaluate(() => window.ogcapi.map.getView().getProjection().getCode());
    await moveTo(page, ...PLACES[code]);
    const wrong = await misplaced(page);
    check(!wrong, `${what}: ${path}: ${wrong}`);
    await shots(page, `ogcapi-${name}-${size.name}`);
  }
  await page.close();
}

await visitAll(peers, SIZES, async (context, size) => {
  await start(context, size);
  await lookAround(context, size);
  await choose(context, size);
  for (const viewer of VIEWERS) await view(context, size, viewer);
  for (const viewer of VIEWERS.filter(({ info }) => info)) await inform(context, size, viewer);
  if (size.name === 'desk') await pointAtPlaces(context, size);
  await standard(context, size);
});
