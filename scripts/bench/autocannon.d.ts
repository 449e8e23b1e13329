/** What the benchmark uses of autocannon, which brings no types. */
declare module 'autocannon' {
  export interface Options {
    url: string
    method: 'POST'
    headers: Readonly<Record<string, string>>
    body: string
    connections: number
    /** Seconds. */
    duration: number
  }
  export interface Result {
    requests: { average: number; total: number }
    /** Milliseconds. */
    latency: { p50: number; p99: number }
    errors: number
    timeouts: number
    non2xx: number
  }
  export default function autocannon(options: Options): Promise<Result>
}
