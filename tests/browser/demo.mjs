// Drives the demo pages in headless Chromium as a visitor would: maps appear, zoom and pan, at the width of a desk and of a phone.
// demo.mjs BASE DIRECTORY: the address of the site, and where screenshots go. Ends with 0, or with what is wrong on stderr.
// Waits for what the page does (responses, OpenLayers' rendercomplete), never for a time.

import { join } from 'node:path';
import { SIZES, check, drag, drawn, isNarrow, moved, open, visitAll, watched } from './pages.mjs';

const [base, directory, peers] = process.argv.slice(2);

const VIEWERS = [
  { name: 'wms', query: 'wms_layer=world&format=png&srs=EPSG:3857', asks: /\/service\?.*REQUEST=GetMap/ },
  { name: 'wms-laea', query: 'wms_layer=world&format=png&srs=EPSG:3035', asks: /\/service\?.*CRS=EPSG(:|%3A)3035/ },
  { name: 'wmts', query: 'wmts_layer=world&format=png&srs=EPSG:3857', asks: /\/wmts\/world\/world\/\d+\/\d+\/\d+\.png/ },
  { name: 'tms', query: 'tms_layer=world&format=png&srs=EPSG:3857', asks: /\/tms\/1\.0\.0\/world\/world\/\d+\/\d+\/\d+\.png/ },
];
// Shares of the picture's pixels. Water is one colour, all tints of land are pale.
const SHARE_MIN = 0.03;

// What the map shows: shares of water and land, and a digest of its pixels.
const look = (page) => page.evaluate(() => {
  const sheet = document.createElement('canvas');
  const [width, height] = [sheet.width, sheet.height] = window.demo.map.getSize();
  const context = sheet.getContext('2d');
  const frame = window.demo.map.getTargetElement().getBoundingClientRect();
  for (const canvas of document.querySelectorAll('#map canvas')) {
    const place = canvas.getBoundingClientRect();
    context.drawImage(canvas, place.x - frame.x, place.y - frame.y, place.width, place.height);
  }
  const { data } = context.getImageData(0, 0, width, height);
  let [water, land, digest] = [0, 0, 0];
  for (let at = 0; at < data.length; at += 4) {
    const [red, green, blue, alpha] = data.subarray(at, at + 4);
    if (Math.abs(red - 170) < 12 && Math.abs(green - 206) < 12 && Math.abs(blue - 224) < 12) water += 1;
    else if (alpha === 255 && red > 220 && green > 215) land += 1;
    digest = (Math.imul(digest, 31) + (red << 16) + (green << 8) + blue) | 0;
  }
  return { water: water / (width * height), land: land / (width * height), digest };
});

async function view(context, size, viewer) {
  const what = `${viewer.name} at ${size.name}`;
  const page = await watched(context, base, what);
  let asked = [];
  page.on('request', (request) => viewer.asks.test(request.url()) && asked.push(request.url()));
  // What a step asked for since the last one; each must ask for something new.
  const seen = new Set();
  const news = () => {
    const fresh = asked.filter((address) => !seen.has(address));
    fresh.forEach((address) => seen.add(address));
    asked = [];
    return fresh.length;
  };

  await open(page, `${base}/demo/?${viewer.query}`);
  const first = await look(page);
  check(news() > 0, `${what}: no request for the map`);
  check(first.water > SHARE_MIN && first.land > SHARE_MIN, `${what}: the map shows ${JSON.stringify(first)}`);
  check(await isNarrow(page), `${what}: wider than the window`);
  await page.screenshot({ path: join(directory, `${viewer.name}-${size.name}.png`) });

  const zoomOf = () => page.evaluate(() => window.demo.map.getView().getResolution());
  const before = await zoomOf();
  await moved(page, () => page.getByRole('button', { name: 'Zoom in' }).click());
  check(await zoomOf() < before, `${what}: the button does not zoom`);
  const near = await look(page);
  check(news() > 0 && near.digest !== first.digest, `${what}: zooming in asks for nothing new`);

  await drag(page);
  const far = await look(page);
  check(news() > 0 && far.digest !== near.digest, `${what}: dragging asks for nothing new`);
  check(far.water + far.land > 0.5, `${what}: after dragging the map shows ${JSON.stringify(far)}`);

  await page.locator('#map').focus();
  const center = () => page.evaluate(() => window.demo.map.getView().getCenter().join());
  const at = await center();
  await moved(page, () => page.keyboard.press('ArrowUp'));
  check(await center() !== at, `${what}: arrow keys do not pan`);
  await page.screenshot({ path: join(directory, `${viewer.name}-${size.name}-moved.png`) });
  await page.close();
}

// The start page leads to a map; another system keeps the place; another format is asked for at once.
async function stroll(context, size) {
  const page = await watched(context, base, `the start page at ${size.name}`);
  await page.goto(`${base}/demo/`, { waitUntil: 'networkidle' });
  check(await page.locator('.picture img').evaluate((image) => image.naturalWidth > 0), `${size.name}: no picture of the layer`);
  check(await isNarrow(page), `${size.name}: the start page is wider than the window`);
  await page.screenshot({ path: join(directory, `start-${size.name}.png`), fullPage: true });
  await page.locator('.maps select').selectOption('EPSG:4326');
  await page.getByRole('button', { name: 'jpeg' }).click();
  await page.waitForFunction(() => window.demo);
  await moved(page, () => page.evaluate(() => {
    window.demo.map.getView().setCenter([8.5, 47.4]);
    window.demo.map.getView().setResolution(0.01);
  }));
  await Promise.all([
    page.waitForURL(/EPSG(:|%3A)2056/),
    page.locator('#choice select[name=srs]').selectOption('EPSG:2056'),
  ]);
  await page.waitForFunction(() => window.demo);
  await drawn(page);
  const [east, north] = await page.evaluate(() => window.demo.map.getView().getCenter());
  check(Math.hypot(east - 2_680_000, north - 1_250_000) < 5_000, `${size.name}: the place is lost: ${east}, ${north}`);
  const asks = page.waitForRequest(/FORMAT=image(\/|%2F)webp/);
  await page.locator('#choice select[name=format]').selectOption('webp');
  await asks;
  await drawn(page);
  const open = await page.getByRole('link', { name: 'Open' }).evaluate(async (link) => {
    const reply = await fetch(link.href);
    return `${reply.status} ${reply.headers.get('content-type')}`;
  });
  check(open === '200 image/webp', `${size.name}: the address of the map gives ${open}`);
  await page.goto(`${base}/demo/?wms_capabilities`);
  check((await page.locator('pre').textContent()).includes('<WMS_Capabilities'), `${size.name}: no capabilities`);
  await page.screenshot({ path: join(directory, `capabilities-${size.name}.png`) });
  await page.close();
}

await visitAll(peers, SIZES, async (context, size) => {
  await stroll(context, size);
  for (const viewer of VIEWERS) await view(context, size, viewer);
});
