/**
 * What follows from a message's one field list: its TypeScript type (`MessageOf`), its decoder and its encoder
 * (`MessageCodec`). Fields lie in the body in the order of the list (wire spec sections 3.0, 4.1); bytes behind the
 * last are ignored, as all receivers do.
 */

import { Reader, type Writer } from '../lib/bytes.ts';
import { type FieldCodec, type FieldTypes, fieldCodecs } from './fields.ts';
import { beginMessage, endMessage } from './framing.ts';

export type FieldList = Readonly<Record<string, keyof FieldTypes>>;

/** The message `Kind` as an object: its fields, without the unused ones. */
export type MessageOf<Kind extends string, List extends FieldList> = { readonly kind: Kind } & {
  readonly [Field in keyof List as List[Field] extends `unused${string}` ? never : Field]: FieldTypes[List[Field]];
};

type Message = Readonly<Record<string, unknown>>;

interface Field {
  readonly name: string;
  readonly codec: FieldCodec<unknown>;
  readonly isUnused: boolean;
}

export class MessageCodec {
  readonly kind: string;
  readonly type: number;
  /** The message exists in all schemas from 0 to this one. */
  readonly maxSchema: number;
  readonly #fields: readonly Field[];
  readonly #schemaField: Field | undefined;

  constructor(kind: string, type: number, list: FieldList) {
    this.kind = kind;
    this.type = type;
    this.#fields = Object.entries(list).map(([name, field]) => ({
      name,
      codec: fieldCodecs[field] as FieldCodec<unknown>,
      isUnused: field.startsWith('unused'),
    }));
    this.#schemaField = this.#fields.find(field => field.codec.schemaOf !== undefined);
    this.maxSchema = this.#schemaField === undefined ? 0 : 1;
  }

  /** Throws `DecodeError`. Views in the result are views of `body`. */
  decode(body: Uint8Array, schema: number): Message {
    const reader = new Reader(body);
    const message: Record<string, unknown> = { kind: this.kind };
    for (const { name, codec, isUnused } of this.#fields) {
      const value = codec.decode(reader, name, schema);
      if (!isUnused) message[name] = value;
    }
    return message;
  }

  /** Writes header and body. */
  encode(writer: Writer, message: Message): void {
    const schema = this.#schemaField?.codec.schemaOf?.(message[this.#schemaField.name]) ?? 0;
    const start = beginMessage(writer, this.type, schema);
    for (const { name, codec } of this.#fields) codec.encode(writer, message[name]);
    endMessage(writer, start);
  }
}

/** One codec for each kind of message. */
export function codecsOf<Kind extends string>(
  types: Readonly<Record<Kind, number>>,
  lists: Readonly<Record<Kind, FieldList>>,
): Readonly<Record<Kind, MessageCodec>> {
  const kinds = Object.keys(types) as Kind[];
  const codecs = kinds.map(kind => [kind, new MessageCodec(kind, types[kind], lists[kind])] as const);
  return Object.fromEntries(codecs) as Record<Kind, MessageCodec>;
}

/** The codecs by type code. */
export function byType(codecs: readonly MessageCodec[]): readonly (MessageCodec | undefined)[] {
  const result: (MessageCodec | undefined)[] = [];
  for (const codec of codecs) result[codec.type] = codec;
  return result;
}
