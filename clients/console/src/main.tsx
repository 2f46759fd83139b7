import '../../web/chart/chart.css';
import './console.css';
import './research/research.css';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { useAddress } from './address';
import { ApiPage } from './api-page';
import { ChangesPage } from './changes-page';
import { ChartPage } from './chart-page';
import { GapsPage } from './gaps-page';
import { HealthPage } from './health-page';
import { Link } from './link';
import { BacktestView, OptimizeView, SignalsView, StrategiesView } from './research/lazy';
import { SeriesPage } from './series-page';
import { useSession, type Session } from './session';
import { SignIn } from './sign-in';
import { ThemeSwitch } from './theme';

/** The properties of every view. */
export type ViewProps = { query: URLSearchParams; session: Session; signIn: ReturnType<typeof useSession>['signIn'] };

const VIEWS: Record<string, { name: string; view: (props: ViewProps) => React.ReactNode }> = {
  chart: { name: 'Chart', view: ChartPage },
  strategies: { name: 'Strategies', view: StrategiesView },
  backtest: { name: 'Backtest', view: BacktestView },
  optimize: { name: 'Optimize', view: OptimizeView },
  signals: { name: 'Signals', view: SignalsView },
  series: { name: 'Series', view: SeriesPage },
  gaps: { name: 'Gaps', view: GapsPage },
  changes: { name: 'Changes', view: ChangesPage },
  health: { name: 'Health', view: HealthPage },
  api: { name: 'API', view: ApiPage },
};

function Console() {
  const { session, error, signIn, signOut } = useSession();
  const { view, query } = useAddress();
  const shown = VIEWS[view];
  const isSignedIn = session?.scopes.includes('read');
  return (
    <>
      <header className="bar">
        <Link className="brand" href="/console/chart">
          <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
            <path d="M4.5 1v14M11.5 2v12" stroke="currentColor" />
            <rect x="2" y="5" width="5" height="7" className="brand-up" />
            <rect x="9" y="4" width="5" height="6" className="brand-down" />
          </svg>
          <span>candlewick</span>
        </Link>
        <nav aria-label="Views">
          {isSignedIn &&
            Object.entries(VIEWS).map(([id, { name }]) => (
              <Link key={id} href={`/console/${id}`} aria-current={id === view ? 'page' : undefined}>
                {name}
              </Link>
            ))}
        </nav>
        <div className="bar-end">
          <ThemeSwitch />
          {isSignedIn && (
            <button type="button" title={heldIn(session!)} onClick={signOut}>
              Sign out
            </button>
          )}
        </div>
      </header>
      <main className={view === 'chart' ? 'wide' : undefined}>
        {!session && (
          <p className="notice quiet-notice" role={error ? 'alert' : 'status'}>
            {error ? `${error.detail} The page keeps trying.` : 'Loading …'}
          </p>
        )}
        {session && !isSignedIn && (
          <SignIn session={session} signIn={signIn} needed={session.scopes.length > 0 ? 'A read token is needed as well' : undefined} />
        )}
        {isSignedIn && shown && <shown.view query={query} session={session!} signIn={signIn} />}
        {isSignedIn && !shown && (
          <div className="card">
            <h1>There is no such view</h1>
            <p>
              <Link href="/console/chart">Go to the chart</Link>
            </p>
          </div>
        )}
      </main>
    </>
  );
}

function heldIn({ credentials }: Session): string {
  const held = credentials.map(({ scope, name, ends }) => `${scope} (${name}) until ${new Date(ends).toLocaleTimeString()}`);
  return `Signed in: ${held.join(', ')}`;
}

createRoot(document.getElementById('console')!).render(
  <StrictMode>
    <Console />
  </StrictMode>,
);
