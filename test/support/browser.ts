import type { LaunchOptions } from 'playwright-core'

/** Why browser tests are left out: only because somebody asked for it. A missing browser fails them. */
export function browserSkip(): string | false {
  const left = (process.env['SEALWIRE_TEST_SKIP'] ?? '').split(',').map((word) => word.trim())
  return left.includes('browser') && 'SEALWIRE_TEST_SKIP names browser'
}

/** Debian's Chromium unless `SEALWIRE_TEST_CHROMIUM` names another; it looks nothing up by itself. */
export function browserOptions(): LaunchOptions {
  const executablePath = process.env['SEALWIRE_TEST_CHROMIUM'] ?? '/usr/bin/chromium'
  const quiet = ['--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run']
  return { executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-quic', ...quiet] }
}
