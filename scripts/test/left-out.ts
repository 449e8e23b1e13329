// Runs beside the test files, so that the runner's own summary counts and names what was left out.
import { test } from 'node:test'
import type { LeftOut } from './plan.ts'

const leftOut = JSON.parse(process.env['SEALWIRE_TEST_LEFT_OUT'] ?? '[]') as LeftOut[]
for (const { file, why } of leftOut) void test(file, { skip: why })
