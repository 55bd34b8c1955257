// What the browser tests have in common: the browser, its sizes, pages of which every complaint is a fault, and ways to wait for
// what a map does (OpenLayers' rendercomplete), never for a time.

import { createRequire } from 'node:module';
import { join } from 'node:path';

export const SIZES = [
  { name: 'desk', viewport: { width: 1280, height: 800 }, colorScheme: 'light' },
  { name: 'phone', viewport: { width: 390, height: 844 }, colorScheme: 'dark', deviceScaleFactor: 2, isMobile: true, hasTouch: true },
];

// What a page promises, or a fault: nothing here waits for ever. Long, as the daemon may be an unoptimised build on a busy machine.
const PATIENCE_MS = 120_000;

export const faults = [];
export const check = (is, what) => is || faults.push(what);

// Runs `visit(context, size)` at every size and ends the process: with 0, or with what is wrong on stderr.
export async function visitAll(peers, sizes, visit) {
  const { chromium } = createRequire(join(peers, 'package.json'))('playwright-core');
  const browser = await chromium.launch({ executablePath: process.env.RHUMB_CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
  try {
    for (const { name, ...options } of sizes) {
      const context = await browser.newContext(options);
      await visit(context, { name });
      await context.close();
    }
  } catch (error) {
    faults.push(error.stack);
  } finally {
    await browser.close();
  }
  if (faults.length) {
    console.error(faults.join('\n'));
    process.exit(1);
  }
}

// A page of which every complaint, failure and foreign request is a fault. A status of 400 and more is one unless `expects` says so.
export async function watched(context, base, what, expects = () => false) {
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.on('console', (message) => {
    const isExpected = message.text().startsWith('Failed to load resource') && expects(message.location().url);
    if (['error', 'warning'].includes(message.type()) && !isExpected) faults.push(`${what}: console: ${message.text()} ${message.location().url}`);
  });
  page.on('pageerror', (error) => faults.push(`${what}: ${error.message}`));
  page.on('dialog', (dialog) => {
    faults.push(`${what}: a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on('response', (response) => check(response.status() < 400 || expects(response.url()), `${what}: ${response.status()} ${response.url()}`));
  page.on('request', (request) => {
    const address = new URL(request.url());
    const isOwn = address.origin === new URL(base).origin || ['data:', 'blob:', 'about:'].includes(address.protocol);
    check(isOwn, `${what}: asks another host: ${request.url()}`);
  });
  return page;
}

// Opens a page with a map, `window.demo` or `window.ogcapi`, and waits until it is drawn.
export async function open(page, address) {
  await page.goto(address);
  await page.waitForFunction(() => window.demo ?? window.ogcapi);
  await drawn(page);
}

async function within(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${PATIENCE_MS} ms for ${what}`)), PATIENCE_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

// Waits until the map has drawn all that its view asks for. (With nothing to tell: an event of the map leads to all that it has, which
// is too much to be carried out of the page.)
export const drawn = (page) => within(`${page.url()} to be drawn`, page.evaluate(() => new Promise((resolve) => {
  const { map } = window.demo ?? window.ogcapi;
  map.once('rendercomplete', () => resolve());
  // Even where nothing has changed the map draws once more and tells.
  map.render();
})));

// Waits until the view has come to rest after `act`, which moves it, and all is drawn.
export async function moved(page, act) {
  await page.evaluate(() => {
    window.rest = new Promise((resolve) => (window.demo ?? window.ogcapi).map.once('moveend', () => resolve()));
  });
  await act();
  await within(`the map of ${page.url()} to move`, page.evaluate(() => window.rest));
  await drawn(page);
}

// Moves the view as a visitor's address would; it may be there already.
export async function moveTo(page, center, resolution) {
  await page.evaluate(([to, at]) => {
    const view = (window.demo ?? window.ogcapi).map.getView();
    view.setCenter(to);
    view.setResolution(at);
  }, [center, resolution]);
  await drawn(page);
}

// Drags the map to the left by two fifths of its width.
export async function drag(page) {
  const box = await page.locator('#map').boundingBox();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 3];
  await moved(page, async () => {
    await page.mouse.move(x, y);
    await page.mouse.down();
    await page.mouse.move(x - box.width / 4, y + 20, { steps: 4 });
    await page.mouse.move(x - box.width / 2.5, y + 40, { steps: 4 });
    await page.mouse.up();
  });
}

export const isNarrow = (page) => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);

// Things to press that are smaller than a finger needs, by their words. Links within running text are none.
export const smallTargets = (page, side) => page.evaluate((least) => [...document.querySelectorAll('button, select, input:not([type=hidden]):not([type=radio]), a.button, a.chip, summary')]
  .filter((target) => target.checkVisibility({ visibilityProperty: true }) && target.getBoundingClientRect().width > 0)
  .filter((target) => {
    const { width, height } = target.getBoundingClientRect();
    return height < least - 0.5 || width < least - 0.5;
  })
  .map((target) => `${target.tagName} ${target.id || target.textContent.trim().slice(0, 30)} ${JSON.stringify(target.getBoundingClientRect())}`), side);

// Texts whose colour is too near to that of their ground (WCAG 2.1, 1.4.3): less than 4.5 to 1, in either scheme of colours.
export async function faint(page) {
  const found = [];
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    found.push(...await page.evaluate((scheme) => {
      const numbers = (color) => (color.match(/[\d.]+/g) ?? []).map(Number);
      const luminance = (color) => {
        const [red, green, blue] = numbers(color).map((value) => value / 255).map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
      };
      const ground = (element) => {
        for (let at = element; at; at = at.parentElement) {
          const color = getComputedStyle(at).backgroundColor;
          const [, , , alpha = 1] = numbers(color);
          if (alpha === 1 && color.startsWith('rgb')) return color;
        }
        return 'rgb(255, 255, 255)';
      };
      const ratio = (one, other) => {
        const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
      };
      const hasText = (element) => [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
      return [...document.querySelectorAll('body *')]
        .filter((element) => hasText(element) && element.checkVisibility() && !element.closest('.map, .overlay, script, style, noscript, option'))
        .map((element) => [element, ratio(getComputedStyle(element).color, ground(element))])
        .filter(([, contrast]) => contrast < 4.5)
        .slice(0, 5)
        .map(([element, contrast]) => `${scheme} ${element.tagName} “${element.textContent.trim().slice(0, 30)}” ${contrast.toFixed(2)}`);
    }, colorScheme));
  }
  return found;
}

// Whether the Tab key reaches everything that can be pressed, each with a visible ring.
export async function ringless(page, presses) {
  const found = [];
  for (let at = 0; at < presses; at += 1) {
    await page.keyboard.press('Tab');
    const bare = await page.evaluate(() => {
      const element = document.activeElement;
      if (element === document.body) return null;
      const rings = [element, ...(element.id === 'map' ? ['::after'] : [])].map((of) => (typeof of === 'string' ? getComputedStyle(element, of) : getComputedStyle(of)));
      const isSeen = rings.some((style) => (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2) || parseFloat(style.borderTopWidth) >= 3)
        || element.closest('.ol-control');
      return isSeen ? null : `${element.tagName} ${element.id || element.textContent.trim().slice(0, 30)}`;
    });
    if (bare) found.push(bare);
  }
  return found;
}
