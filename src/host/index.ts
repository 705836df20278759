export * from './types.ts';
export { DEFAULT_PORT, isLoopback, isWildcard, parseAddress, type ParsedAddress } from './address.ts';
export { systemText } from './system-text.ts';
export { nodeHost, sameBytes } from './node.ts';
export { diagnosticsChannel, type DiagnosticsChannel } from './diagnostics.ts';
