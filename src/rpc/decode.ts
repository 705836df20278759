/**
 * Headers of messages to values (raft and disk spec section 2). Total: any bytes give a value or a `DecodeError`.
 * A header may be longer than its fields, as C's are; of two forms the longer one that fits counts.
 */

import { DecodeError, Reader } from '../lib/bytes.ts';
import { decodeConfiguration, type EntryType, type InstallSnapshot, type Message, type Term } from '../raft/index.ts';
import {
  ENTRY_HEADER_SIZE,
  ENTRY_SIZE_MAX,
  ENTRY_TYPES,
  FLAG_DISRUPT_LEADER,
  FLAG_PRE_VOTE,
  FLAG_RESULT_OF_PRE_VOTE,
  messageType,
  PROBE_HIGH,
} from './codes.ts';

export interface EntryHeader {
  readonly term: Term;
  readonly type: EntryType;
  /** In bytes. */
  readonly size: number;
}

/** An AppendEntries whose entries' data is still to come. */
export interface AppendEntriesHeader {
  readonly kind: 'appendEntriesHeader';
  readonly term: Term;
  readonly previousIndex: number;
  readonly previousTerm: Term;
  readonly commitIndex: number;
  readonly entries: readonly EntryHeader[];
}

export interface InstallSnapshotHeader {
  readonly kind: 'installSnapshotHeader';
  readonly message: InstallSnapshot;
  /** Bytes of data that follow. */
  readonly size: number;
}

export type Header =
  | Exclude<Message, { readonly kind: 'appendEntries' | 'installSnapshot' }>
  | AppendEntriesHeader
  | InstallSnapshotHeader;

/** `type` has 16 bits: the others are reserved. Throws DecodeError, with offsets in the header. */
export function decodeHeader(type: number, bytes: Uint8Array): Header {
  const reader = new Reader(bytes);
  switch (type) {
    case messageType.appendEntries:
      return decodeAppendEntries(reader);
    case messageType.appendEntriesResult:
      return decodeAppendEntriesResult(reader);
    case messageType.requestVote:
      return decodeRequestVote(reader);
    case messageType.requestVoteResult:
      return decodeRequestVoteResult(reader);
    case messageType.installSnapshot:
      return decodeInstallSnapshot(reader);
    case messageType.timeoutNow:
      return {
        kind: 'timeoutNow',
        term: reader.safeUint64('term'),
        lastIndex: reader.safeUint64('last index'),
        lastTerm: reader.safeUint64('last term'),
      };
    default:
      throw new DecodeError(`message type ${type}`, 0);
  }
}

function decodeAppendEntries(reader: Reader): Header {
  const term = reader.safeUint64('term');
  const number = probeNumber(reader);
  if (number === undefined) {
    const previousIndex = reader.safeUint64('previous index');
    const previousTerm = reader.safeUint64('previous term');
    const commitIndex = reader.safeUint64('commit index');
    const entries = decodeEntryHeaders(reader);
    if (!Number.isSafeInteger(previousIndex + entries.length)) throw new DecodeError('previous index too large', 8);
    return { kind: 'appendEntriesHeader', term, previousIndex, previousTerm, commitIndex, entries };
  }
  reader.skip(16, 'previous term and commit index');
  const countOffset = reader.offset;
  const count = reader.uint64('entry count');
  if (count !== 0n) throw new DecodeError(`${count} entries in a read probe`, countOffset);
  return { kind: 'readProbe', term, number };
}

function decodeEntryHeaders(reader: Reader): EntryHeader[] {
  const countOffset = reader.offset;
  const count = reader.safeUint64('entry count');
  if (count > reader.remaining / ENTRY_HEADER_SIZE) {
    throw new DecodeError(`${count} entries in ${reader.remaining} bytes`, countOffset);
  }
  const entries: EntryHeader[] = [];
  while (entries.length < count) {
    const term = reader.safeUint64('term of an entry');
    const typeOffset = reader.offset;
    const code = reader.uint8('entry type');
    const type = ENTRY_TYPES[code];
    if (type === undefined) throw new DecodeError(`entry type ${code}`, typeOffset);
    reader.skip(3, 'unused bytes');
    const sizeOffset = reader.offset;
    const size = reader.uint32('entry size');
    if (size % 8 !== 0) throw new DecodeError(`entry of ${size} bytes, not a multiple of 8`, sizeOffset);
    if (size > ENTRY_SIZE_MAX)
      throw new DecodeError(`entry of ${size} bytes, the limit is ${ENTRY_SIZE_MAX}`, sizeOffset);
    entries.push({ term, type, size });
  }
  return entries;
}

function decodeAppendEntriesResult(reader: Reader): Header {
  const term = reader.safeUint64('term');
  const number = probeNumber(reader);
  const rejected = number === undefined ? reader.safeUint64('rejected index') : 0;
  const lastIndex = reader.safeUint64('last index');
  const features = reader.remaining >= 8 ? reader.uint64('features') : undefined;
  return number === undefined
    ? { kind: 'appendEntriesResult', term, rejected, lastIndex, features }
    : { kind: 'readProbeResult', term, number, lastIndex, features };
}

function decodeRequestVote(reader: Reader): Header {
  const term = reader.safeUint64('term');
  const candidateOffset = reader.offset;
  const candidate = reader.uint64('candidate');
  if (candidate === 0n) throw new DecodeError('candidate 0', candidateOffset);
  const lastIndex = reader.safeUint64('last index');
  const lastTerm = reader.safeUint64('last term');
  const flags = reader.remaining >= 8 ? reader.uint8('flags') : 0;
  return {
    kind: 'requestVote',
    term,
    candidate,
    lastIndex,
    lastTerm,
    disruptLeader: (flags & FLAG_DISRUPT_LEADER) !== 0,
    preVote: (flags & FLAG_PRE_VOTE) !== 0,
  };
}

function decodeRequestVoteResult(reader: Reader): Header {
  const term = reader.safeUint64('term');
  const granted = reader.uint64('vote') === 1n;
  const preVote = reader.remaining >= 8 ? (reader.uint8('flags') & FLAG_RESULT_OF_PRE_VOTE) !== 0 : undefined;
  return { kind: 'requestVoteResult', term, granted, preVote };
}

function decodeInstallSnapshot(reader: Reader): Header {
  const term = reader.safeUint64('term');
  const lastIndexOffset = reader.offset;
  const lastIndex = reader.safeUint64('last index');
  if (lastIndex === 0) throw new DecodeError('snapshot of nothing', lastIndexOffset);
  const lastTerm = reader.safeUint64('last term');
  const configurationIndex = reader.safeUint64('configuration index');
  const configurationSize = reader.safeUint64('configuration size');
  const configurationOffset = reader.offset;
  reader.skip(configurationSize, 'configuration');
  const configuration = decodeConfiguration(reader.bytes.subarray(0, reader.offset), configurationOffset);
  const size = reader.safeUint64('snapshot size');
  const message: InstallSnapshot = {
    kind: 'installSnapshot',
    term,
    lastIndex,
    lastTerm,
    configurationIndex,
    configuration,
  };
  return { kind: 'installSnapshotHeader', message, size };
}

/** Takes an index if it is a probe's number; otherwise leaves it. */
function probeNumber(reader: Reader): number | undefined {
  const start = reader.offset;
  const low = reader.uint32('index');
  const high = reader.uint32('index');
  // Number.MAX_SAFE_INTEGER has 21 bits in its upper half.
  if (high >= PROBE_HIGH && high < PROBE_HIGH + 0x200000) return (high - PROBE_HIGH) * 4294967296 + low;
  reader.offset = start;
  return undefined;
}
