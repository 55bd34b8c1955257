// Drives the demo pages in headless Chromium as a visitor would: maps appear, zoom and pan, at the width of a desk and of a phone.
// demo.mjs BASE DIRECTORY: the address of the site, and where screenshots go. Ends with 0, or with what is wrong on stderr.
// Waits for what the page does (responses, OpenLayers' rendercomplete), never for a time.

import { createRequire } from 'node:module';
import { join } from 'node:path';

const [base, directory, peers] = process.argv.slice(2);
const { chromium } = createRequire(join(peers, 'package.json'))('playwright-core');

const SIZES = [
  { name: 'desk', viewport: { width: 1280, height: 800 }, colorScheme: 'light' },
  { name: 'phone', viewport: { width: 390, height: 844 }, colorScheme: 'dark', deviceScaleFactor: 2, isMobile: true, hasTouch: true },
];
const VIEWERS = [
  { name: 'wms', query: 'wms_layer=world&format=png&srs=EPSG:3857', asks: /\/service\?.*REQUEST=GetMap/ },
  { name: 'wms-laea', query: 'wms_layer=world&format=png&srs=EPSG:3035', asks: /\/service\?.*CRS=EPSG(:|%3A)3035/ },
  { name: 'wmts', query: 'wmts_layer=world&format=png&srs=EPSG:3857', asks: /\/wmts\/world\/world\/\d+\/\d+\/\d+\.png/ },
  { name: 'tms', query: 'tms_layer=world&format=png&srs=EPSG:3857', asks: /\/tms\/1\.0\.0\/world\/world\/\d+\/\d+\/\d+\.png/ },
];
// Shares of the picture's pixels. Water is one colour, all tints of land are pale.
const SHARE_MIN = 0.03;

const faults = [];
const check = (is, what) => is || faults.push(what);

// Waits until the map has drawn all that its view asks for.
const drawn = (page) => page.evaluate(() => new Promise((resolve) => {
  const { map } = window.demo;
  map.once('rendercomplete', resolve);
  // Even where nothing has changed the map draws once more and tells.
  map.render();
}));

// Waits until the view has come to rest after `act`, and all is drawn.
async function moved(page, act) {
  await page.evaluate(() => {
    window.rest = new Promise((resolve) => window.demo.map.once('moveend', resolve));
  });
  await act();
  await page.evaluate(() => window.rest);
  await drawn(page);
}

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
  const page = await watched(context, what);
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

  await page.goto(`${base}/demo/?${viewer.query}`);
  await page.waitForFunction(() => window.demo);
  await drawn(page);
  const first = await look(page);
  check(news() > 0, `${what}: no request for the map`);
  check(first.water > SHARE_MIN && first.land > SHARE_MIN, `${what}: the map shows ${JSON.stringify(first)}`);
  check(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${what}: wider than the window`);
  await page.screenshot({ path: join(directory, `${viewer.name}-${size.name}.png`), fullPage: true });

  const zoomOf = () => page.evaluate(() => window.demo.map.getView().getResolution());
  const before = await zoomOf();
  await moved(page, () => page.getByRole('button', { name: 'Zoom in' }).click());
  check(await zoomOf() < before, `${what}: the button does not zoom`);
  const near = await look(page);
  check(news() > 0 && near.digest !== first.digest, `${what}: zooming in asks for nothing new`);

  const box = await page.locator('#map').boundingBox();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  await moved(page, async () => {
    await page.mouse.move(x, y);
    await page.mouse.down();
    await page.mouse.move(x - box.width / 4, y + 20, { steps: 4 });
    await page.mouse.move(x - box.width / 2.5, y + 40, { steps: 4 });
    await page.mouse.up();
  });
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
  const page = await watched(context, `the start page at ${size.name}`);
  await page.goto(`${base}/demo/`, { waitUntil: 'networkidle' });
  check(await page.locator('.picture img').evaluate((image) => image.naturalWidth > 0), `${size.name}: no picture of the layer`);
  check(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${size.name}: the start page is wider than the window`);
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

// A page of which every complaint, failure and foreign request is a fault.
async function watched(context, what) {
  const page = await context.newPage();
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) faults.push(`${what}: console: ${message.text()}`);
  });
  page.on('pageerror', (error) => faults.push(`${what}: ${error.message}`));
  page.on('response', (response) => check(response.status() < 400, `${what}: ${response.status()} ${response.url()}`));
  page.on('request', (request) => {
    const address = new URL(request.url());
    const isOwn = address.origin === new URL(base).origin || ['data:', 'blob:'].includes(address.protocol);
    check(isOwn, `${what}: asks another host: ${request.url()}`);
  });
  return page;
}

const browser = await chromium.launch({ executablePath: process.env.RHUMB_CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
try {
  for (const { name, ...options } of SIZES) {
    const context = await browser.newContext(options);
    await stroll(context, { name });
    for (const viewer of VIEWERS) await view(context, { name }, viewer);
    await context.close();
  }
} finally {
  await browser.close();
}
if (faults.length) {
  console.error(faults.join('\n'));
  process.exit(1);
}
