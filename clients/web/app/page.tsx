import { Suspense } from 'react';
import { Market } from './market';

export default function Page() {
  // Only the browser knows the query of the address.
  return (
    <Suspense>
      <Market />
    </Suspense>
  );
}
