/**
 * The kinds of fields that message bodies are made of, each with its JavaScript type, decoder and encoder (wire spec
 * sections 2, 3.0 and 4.1). A message is a list of these by name (requests.ts, responses.ts); messages.ts puts the
 * three together. Decoders throw `DecodeError` only, encoders `DqliteError` USAGE for a text with a NUL inside.
 */

import { assert } from '../lib/assert.ts';
import { type Reader, type Writer, encodeUtf8 } from '../lib/bytes.ts';
import { ParameterTuple } from './parameters.ts';
import { writeText } from './text.ts';

export interface ServerAddress {
  readonly id: bigint;
  readonly address: string;
}

export interface ServerInfo extends ServerAddress {
  /** A `clientRole` from correct servers. */
  readonly role: number;
}

export interface DumpedFile {
  readonly name: Uint8Array;
  /** Its size is a multiple of 8: a database or a WAL file. */
  readonly content: Uint8Array;
}

export interface FieldTypes {
  uint32: number;
  uint64: bigint;
  int64: bigint;
  /** 64 bits for what is a small number in practice: the one database id, codes, counts, formats. */
  word: number;
  /** A last word that may be absent. */
  optionalWord: number | undefined;
  /** Text that people and programs of this project read: addresses, messages. */
  text: string;
  /** Text that passes through as it is, whatever its encoding: SQL, names. */
  textBytes: Uint8Array;
  parameters: ParameterTuple;
  /** Not in the body: the schema byte of the header, for messages whose sender chooses it. */
  schema: number;
  /** Schema 1 only. */
  tailOffset: number | undefined;
  servers: readonly ServerInfo[];
  serversV0: readonly ServerAddress[];
  files: readonly DumpedFile[];
  /** The rest of the body, undecoded. */
  rest: Uint8Array;
  /** Zeros on the wire, absent from the JavaScript type. */
  unused32: undefined;
  unused64: undefined;
}

export interface FieldCodec<T> {
  /** Errors call the field `name`. The result may be a view of the reader's bytes. */
  decode(reader: Reader, name: string, schema: number): T;
  encode(writer: Writer, value: T): void;
  /** The schema that a value asks for. Only fields whose layout depends on the schema have it. */
  schemaOf?(value: T): number;
}

/**
 * Numbers above 2^53 come out rounded, which is enough: all numbers that mean something here are small,
 * and a wrong one stays wrong.
 */
function decodeWord(reader: Reader, name: string): number {
  const low = reader.uint32(name);
  return low + reader.uint32(name) * 2 ** 32;
}

function encodeWord(writer: Writer, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, 'a word is a non-negative safe integer');
  writer.safeUint64(value);
}

function encodeText(writer: Writer, value: string): void {
  writeText(writer, encodeUtf8(value));
}

/** The count in front is not believed: memory is only used for items that are there. */
function decodeList<T>(reader: Reader, name: string, decodeItem: () => T): T[] {
  const count = decodeWord(reader, name);
  const items: T[] = [];
  while (items.length < count) items.push(decodeItem());
  return items;
}

export const fieldCodecs: { readonly [Name in keyof FieldTypes]: FieldCodec<FieldTypes[Name]> } = {
  uint32: {
    decode: (reader, name) => reader.uint32(name),
    encode: (writer, value) => writer.uint32(value),
  },
  uint64: {
    decode: (reader, name) => reader.uint64(name),
    encode: (writer, value) => writer.uint64(value),
  },
  int64: {
    decode: (reader, name) => reader.int64(name),
    encode: (writer, value) => writer.int64(value),
  },
  word: {
    decode: decodeWord,
    encode: encodeWord,
  },
  optionalWord: {
    decode: (reader, name) => (reader.remaining === 0 ? undefined : decodeWord(reader, name)),
    encode: (writer, value) => {
      if (value !== undefined) encodeWord(writer, value);
    },
  },
  text: {
    decode: (reader, name) => reader.text(name),
    encode: encodeText,
  },
  textBytes: {
    decode: (reader, name) => reader.textBytes(name),
    encode: writeText,
  },
  parameters: {
    decode: (reader, _name, schema) => ParameterTuple.decode(reader, schema),
    encode: (writer, value) => value.encode(writer),
    schemaOf: value => value.schema,
  },
  schema: {
    decode: (_reader, _name, schema) => schema,
    encode: () => {},
    schemaOf: value => value,
  },
  tailOffset: {
    decode: (reader, name, schema) => (schema === 0 ? undefined : decodeWord(reader, name)),
    encode: (writer, value) => {
      if (value !== undefined) encodeWord(writer, value);
    },
    schemaOf: value => (value === undefined ? 0 : 1),
  },
  servers: {
    decode: (reader, name) =>
      decodeList(reader, name, () => ({
        id: reader.uint64('server id'),
        address: reader.text('server address'),
        role: decodeWord(reader, 'server role'),
      })),
    encode: (writer, servers) => {
      writer.safeUint64(servers.length);
      for (const { id, address, role } of servers) {
        writer.uint64(id);
        encodeText(writer, address);
        encodeWord(writer, role);
      }
    },
  },
  serversV0: {
    decode: (reader, name) =>
      decodeList(reader, name, () => ({ id: reader.uint64('server id'), address: reader.text('server address') })),
    encode: (writer, servers) => {
      writer.safeUint64(servers.length);
      for (const { id, address } of servers) {
        writer.uint64(id);
        encodeText(writer, address);
      }
    },
  },
  files: {
    decode: (reader, name) =>
      decodeList(reader, name, () => ({
        name: reader.textBytes('file name'),
        content: reader.slice(reader.safeUint64('file size'), 'file content'),
      })),
    encode: (writer, files) => {
      writer.safeUint64(files.length);
      for (const { name, content } of files) {
        assert(content.length % 8 === 0, 'the size of a dumped file is a multiple of 8');
        writeText(writer, name);
        writer.safeUint64(content.length);
        writer.raw(content);
      }
    },
  },
  rest: {
    decode: (reader, name) => reader.slice(reader.remaining, name),
    encode: (writer, value) => writer.raw(value),
  },
  unused32: {
    decode: (reader, name) => void reader.skip(4, name),
    encode: writer => writer.zeros(4),
  },
  unused64: {
    decode: (reader, name) => void reader.skip(8, name),
    encode: writer => writer.zeros(8),
  },
};
