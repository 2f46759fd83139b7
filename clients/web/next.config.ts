import type { NextConfig } from 'next';

// Turns off the telemetry that Next.js sends by default.
process.env.NEXT_TELEMETRY_DISABLED = '1';

// The page loads everything from its own server. Next.js needs inline scripts, and the chart sets inline styles.
const policy = [
  "default-src 'self'",
  "script-src 'self' 'unsafe-inline'",
  "style-src 'self' 'unsafe-inline'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
];

const config: NextConfig = {
  // The image needs a server without node_modules (Dockerfile). `next start`, which everything else uses, does not serve that.
  output: process.env.CANDLEWICK_OUTPUT === 'standalone' ? 'standalone' : undefined,
  poweredByHeader: false,
  headers: async () => [
    {
      source: '/:path*',
      headers: [
        // Only in production, because `next dev` needs eval, and a socket for its updates.
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
