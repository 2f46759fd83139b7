import type { NextConfig } from 'next';

// Next.js reports how it is used to its makers unless it is told not to.
process.env.NEXT_TELEMETRY_DISABLED = '1';

// Everything comes from the page's own server. Next.js starts its pages with inline scripts, and the chart sets styles.
const policy = [
  "default-src 'self'",
  "script-src 'self' 'unsafe-inline'",
  "style-src 'self' 'unsafe-inline'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
];

const config: NextConfig = {
  poweredByHeader: false,
  headers: async () => [
    {
      source: '/:path*',
      headers: [
        // `next dev` needs eval, and a socket for its updates.
        ...(process.env.NODE_ENV === 'production'
          ? [{ key: 'Content-Security-Policy', value: policy.join('; ') }]
          : []),
        { key: 'Referrer-Policy', value: 'no-referrer' },
        { key: 'X-Content-Type-Options', value: 'nosniff' },
      ],
    },
  ],
};

export default config;
