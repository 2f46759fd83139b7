/** The parts of the chart that only calculate: indicators, clocks, the time axis and missing candles. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { breaksIn } from '../chart/breaks.ts';
import { choose, chooseSymbol, matching, offered } from '../chart/choice.ts';
import { atr, bollinger, ema, macd, rsi, sma } from '../chart/indicators.ts';
import { axisTicks, dividers, type View } from '../chart/time-axis.ts';
import { midnight, openingTime, wallClock, ZONES, zoneOf } from '../chart/zones.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** The columns of a file of crates/research, which TA-Lib and PyneCore calculated from the same bars. */
function vectors(name: string): Map<string, (number | undefined)[]> {
  const file = new URL(`../../../crates/research/tests/oracle/vectors/${name}.csv`, import.meta.url);
  const [head, ...lines] = readFileSync(file, 'utf8').trim().split('\n');
  const rows = lines.map((line) => line.split(';').map((cell) => (cell === '' ? undefined : Number(cell))));
  return new Map(head!.split(';').map((title, i) => [title, rows.map((row) => row[i])]));
}

for (const name of ['hours', 'days', 'flat']) {
  test(`indicators equal those of TA-Lib and PyneCore on the bars of ${name}.csv`, () => {
    const columns = vectors(name);
    const column = (title: string) => columns.get(title) as number[];
    const closes = column('close');
    const bars = closes.map((close, i) => ({ close, high: column('high')[i]!, low: column('low')[i]! }));
    const bands = bollinger(closes, 14, 2);
    const lines = macd(closes, 14, 19, 5);
    const ours: [string, (number | undefined)[]][] = [
      ['ta.sma(close, 14)|0|TA-Lib', sma(closes, 14)],
      ['ta.ema(close, 14)|0|TA-Lib', ema(closes, 14)],
      ['ta.rsi(close, 14)|0|PyneCore', rsi(closes, 14)],
      ['ta.atr(14)|0|PyneCore', atr(bars, 14)],
      ['ta.bb(close, 14, 2.0)|0|PyneCore', bands.map(({ middle }) => middle)],
      ['ta.bb(close, 14, 2.0)|1|PyneCore', bands.map(({ upper }) => upper)],
      ['ta.bb(close, 14, 2.0)|2|PyneCore', bands.map(({ lower }) => lower)],
      ['ta.macd(close, 14, 19, 5)|0|PyneCore', lines.map(({ line }) => line)],
      ['ta.macd(close, 14, 19, 5)|1|PyneCore', lines.map(({ signal }) => signal)],
      ['ta.macd(close, 14, 19, 5)|2|PyneCore', lines.map(({ histogram }) => histogram)],
    ];
    for (const [title, values] of ours) {
      const expected = columns.get(title);
      assert.ok(expected, `${name}.csv has ${title}`);
      const largest = Math.max(...expected.map((value) => Math.abs(value ?? 0)));
      let compared = 0;
      expected.forEach((value, i) => {
        if (value === undefined) return;
        assert.ok(Math.abs(values[i]! - value) <= 1e-9 * Math.max(largest, 1e-3), `${title} at ${i}: ${values[i]}, not ${value}`);
        compared += 1;
      });
      assert.ok(compared > expected.length / 2, `${title} has values`);
    }
  });
}

test('clocks follow their zones through changes of the clocks', () => {
  const shown = (id: string, time: string) => openingTime(zoneOf(id), Date.parse(time), 60);
  assert.equal(shown('utc', '2025-03-30T00:59:00Z'), 'Sun 2025-03-30 00:59');
  assert.equal(shown('athens', '2025-03-30T00:59:00Z'), 'Sun 2025-03-30 02:59');
  assert.equal(shown('athens', '2025-03-30T01:00:00Z'), 'Sun 2025-03-30 04:00');
  assert.equal(shown('ny', '2025-11-02T05:59:00Z'), 'Sun 2025-11-02 01:59');
  assert.equal(shown('ny', '2025-11-02T06:00:00Z'), 'Sun 2025-11-02 01:00');
  // A broker seven hours ahead of New York begins the day when New York's ends at 17:00.
  assert.equal(shown('broker', '2025-07-31T21:00:00Z'), 'Fri 2025-08-01 00:00');
  assert.equal(shown('broker', '2025-12-31T22:00:00Z'), 'Thu 2026-01-01 00:00');
  assert.equal(openingTime(zoneOf('broker'), Date.parse('2025-07-31T21:00:00Z'), 1440), 'Fri 2025-08-01');
  assert.equal(openingTime(zoneOf('utc'), Date.parse('2025-07-31T21:00:00Z'), 1440), 'Thu 2025-07-31 21:00');
});

