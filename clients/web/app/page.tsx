import { Suspense } from 'react';
import { Market } from './market';

export default function Page() {
  // What the address names is known in the browser alone.
  return (
    <Suspense>
      <Market />
    </Suspense>
  );
}
