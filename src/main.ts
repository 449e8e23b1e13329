import { serve } from './app.ts'

process.exitCode = await serve(process.env)
