import type { Metadata, Viewport } from 'next';
import type { ReactNode } from 'react';
import '../chart/chart.css';
import './globals.css';

export const metadata: Metadata = { title: 'candlewick', description: 'A chart of the candles that candlewick keeps.' };
export const viewport: Viewport = { colorScheme: 'light dark' };

export default function Layout({ children }: { children: ReactNode }) {
  return (
    <html lang="en">
      <body>{children}</body>
    </html>
  );
}
