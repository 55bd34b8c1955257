// Drives the demo pages of a map with 200 layers that lies below a prefix: the list can be searched, the page is quick to lay out,
// names that try to be markup are text, and every request stays below the prefix. crowd.mjs BASE DIRECTORY PEERS, where BASE has
// the prefix. Ends with 0, or with what is wrong on stderr.

import { join } from 'node:path';
import { SIZES, check, isNarrow, open, smallTargets, visitAll, watched } from './pages.mjs';

const [base, directory, peers] = process.argv.slice(2);
const ODD = 'odd "quoted\' <script>alert(1)</script> & more';

await visitAll(peers, SIZES, async (context, size) => {
  const what = `200 layers at ${size.name}`;
  const page = await watched(context, base, what);
  page.on('request', (request) => check(request.url().startsWith(`${base}/`) || request.url().startsWith('data:'), `${what}: ${request.url()} is not below ${base}`));
  await page.goto(`${base}/demo/`, { waitUntil: 'networkidle' });
  check(await page.locator('.layer').count() === 201, `${what}: ${await page.locator('.layer').count()} layers`);
  check(await isNarrow(page), `${what}: wider than the window`);
  const small = await smallTargets(page, size.name === 'phone' ? 44 : 36);
  check(small.length === 0, `${what}: too small to press: ${small.slice(0, 5).join('; ')}`);
  await page.screenshot({ path: join(directory, `crowd-${size.name}.png`) });

  const filter = page.getByLabel('Find a layer');
  const shown = () => page.locator('.layer:visible').evaluateAll((layers) => layers.map((layer) => layer.querySelector('h3').textContent.trim()));
  await filter.fill('number 17');
  check((await shown()).length === 12, `${what}: “number 17” finds ${(await shown()).join(', ')}`);
  await filter.fill('17 NUMBER 179');
  check((await shown()).join() === 'Number 179', `${what}: “17 NUMBER 179” finds ${(await shown()).join(', ')}`);
  await filter.fill('nothing at all');
  check(await page.locator('#nothing').isVisible(), `${what}: nobody says that nothing is found`);
  await filter.fill('quoted');
  check((await shown()).join() === `Title of ${ODD}`, `${what}: “quoted” finds ${(await shown()).join(', ')}`);
  await page.screenshot({ path: join(directory, `crowd-found-${size.name}.png`) });

  // The odd one can be looked at, and among 200 another can be chosen.
  await page.locator('.layer:visible h3 a').click();
  await page.waitForFunction(() => window.demo);
  check(await page.evaluate(() => window.demo.config.wms.layer) === ODD, `${what}: the viewer shows another layer`);
  check(await page.locator('#choice option').count() > 200, `${what}: not all layers can be chosen`);
  check(await isNarrow(page), `${what}: the viewer is wider than the window`);
  await page.screenshot({ path: join(directory, `crowd-viewer-${size.name}.png`) });
  await open(page, `${base}/demo/?wms_layer=n150`);
  check(await page.locator('#choice select[name=wms_layer]').inputValue() === 'n150', `${what}: the choice shows another layer`);
  check((await page.locator('#address').textContent()).startsWith(`${base}/service?`), `${what}: the address of the map is ${await page.locator('#address').textContent()}`);
  await page.close();
});
