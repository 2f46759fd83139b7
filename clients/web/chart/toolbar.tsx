import { useState, type RefObject } from 'react';
import type { Choice } from './choice';
import type { ChartHandle, Place, Span } from './candle-chart';
import { Menu } from './menu';
import type { Settings } from './settings';
import { STUDIES } from './studies';
import { ZONES, zoneOf } from './zones';

const FORMATS = ['csv', 'ndjson', 'parquet'] as const;

type Props = {
  choice: Choice;
  settings: Settings;
  onSettings: (changed: Partial<Settings>) => void;
  place: Place;
  chart: RefObject<ChartHandle | null>;
  stage: RefObject<HTMLElement | null>;
  /** The address of the API's exports; absent if the page's server does not pass them on. */
  exports?: string;
};

/** Indicators, scale, clock, dates, files and the size of the chart. */
export function Toolbar({ choice, settings, onSettings, place, chart, stage, exports }: Props) {
  const { studies, log, zone } = settings;
  const [inView, setInView] = useState(false);
  const toggle = (id: string) =>
    onSettings({ studies: studies.includes(id) ? studies.filter((it) => it !== id) : [...studies, id] });
  const fullScreen = () => {
    if (document.fullscreenElement) void document.exitFullscreen();
    else void stage.current?.requestFullscreen();
  };
  return (
    <div className="toolbar">
      <Menu label="Indicators" title="Indicators on the chart">
        {STUDIES.map(({ id, name }) => (
          <label key={id} className="check">
            <input type="checkbox" checked={studies.includes(id)} onChange={() => toggle(id)} />
            {name}
          </label>
        ))}
      </Menu>
      <button type="button" aria-pressed={log} title="Logarithmic scale" onClick={() => onSettings({ log: !log })}>
        Log
      </button>
      <select aria-label="Time zone" value={zone} onChange={(event) => onSettings({ zone: event.target.value })}>
        {ZONES.map(({ id, name }) => (
          <option key={id} value={id}>
            {name}
          </option>
        ))}
      </select>
      <Menu label="Go to" title="Go to a date">
        <label className="date">
          Date
          <input
            type="date"
            aria-label="Go to date"
            min="1700-01-01"
            max="9999-12-31"
            onChange={({ target }) => {
              // While a year is typed, the field holds the years 0002 and 0020.
              if (target.value && target.validity.valid) chart.current?.goTo(target.value);
            }}
          />
        </label>
        <p className="muted">Midnight by the clock of the chart</p>
      </Menu>
      <button
        type="button"
        className={place.newest ? undefined : 'away'}
        title="Newest candle (End)"
        onClick={() => chart.current?.newest()}
      >
        Newest
      </button>
      {exports && (
        <Menu label="Export" title="Download the series as a file">
          {FORMATS.map((format) => (
            <a
              key={format}
              className="item"
              href={exportAddress(exports, format, choice, settings)}
              download
              onClick={({ currentTarget }) => {
                // The candles in view are known only now.
                const span = inView ? chart.current?.inView() : undefined;
                currentTarget.href = exportAddress(exports, format, choice, settings, span);
              }}
            >
              {format === 'parquet' ? 'Parquet' : format.toUpperCase()}
            </a>
          ))}
          <label className="check">
            <input type="checkbox" checked={inView} onChange={() => setInView(!inView)} />
            Only what is in view
          </label>
          <p className="muted">
            {inView ? 'The' : 'All'} closed candles of {choice.symbol} {choice.timeframe}
            {inView && ' in view'}
          </p>
        </Menu>
      )}
      <button type="button" title="Full screen" aria-label="Full screen" onClick={fullScreen}>
        <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
          <path d="M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4" fill="none" stroke="currentColor" strokeWidth="1.5" />
        </svg>
      </button>
    </div>
  );
}

function exportAddress(base: string, format: string, choice: Choice, { zone }: Settings, span?: Span): string {
  const { symbol, timeframe, source } = choice;
  const query = new URLSearchParams({ symbol, timeframe, ...(source && { source, align: zoneOf(zone).align }) });
  if (span) {
    query.set('from', new Date(span.from).toISOString());
    query.set('to', new Date(span.to).toISOString());
  }
  return `${base}/export.${format}?${query}`;
}
