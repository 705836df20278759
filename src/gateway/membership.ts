/** Errors of membership requests: raft's words for them (wire spec section 4.6). */

import type { RaftErrorCode } from '../raft/index.ts';
import { dqliteCode, sqliteCode } from '../wire/index.ts';

export interface Failure {
  readonly code: number;
  readonly message: string;
}

export function membershipFailure(error: RaftErrorCode): Failure {
  switch (error) {
    case 'notLeader':
      return { code: dqliteCode.notLeader, message: 'server is not the leader' };
    case 'leadershipLost':
      return { code: dqliteCode.leadershipLost, message: 'server has lost leadership' };
    case 'cannotChange':
      return { code: sqliteCode.busy, message: 'a configuration change is already in progress' };
    case 'duplicateId':
      return { code: sqliteCode.error, message: 'server ID already in use' };
    case 'duplicateAddress':
      return { code: sqliteCode.error, message: 'server address already in use' };
    case 'badId':
      return { code: sqliteCode.error, message: 'server ID is not valid' };
    case 'badRole':
      return { code: sqliteCode.error, message: 'server role is not valid' };
    case 'notFound':
      return { code: sqliteCode.error, message: 'Resource not found' };
    case 'noConnection':
      return { code: sqliteCode.error, message: 'no connection to remote server available' };
    case 'lastVoter':
      return { code: sqliteCode.error, message: 'the last voter cannot be removed or demoted: nobody could lead' };
  }
}
