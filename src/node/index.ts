/// <reference lib="esnext.disposable" preserve="true" />
/** The embedding API: run a dqlite node inside a program. */
export { DqliteError, type ErrorCode } from '../lib/errors.ts';
export type { EngineOptions } from '../engine/index.ts';
export type { Logger } from '../host/index.ts';
export { Node, type NodeEvent, type NodeMetrics } from './node.ts';
export type { NodeOptions, PartialEngineOptions } from './options.ts';
export { FOUNDER_IDS } from './identity.ts';
