import { getHeapStatistics } from 'node:v8'
import { createFairShare } from '../../core/fair-share.ts'
import type { Pressure } from './pressure.ts'

/** Lets requests in while there is room for them, shared among tenants; nobody waits at the door. */
export interface Admission {
  /** Requests that are in. */
  readonly taken: number
  /** Takes a place for a request with a body of so many bytes; `undefined` where there is none. */
  enter(tenantId: string, bodyBytes: number): Place | undefined
}

export interface Place {
  /** The body has come, and is smaller than what was taken for it. */
  bodyIs(bytes: number): void
  /** Once, when the request has been answered. */
  leave(): void
}

export interface AdmissionOptions {
  /** Requests at once. */
  readonly most: number
  readonly pressure: () => Pressure
  /** Bytes of bodies at once, those that are being read and those of requests that run; by the heap's limit unless told. */
  readonly bodyBytes?: number
}

/** Places that a tenant has whatever others take. */
const FLOOR = 8
/** Shared places while the event loop is late: one tenant alone still has 341, which keep it at work and are answered soon. */
const SHARED_WHEN_LATE = 512
/** Places in all while the heap is nearly full: some work must go on, or no garbage is collected. */
const MOST_WHEN_HEAP = 32
/** Bytes of bodies that a tenant may have whatever others have: four of the largest. */
const BODY_FLOOR_BYTES = 4 * 1024 * 1024
const BODY_MOST_BYTES = 256 * 1024 * 1024

/** A body becomes text, a tree and a payload: an eighth of the heap for the bytes leaves room for all of that. */
const bodiesForHeap = () => Math.min(BODY_MOST_BYTES, getHeapStatistics().heap_size_limit / 8)

export function createAdmission({ most, pressure, bodyBytes = bodiesForHeap() }: AdmissionOptions): Admission {
  const places = createFairShare({
    most: () => (pressure() === 'heap' ? Math.min(most, MOST_WHEN_HEAP) : most),
    shared: () => (pressure() === 'none' ? most : Math.min(most, SHARED_WHEN_LATE)),
    floor: FLOOR,
  })
  const room = () => (pressure() === 'heap' ? bodyBytes / 4 : bodyBytes)
  const bodies = createFairShare({ most: room, shared: room, floor: BODY_FLOOR_BYTES })

  return {
    get taken() {
      return places.taken
    },
    enter(tenantId, bytes) {
      if (!places.take(tenantId)) return undefined
      if (!bodies.take(tenantId, bytes)) {
        places.give(tenantId)
        return undefined
      }
      let held = bytes
      return {
        bodyIs(size) {
          bodies.give(tenantId, held - size)
          held = size
        },
        leave() {
          places.give(tenantId)
          bodies.give(tenantId, held)
        },
      }
    },
  }
}
