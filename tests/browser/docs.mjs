// The reference of the routes: complete, from this edge alone, and for everyone.

import { readFile } from 'node:fs/promises';

import { newPage, screenshot, until, withBrowser } from './lib.mjs';

const [edge, axePath, ...routes] = process.argv.slice(2);

function check(holds, what) {
  if (!holds) throw new Error(what);
}

async function theFileIsServedToEveryone(page) {
  const response = await page.request.get(`${edge}/openapi.yaml`);
  const headers = response.headers();
  check(response.ok() && (await response.text()).startsWith('openapi: 3.1'), 'the file is there');
  check(/yaml/.test(headers['content-type']), headers['content-type']);
  check(headers['access-control-allow-origin'] === '*', 'tools of other sites may read it');
}

async function everyRouteIsThere(page) {
  await page.goto(`${edge}/docs`);
  const shown = () =>
    page
      .locator('.opblock-summary')
      .evaluateAll((all) =>
        all.map((one) =>
          ['method', 'path']
            .map((part) => one.querySelector(`.opblock-summary-${part}`).textContent.replaceAll('\u200b', '').trim())
            .join(' '),
        ),
      );
  await until('all routes', async () => (await shown()).length >= routes.length);
  check(String((await shown()).sort()) === String(routes.sort()), `shown are ${await shown()}`);
}

async function aRouteCanBeTried(page) {
  const ping = page.locator('.opblock', { has: page.locator('[data-path="/ping"]') }).first();
  await ping.locator('.opblock-summary-control').click();
  await ping.getByRole('button', { name: 'Try it out' }).click();
  await ping.getByRole('button', { name: 'Execute' }).click();
  const answer = ping.locator('.live-responses-table');
  await answer.waitFor();
  check(/"time": \d{13}/.test(await answer.textContent()), await answer.textContent());
}

async function nobodyIsLeftOut(page) {
  // Two routes of each tag show everything that any of them shows, and axe takes its time.
  for (const section of await page.locator('.opblock-tag-section').all()) {
    for (const nth of [0, 2]) {
      const route = section.locator('.opblock-summary-control').nth(nth);
      if ((await route.count()) && (await route.getAttribute('aria-expanded')) === 'false') await route.click();
    }
  }
  await page.locator('.models-control').click();
  await page.evaluate(await readFile(axePath, 'utf8'));
  for (const colorScheme of ['light', 'dark']) {
    // Without it colours are on their way while they are looked at.
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await page.locator(colorScheme === 'dark' ? 'html.dark-mode' : 'html:not(.dark-mode)').waitFor();
    const { violations } = await page.evaluate(() => axe.run());
    const serious = violations.filter(({ impact }) => ['serious', 'critical'].includes(impact));
    const told = serious.map(({ id, nodes }) => [
      id,
      nodes.map(({ html, any }) => [html, any[0]?.message]).slice(0, 3),
    ]);
    check(serious.length === 0, `${colorScheme}: ${JSON.stringify(told, null, 1)}`);
    await screenshot(page, `docs-${colorScheme}`);
  }
  await page.setViewportSize({ width: 390, height: 800 });
  check((await page.evaluate(() => document.documentElement.scrollWidth)) <= 390, 'a phone need not scroll sideways');
  await screenshot(page, 'docs-phone');
}

await withBrowser(async (browser) => {
  const page = await newPage(browser, { viewport: { width: 1280, height: 900 } });
  const strangers = [];
  page.on('request', (request) => {
    if (!request.url().startsWith(edge) && !request.url().startsWith('data:')) strangers.push(request.url());
  });
  await theFileIsServedToEveryone(page);
  await everyRouteIsThere(page);
  await aRouteCanBeTried(page);
  await nobodyIsLeftOut(page);
  // A violation of the page's policy is an error, too.
  page.quiet();
  check(strangers.length === 0, `asked others: ${strangers}`);
});
