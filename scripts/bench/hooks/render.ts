import { CLIENTS, RULES } from './deployment.ts'
import type { HooksResults } from './hooks.ts'

const whole = (value: number) => Math.round(value).toLocaleString('en')
const percent = (part: number) => `${(part * 100).toFixed(1)} %`

/** Renders the results as the lines that stand in the README. */
export function renderHooks({ rounds, loads, jwt, timing }: HooksResults): string {
  return [
    `Questions of \`mosquitto-go-auth\` about topics (\`/mqtt/acl\`, JSON) over 64 connections, by ${whole(CLIENTS)} clients under a policy of ${whole(RULES)} rules; wrk and server on one machine; medians of ${rounds} rounds. The empty route reads no body and decides nothing.`,
    '',
    '| | answers a second | of the empty route | p50 ms | p99 ms | CPU µs each |',
    '| --- | --- | --- | --- | --- | --- |',
    ...loads.map(
      ({ name, perS, ratio, p50Ms, p99Ms, cpuUs }, i) =>
        `| ${name} | ${whole(perS)} | ${i === 0 ? '–' : ratio.toFixed(2)} | ${p50Ms.toFixed(1)} | ${p99Ms.toFixed(1)} | ${cpuUs === null ? '–' : cpuUs.toFixed(0)} |`,
    ),
    '',
    '| JWT, 16 under way | seen first, a second | p50 µs | p99 µs | seen again, a second | p50 µs | p99 µs |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...jwt
      .filter(({ kind }) => kind === 'first')
      .map((first) => {
        const again = jwt.find(({ algorithm, kind }) => algorithm === first.algorithm && kind === 'again')
        const columns = [first, again].flatMap((one) =>
          one ? [whole(one.perS), whole(one.p50Us), whole(one.p99Us)] : [],
        )
        return `| ${[first.algorithm, ...columns].join(' | ')} |`
      }),
    '',
    '| login refused after, median | unknown user | wrong password | disabled user | apart |',
    '| --- | --- | --- | --- | --- |',
    ...timing.map(({ hash, ms, spread }) => {
      const columns = (['unknown user', 'wrong password', 'disabled user'] as const).map(
        (kind) => `${ms[kind].toFixed(2)} ms`,
      )
      return `| ${[hash, ...columns, percent(spread)].join(' | ')} |`
    }),
  ].join('\n')
}

/** Says whether what is promised was kept in this run. */
export function renderHookPromises({ loads, timing }: HooksResults): string {
  const kept = (is: boolean) => (is ? 'kept' : 'NOT KEPT')
  return [
    ...loads
      .slice(1)
      .map(({ name, ratio }) => `${kept(ratio >= 0.6)}: ${name}: ${ratio.toFixed(2)} of the empty route (0.6)`),
    ...timing.map(({ hash, spread }) => `${kept(spread < 0.05)}: ${hash}: refusals ${percent(spread)} apart (5 %)`),
  ].join('\n')
}