test('midnight of a date is where its clock shows it', () => {
  for (const zone of ZONES) {
    for (const date of ['2025-03-09', '2025-03-10', '2025-03-30', '2025-03-31', '2025-10-26', '2025-11-02', '2025-11-03', '1999-12-31']) {
      assert.equal(wallClock(zone, midnight(zone, date)).toISOString(), `${date}T00:00:00.000Z`, `${zone.id} ${date}`);
    }
  }
});

/** Candles in view, eight pixels wide. */
function view(times: number[], minutes: number, space = 8): View {
  return { times: (i) => times[i], from: 0, to: times.length, x: (i) => (i + 0.5) * space, width: times.length * space, minutes };
}

const every = (from: string, step: number, count: number) =>
  Array.from({ length: count }, (_, i) => Date.parse(from) + i * step);

test('the time axis names days and the year, cuts no label and lets none overlap', () => {
  const spans: [string, View][] = [
    ['minutes', view(every('2025-08-01T22:10:00Z', MINUTE, 200), 1)],
    ['minutes of one day', view(every('2025-08-01T10:10:00Z', MINUTE, 200), 1)],
    ['hours', view(every('2025-07-20T03:00:00Z', HOUR, 250), 60)],
    ['hours, dense', view(every('2024-07-20T03:00:00Z', HOUR, 4000), 60, 1)],
    ['days', view(every('2024-10-20T00:00:00Z', DAY, 250), 1440)],
    ['weeks, dense', view(every('1975-10-19T00:00:00Z', 7 * DAY, 2000), 10_080, 1)],
    ['a phone', view(every('2025-07-20T03:00:00Z', HOUR, 35), 60)],
  ];
  for (const [name, shown] of spans) {
    for (const zone of ZONES) {
      const ticks = axisTicks(zone, shown);
      const texts = ticks.map(({ text }) => text).join(' | ');
      assert.ok(ticks.length >= 2, `${name} in ${zone.id}: ${texts}`);
      assert.match(texts, /\b(19|20)\d\d\b/, `${name} in ${zone.id} names a year: ${texts}`);
      ticks.forEach(({ x, text }, i) => {
        const half = text.length * 3.3;
        assert.ok(x - half >= 0 && x + half <= shown.width, `${name} in ${zone.id}: ${text} is whole`);
        const next = ticks[i + 1];
        assert.ok(!next || x + half < next.x - next.text.length * 3.3, `${name} in ${zone.id}: ${texts} do not overlap`);
      });
    }
  }
  const labels = axisTicks(zoneOf('utc'), spans[0]![1]).map(({ text }) => text);
  assert.ok(labels.includes('2 Aug 2025') || labels.includes('2 Aug'), `a day that begins is named: ${labels.join(' | ')}`);
});

test('lines separate days by the clock of the chart, and months and years in longer timeframes', () => {
  const hours = view(every('2025-07-31T12:00:00Z', HOUR, 60), 60);
  const at = (zone: string, shown: View) => dividers(zoneOf(zone), shown).map((i) => new Date(shown.times(i)!).toISOString().slice(0, 13));
  assert.deepEqual(at('utc', hours), ['2025-08-01T00', '2025-08-02T00']);
  assert.deepEqual(at('broker', hours), ['2025-07-31T21', '2025-08-01T21', '2025-08-02T21']);
  assert.deepEqual(at('utc', view(every('2025-07-25T00:00:00Z', DAY, 60), 1440)), ['2025-08-01T00', '2025-09-01T00']);
  assert.deepEqual(at('utc', view(every('2024-11-03T00:00:00Z', 7 * DAY, 30), 10_080)), ['2025-01-05T00']);
  const dense = dividers(zoneOf('utc'), view(every('2025-07-01T00:00:00Z', 4 * HOUR, 600), 240, 2));
  assert.ok(dense.length < 20, 'weeks instead of days where days are narrow');
});

