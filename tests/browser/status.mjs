// Looks at the status page in headless Chromium, at the width of a desk and of a phone, in light and in dark.
// status.mjs ADMIN SITE DIRECTORY PEERS: the admin address, that of the maps, where screenshots go, where playwright lies.
// Ends with 0, or with what is wrong on stderr. Waits for what the page does, never for a time.

import { createRequire } from 'node:module';
import { join } from 'node:path';

const [admin, site, directory, peers] = process.argv.slice(2);
const { chromium } = createRequire(join(peers, 'package.json'))('playwright-core');

const SIZES = [
  { name: 'desk', viewport: { width: 1280, height: 800 }, colorScheme: 'light' },
  { name: 'phone', viewport: { width: 390, height: 844 }, colorScheme: 'dark', deviceScaleFactor: 2, isMobile: true, hasTouch: true },
];

const faults = [];
const check = (is, what) => is || faults.push(what);

async function view(context, size) {
  const page = await context.newPage();
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) faults.push(`${size}: console: ${message.text()}`);
  });
  page.on('pageerror', (error) => faults.push(`${size}: ${error.message}`));
  page.on('request', (request) => {
    const own = [new URL(admin).origin, 'null'].includes(new URL(request.url()).origin);
    check(own, `${size}: asks another host: ${request.url()}`);
  });
  const drawn = (times) => page.waitForFunction((n) => Number(document.documentElement.dataset.drawn || 0) >= n, times);

  await page.goto(`${admin}/status`);
  // At once, from what the page brings along.
  check(await page.locator('#state').textContent() === 'serving', `${size}: no state at once`);
  check(await page.locator('#workers tbody tr').count() === 2, `${size}: not two workers`);
  await drawn(2);
  const before = await page.locator('#services tbody').textContent();
  for (let n = 0; n < 40; n += 1) await fetch(`${site}/wmts/painted/GLOBAL_WEBMERCATOR/05/${n % 12}/11.png`);
  // The page sees it by itself.
  await page.waitForFunction((old) => document.querySelector('#services tbody').textContent !== old, before);
  await drawn(4);
  check(/^\d/.test(await page.locator('#rate').textContent()), `${size}: no rate`);
  check(/%/.test(await page.locator('#share').textContent()), `${size}: no share of the cache`);
  check(/ms|s/.test(await page.locator('#slow').textContent()), `${size}: no latency`);
  const layers = await page.locator('#layers tbody').textContent();
  check(layers.includes('painted'), `${size}: layers: ${layers}`);
  check((await page.locator('#sources tbody').textContent()).includes('mock'), `${size}: no source`);
  const reload = await page.locator('#reload').textContent();
  check(reload.includes('Refused') && reload.includes('no<script>'), `${size}: last reload: ${reload}`);
  check(await page.locator('#chart polyline').count() === 1, `${size}: no line in the chart`);
  check(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${size}: wider than the window`);
  const cut = await page.evaluate(() => [...document.querySelectorAll('.card')]
    .filter((card) => card.scrollWidth > card.clientWidth + 1).map((card) => card.textContent.slice(0, 40)));
  check(cut.length === 0, `${size}: cards too narrow for what is in them: ${cut.join(' | ')}`);
  await page.screenshot({ path: join(directory, `status-${size}.png`), fullPage: true });
  await page.close();
}

const browser = await chromium.launch({ executablePath: process.env.RHUMB_CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
try {
  for (const { name, ...options } of SIZES) {
    const context = await browser.newContext(options);
    await view(context, name);
    await context.close();
  }
} finally {
  await browser.close();
}
if (faults.length) {
  console.error(faults.join('\n'));
  process.exit(1);
}
