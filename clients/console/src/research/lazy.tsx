import { lazy, Suspense, type ComponentType } from 'react';
import type { ViewProps } from '../main';

type Pages = typeof import('./pages');

/** A view of research, which is in a file of its own that is loaded with the first of them. */
function lazyView(name: keyof Pages) {
  const View = lazy<ComponentType<ViewProps>>(async () => {
    try {
      return { default: (await import('./pages'))[name] };
    } catch {
      return { default: NotLoaded };
    }
  });
  return (props: ViewProps) => (
    <Suspense fallback={<p role="status">Loading …</p>}>
      <View {...props} />
    </Suspense>
  );
}

function NotLoaded() {
  return (
    <div className="problem" role="alert">
      <b>This view could not be loaded.</b> The service does not answer, or another release of it runs by now. Load the page again.
    </div>
  );
}

export const StrategiesView = lazyView('StrategiesPage');
export const BacktestView = lazyView('BacktestPage');
export const OptimizeView = lazyView('OptimizePage');
export const SignalsView = lazyView('SignalsPage');
