/** Rows as they arrive, some at a time and with their columns: for who prints them. */

import { DecodeError } from '../lib/bytes.ts';
import { DqliteError } from '../lib/errors.ts';
import type { Cancellation } from './cancellation.ts';
import type { Bound } from './plan.ts';
import type { RowFormat } from './row-decoder.ts';
import type { RowStream } from './row-stream.ts';
import type { Session } from './session.ts';

export interface RowBatches {
  readonly columns: readonly string[];
  /**
   * What has arrived, again and again; never empty. To be read to its end, or left: then the statement ends on the server. Rejects with
   * DqliteError; when the call is cancelled, rows that wait here are dropped.
   */
  readonly batches: AsyncGenerator<unknown[]>;
}

/** Starts a query; resolves when its first rows are here, and that is when most errors are known. Ends the cancellation. */
export async function openBatches(
  session: Session,
  bound: Bound,
  format: RowFormat,
  cancellation: Cancellation,
): Promise<RowBatches> {
  let stream: RowStream;
  try {
    stream = await session.stream(bound, format, cancellation);
  } catch (error) {
    cancellation.end();
    throw error;
  }
  const unwatch = session.watch(stream, cancellation);
  const over = async (): Promise<void> => {
    const end = await stream.ended;
    unwatch();
    cancellation.end();
    const isLeft = stream.isStopped && cancellation.error === undefined;
    if (end.kind !== 'done' && !isLeft) throw session.errorOf(bound.plan, end, cancellation);
    // All of it came, but was not given.
    if (cancellation.error !== undefined && stream.hasRows) throw cancellation.error;
  };
  await stream.begun();
  if (stream.end !== undefined && !stream.hasRows) await over();
  return { columns: stream.columns.map(({ name }) => name), batches: batches(stream, cancellation, over) };
}

async function* batches(
  stream: RowStream,
  cancellation: Cancellation,
  over: () => Promise<void>,
): AsyncGenerator<unknown[]> {
  try {
    for (;;) {
      const rows = cancellation.error === undefined ? atHand(stream) : [];
      if (rows.length > 0) yield rows;
      else if (stream.end !== undefined) break;
      else await stream.more();
    }
    await over();
  } finally {
    if (stream.end === undefined) {
      stream.stop();
      await over().catch(() => {});
    }
  }
}

function atHand(stream: RowStream): unknown[] {
  const rows: unknown[] = [];
  try {
    for (let row = stream.take(); row !== undefined; row = stream.take()) rows.push(row);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new DqliteError('PROTOCOL', 'the server sent rows that cannot be understood', { cause: error });
  }
  return rows;
}
