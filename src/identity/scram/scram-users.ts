import type { UsersFile } from '../users-file/create-users-file.ts'
import type { User } from '../users-file/user.ts'
import type { EnhancedAuthDeps } from './enhanced-auth.ts'

/** Finds the users of a file for an exchange. One that may not use this client id is found as one who is disabled. */
export function scramUsers(file: Pick<UsersFile, 'find'>, clientId: string): EnhancedAuthDeps<User>['find'] {
  return (username, method) => {
    const user = file.find(username)
    const verifier = user?.scram.find((one) => one.method === method)
    if (!user || !verifier) return undefined
    const isRefused = !user.enabled || (user.clientIds && !user.clientIds.includes(clientId))
    return isRefused ? { verifier, user, disabled: true } : { verifier, user }
  }
}