test('missing candles are found, and weekends and daily pauses are not', () => {
  const at = (...times: string[]) => times.map((time) => ({ timestamp: Date.parse(time) }));
  const found = (candles: { timestamp: number }[], minutes: number) =>
    [...breaksIn(candles, minutes)].map(([time, missing]) => `${new Date(time).toISOString().slice(5, 16)} ${missing}`);
  assert.deepEqual(found(at('2025-08-05T10:00:00Z', '2025-08-05T10:01:00Z', '2025-08-05T10:05:00Z'), 1), ['08-05T10:05 3']);
  assert.deepEqual(found(at('2025-08-01T20:59:00Z', '2025-08-03T21:00:00Z'), 1), []);
  assert.deepEqual(found(at('2025-08-01T12:00:00Z', '2025-08-05T21:00:00Z'), 60), ['08-05T21:00 104']);
  assert.deepEqual(found(at('2025-08-01T00:00:00Z', '2025-08-04T00:00:00Z', '2025-08-06T00:00:00Z'), 1440), ['08-06T00:00 1']);
  assert.deepEqual(found(at('2025-07-01T00:00:00Z', '2025-08-01T00:00:00Z', '2025-09-01T00:00:00Z'), 43_200), []);
  // The pause after New York's close at 21:00, and one hour later.
  assert.deepEqual(found(at('2025-08-05T20:59:00Z', '2025-08-05T22:00:00Z', '2025-08-05T22:01:00Z', '2025-08-06T00:01:00Z'), 1), ['08-06T00:01 119']);
  // A market that is not traded from 07:00 to 08:00, with one hour missing besides.
  const hours = every('2025-08-04T00:00:00Z', HOUR, 96).filter((time) => new Date(time).getUTCHours() !== 7);
  const candles = hours.filter((time) => time !== Date.parse('2025-08-06T09:00:00Z')).map((timestamp) => ({ timestamp }));
  assert.deepEqual(found(candles, 60), ['08-06T10:00 1']);
});

test('a choice has a timeframe that is stored or can be built', () => {
  const series = [
    { symbol: 'EURUSD', timeframe: 'M1', first: 0, last: 0, price_precision: 5 },
    { symbol: 'EURUSD', timeframe: 'D1', first: 0, last: 0, price_precision: 5 },
    { symbol: 'US30.cash', timeframe: 'H4', first: 0, last: 0, price_precision: 1 },
  ];
  const { source, timeframe, precision } = choose(series, 'EURUSD', 'H4')!;
  assert.deepEqual([source, timeframe, precision], ['M1', 'H4', 5]);
  assert.equal(choose(series, 'US30.cash', 'nonsense')!.timeframe, 'H4');
  assert.equal(choose([], null, null), undefined);
  assert.equal(chooseSymbol(series, 'EURUSD', 'M15').timeframe, 'M15');
  assert.equal(chooseSymbol(series, 'US30.cash', 'M15').timeframe, 'H4');
  assert.equal(chooseSymbol(series, 'NEW', 'M15').timeframe, 'M15', 'the list does not have it yet');
  assert.deepEqual(offered(['M1', 'D1']).usual, ['M1', 'M5', 'M15', 'M30', 'H1', 'H4', 'D1', 'W1', 'MN1']);
  assert.ok(offered(['M1']).others.includes('H2') && offered(['M1']).others.includes('M3'));
  assert.deepEqual(offered(['H4'], 'M15').usual, ['M15', 'H4', 'D1', 'W1', 'MN1']);
  assert.deepEqual(matching(['AUDUSD', 'USDJPY', 'EURUSD'], 'usd'), ['USDJPY', 'AUDUSD', 'EURUSD']);
});
