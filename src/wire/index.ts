/**
 * The exit of `wire`: codecs of the client protocol and of raft log commands. Pure functions and small state
 * machines over byte arrays; what they mean is in the wire spec and in the raft and disk spec.
 */

export * from './codes.ts';
export type { DumpedFile, ServerAddress, ServerInfo } from './fields.ts';
export { type Failure, decodeFailure } from './failure.ts';
export {
  type Frame,
  type FrameHeader,
  FrameParser,
  MessageTooLargeError,
  beginMessage,
  endMessage,
  writeHeader,
} from './framing.ts';
export { ParameterCursor, ParameterTuple, type ParameterValue } from './parameters.ts';
export { type Request, UnsupportedRequestError, decodeRequest, encodeRequest } from './requests.ts';
export {
  type Response,
  type ResponseVariant,
  decodeResponse,
  encodeResponse,
  writeEmpty,
  writeFailure,
  writeResult,
} from './responses.ts';
export { beginRow, rowHeaderSize, setColumnType, writeColumns, writeRow, writeRowsEnd } from './rows.ts';
export { RowsReader } from './rows-reader.ts';
export { type WireValue, writeBlob } from './values.ts';
export { type Command, FramesCommand, type PageImages, decodeCommand, framesSize, writeFrames } from './commands.ts';
