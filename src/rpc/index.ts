/** The exit of `rpc`: bytes of the messages between nodes. */

export { ENTRY_SIZE_MAX, HEADER_SIZE_MAX } from './codes.ts';
export { encodeInstallSnapshot, encodeMessage } from './encode.ts';
export { PeerParser, type PeerEvent, type PeerParserOptions } from './parser.ts';
