/** Starts Chromium, and reads the charts in it. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { chromium, type Browser, type Page } from 'playwright-core';
import type { Candle } from '../lib/candlewick.ts';
import { until } from './support.ts';

const SCREENSHOTS = fileURLToPath(new URL('../../../target/e2e/', import.meta.url));

export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    // Chromium has no sandbox for root.
    chromiumSandbox: process.getuid?.() !== 0,
    args: [
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

export async function screenshot(tab: Page, name: string): Promise<void> {
  mkdirSync(SCREENSHOTS, { recursive: true });
  await tab.screenshot({ path: `${SCREENSHOTS}${name}.png`, animations: 'disabled' });
}

/** The candles that the chart holds. */
export function charted(tab: Page): Promise<Candle[]> {
  return tab.evaluate(() => {
    const element = document.querySelector('.chart') as (Element & { chart?: { getDataList: () => unknown } }) | null;
    return JSON.parse(JSON.stringify(element?.chart?.getDataList() ?? []));
  });
}

/** Waits until the chart holds exactly these candles. */
export async function shows(tab: Page, candles: Candle[], what: string): Promise<void> {
  const sorted = (list: Candle[]) => list.map((it) => JSON.stringify(Object.entries(it).sort()));
  const wanted = sorted(candles).join();
  try {
    await until(async () => sorted(await charted(tab)).join() === wanted, what);
  } catch {
    // Shows only the first difference, because hundreds of candles would hide it.
    const held = sorted(await charted(tab));
    const first = held.findIndex((candle, i) => candle !== sorted(candles)[i]);
    const difference = first < 0 ? '' : `; the first that differs: ${held[first]}, not ${sorted(candles)[first]}`;
    assert.fail(`${what}: the chart holds ${held.length} candles, not ${candles.length}${difference}`);
  }
}

/** Drags the chart to the right, which loads older candles, until it holds `count` of them. */
export async function scrollBack(tab: Page, count: number): Promise<void> {
  const { x, y, width, height } = (await tab.locator('.chart').boundingBox())!;
  await until(async () => {
    await tab.mouse.move(x + 100, y + height / 2);
    await tab.mouse.down();
    await tab.mouse.move(x + width - 100, y + height / 2, { steps: 4 });
    await tab.mouse.up();
    return (await charted(tab)).length >= count;
  }, `${count} candles are on the chart`);
}
