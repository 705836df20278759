/** The simulated host: the exit of this folder. */

export { SimulatedClock } from './clock.ts';
export type { SimulatedConnection } from './connection.ts';
export { needsSpace, type Fault, type OperationKind } from './faults.ts';
export { SimulatedFiles, type SimulatedFilesOptions } from './files.ts';
export { simulatedHost, type SimulatedHost, type SimulatedHostOptions } from './host.ts';
export { SimulatedNetwork, type NetworkOptions } from './network.ts';
export type { SimulatedNet } from './net.ts';
export { streamOf } from './random.ts';
export { Scheduler } from './scheduler.ts';
export { synchronousWasm } from './synchronous-wasm.ts';
