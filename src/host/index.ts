export * from './types.ts';
export { DEFAULT_PORT, isLoopback, parseAddress, type ParsedAddress } from './address.ts';
export { nodeHost, sameBytes } from './node.ts';
export { diagnosticsChannel, type DiagnosticsChannel } from './diagnostics.ts';
