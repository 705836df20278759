/** Messages to bytes (raft and disk spec sections 1.4 and 2), in the forms that every version of C dqlite reads. */

import { assert } from '../lib/assert.ts';
import { Writer } from '../lib/bytes.ts';
import { encodeConfiguration, type AppendEntries, type InstallSnapshot, type Message } from '../raft/index.ts';
import {
  APPEND_ENTRIES_SIZE,
  ENTRY_HEADER_SIZE,
  ENTRY_TYPES,
  FLAG_DISRUPT_LEADER,
  FLAG_PRE_VOTE,
  FLAG_RESULT_OF_PRE_VOTE,
  messageType,
  PREAMBLE_SIZE,
  PROBE_HIGH,
} from './codes.ts';

/** The data of several entries is copied behind the header up to here: one piece is cheaper to send than many. */
const COPIED_SIZE_MAX = 64 * 1024;

/**
 * The bytes of a message, in pieces to be sent one after the other. Large entry data is not copied: the pieces are the
 * entries' own arrays. An InstallSnapshot is `encodeInstallSnapshot`'s.
 */
export function encodeMessage(message: Exclude<Message, InstallSnapshot>): Uint8Array[] {
  switch (message.kind) {
    case 'appendEntries':
      return encodeAppendEntries(message);
    case 'readProbe': {
      const writer = begin(messageType.appendEntries, APPEND_ENTRIES_SIZE);
      writer.safeUint64(message.term);
      probeIndex(writer, message.number);
      writer.safeUint64(message.term);
      writer.zeros(16);
      return [writer.written()];
    }
    case 'appendEntriesResult': {
      const writer = begin(messageType.appendEntriesResult, message.features === undefined ? 24 : 32);
      writer.safeUint64(message.term);
      writer.safeUint64(message.rejected);
      writer.safeUint64(message.lastIndex);
      if (message.features !== undefined) writer.uint64(message.features);
      return [writer.written()];
    }
    case 'readProbeResult': {
      const writer = begin(messageType.appendEntriesResult, message.features === undefined ? 24 : 32);
      writer.safeUint64(message.term);
      probeIndex(writer, message.number);
      writer.safeUint64(message.lastIndex);
      if (message.features !== undefined) writer.uint64(message.features);
      return [writer.written()];
    }
    case 'requestVote': {
      const writer = begin(messageType.requestVote, 40);
      writer.safeUint64(message.term);
      writer.uint64(message.candidate);
      writer.safeUint64(message.lastIndex);
      writer.safeUint64(message.lastTerm);
      writer.safeUint64((message.disruptLeader ? FLAG_DISRUPT_LEADER : 0) | (message.preVote ? FLAG_PRE_VOTE : 0));
      return [writer.written()];
    }
    case 'requestVoteResult': {
      const writer = begin(messageType.requestVoteResult, message.preVote === undefined ? 16 : 24);
      writer.safeUint64(message.term);
      writer.safeUint64(message.granted ? 1 : 0);
      if (message.preVote !== undefined) writer.safeUint64(message.preVote ? FLAG_RESULT_OF_PRE_VOTE : 0);
      return [writer.written()];
    }
    case 'timeoutNow': {
      const writer = begin(messageType.timeoutNow, 24);
      writer.safeUint64(message.term);
      writer.safeUint64(message.lastIndex);
      writer.safeUint64(message.lastTerm);
      return [writer.written()];
    }
  }
}

/** What comes before `size` bytes of snapshot data: these must follow, uncompressed, with nothing in between. */
export function encodeInstallSnapshot(message: InstallSnapshot, size: number): Uint8Array {
  const configuration = encodeConfiguration(message.configuration);
  const writer = begin(messageType.installSnapshot, 48 + configuration.length);
  writer.safeUint64(message.term);
  writer.safeUint64(message.lastIndex);
  writer.safeUint64(message.lastTerm);
  writer.safeUint64(message.configurationIndex);
  writer.safeUint64(configuration.length);
  writer.raw(configuration);
  writer.safeUint64(size);
  return writer.written();
}

function encodeAppendEntries(message: AppendEntries): Uint8Array[] {
  const { entries } = message;
  const headerSize = APPEND_ENTRIES_SIZE + ENTRY_HEADER_SIZE * entries.length;
  let dataSize = 0;
  for (const { data } of entries) {
    // C nodes stop themselves when they meet another size.
    assert(data.length % 8 === 0, `entry data of ${data.length} bytes`);
    dataSize += data.length;
  }
  const copies = entries.length > 1 && dataSize <= COPIED_SIZE_MAX;
  const writer = begin(messageType.appendEntries, headerSize, copies ? dataSize : 0);
  writer.safeUint64(message.term);
  writer.safeUint64(message.previousIndex);
  writer.safeUint64(message.previousTerm);
  writer.safeUint64(message.commitIndex);
  writer.safeUint64(entries.length);
  for (const { term, type, data } of entries) {
    writer.safeUint64(term);
    writer.uint32(ENTRY_TYPES.indexOf(type));
    writer.uint32(data.length);
  }
  if (!copies) return [writer.written(), ...entries.map(entry => entry.data).filter(data => data.length > 0)];
  for (const { data } of entries) writer.raw(data);
  return [writer.written()];
}

function begin(type: number, headerSize: number, dataSize = 0): Writer {
  const writer = new Writer(PREAMBLE_SIZE + headerSize + dataSize);
  writer.safeUint64(type);
  writer.safeUint64(headerSize);
  return writer;
}

/** 2^62 + `number`: too large for a JavaScript number. */
function probeIndex(writer: Writer, number: number): void {
  writer.uint32(number >>> 0);
  writer.uint32(PROBE_HIGH + Math.floor(number / 4294967296));
}
