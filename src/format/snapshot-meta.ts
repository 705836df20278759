/**
 * The `.meta` file beside a snapshot (raft and disk spec section 5.8): the cluster's configuration at the
 * snapshot's index. Term and index of the snapshot are only in its file name.
 */

import { assert } from '../lib/assert.ts';
import { DecodeError, Reader, Writer } from '../lib/bytes.ts';
import { crc32 } from '../lib/crc32.ts';
import { type Configuration, decodeConfiguration, encodeConfiguration } from '../raft/configuration.ts';

export interface SnapshotMeta {
  /** Index of the log entry in which `configuration` was committed. */
  readonly configurationIndex: number;
  readonly configuration: Configuration;
}

const FORMAT = 1n;
const CRC_OFFSET = 8;
/** The CRC covers everything from here on. */
const CHECKED_OFFSET = 16;
const CONFIGURATION_OFFSET = 32;
export const CONFIGURATION_SIZE_MAX: number = 1024 * 1024;

export function encodeSnapshotMeta(meta: SnapshotMeta): Uint8Array {
  const configuration = encodeConfiguration(meta.configuration);
  assert(configuration.length <= CONFIGURATION_SIZE_MAX, `configuration of ${configuration.length} bytes`);
  const writer = new Writer(CONFIGURATION_OFFSET + configuration.length);
  writer.uint64(FORMAT);
  writer.uint64(0n);
  writer.safeUint64(meta.configurationIndex);
  writer.safeUint64(configuration.length);
  writer.raw(configuration);
  const bytes = writer.written();
  writer.view.setUint32(CRC_OFFSET, crc32(bytes.subarray(CHECKED_OFFSET)), true);
  return bytes;
}

/** Throws DecodeError. */
export function decodeSnapshotMeta(bytes: Uint8Array): SnapshotMeta {
  const reader = new Reader(bytes);
  const format = reader.uint64('snapshot metadata format');
  if (format !== FORMAT) throw new DecodeError(`snapshot metadata format ${format}`, 0);
  const crc = reader.uint64('checksum');
  const configurationIndex = reader.safeUint64('configuration index');
  const size = reader.safeUint64('configuration size');
  if (size > CONFIGURATION_SIZE_MAX || size !== reader.remaining) {
    throw new DecodeError(`configuration of ${size} bytes where ${reader.remaining} follow`, 24);
  }
  if (crc !== BigInt(crc32(bytes.subarray(CHECKED_OFFSET)))) {
    throw new DecodeError('wrong checksum of the snapshot metadata', CRC_OFFSET);
  }
  return { configurationIndex, configuration: decodeConfiguration(bytes, CONFIGURATION_OFFSET) };
}
