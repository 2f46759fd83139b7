const EXAMPLES: [string, (origin: string) => string][] = [
  ['The newest 100 candles', (origin) => `curl "${origin}/api/v1/candles?symbol=EURUSD&timeframe=H1&limit=100" \\\n    -H "X-Internal-Token: $TOKEN"`],
  ['Hours built from minutes, with days that end in New York', (origin) => `curl "${origin}/api/v1/candles?symbol=EURUSD&timeframe=H4&source=M1&align=ny17" \\\n    -H "X-Internal-Token: $TOKEN"`],
  ['Candles while they form', (origin) => `curl -N "${origin}/api/v1/live?series=M1:EURUSD" -H "X-Internal-Token: $TOKEN"`],
  ['A year as a file', (origin) => `curl -OJ "${origin}/api/v1/export.parquet?symbol=EURUSD&timeframe=M1&from=2025-01-01&to=2025-12-31" \\\n    -H "X-Internal-Token: $TOKEN"`],
  ['Post a closed candle', (origin) => `curl ${origin}/api/v1/candles -H "X-API-KEY: $KEY" -d \\\n    '{"symbol":"EURUSD","timeframe":"H1","candles":[{"timestamp":"2025-08-03T10:00:00Z",\n      "open":1.085,"high":1.0865,"low":1.0848,"close":1.0862,"volume":1200,"complete":true}]}'`],
];

export function ApiPage() {
  const { origin } = window.location;
  return (
    <section className="view">
      <header className="view-head">
        <h1>API</h1>
        <p className="muted">Everything that this console shows comes from the same API.</p>
      </header>
      <ul className="links">
        <li>
          <a href="/docs">Documentation of all routes</a>, to try them in the browser (unless <code>DOCS_ENABLED=false</code>)
        </li>
        <li>
          <a href="/api/v1/openapi.json">OpenAPI document</a>, for programs that generate clients
        </li>
        <li>
          <a href="/console/licenses.txt">Licenses</a> of the packages in this page
        </li>
      </ul>
      <p>
        <code>$TOKEN</code> is a read token (<code>INTERNAL_API_TOKEN</code>), <code>$KEY</code> an ingest key (<code>MT5_API_KEY</code>). Never give
        either to a web page.
      </p>
      {EXAMPLES.map(([name, command]) => (
        <div key={name}>
          <h2>{name}</h2>
          <pre tabIndex={0}>{command(origin)}</pre>
        </div>
      ))}
    </section>
  );
}
