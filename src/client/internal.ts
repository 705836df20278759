/**
 * The second exit of this folder, for the command line and the tools of this project: single sessions, and rows as they arrive. It is
 * not published; users have `index.ts`.
 */

export { Cancellation } from './cancellation.ts';
export { LeaderAccess } from './leader-access.ts';
export { Real, type BoundValue } from './parameters.ts';
export { Plan, Plans } from './plan.ts';
export { openBatches } from './row-batches.ts';
export { BEGIN, STORED, type Session } from './session.ts';
export { isChange } from './sql-text.ts';
