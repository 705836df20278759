/** The real host: this process, its operating system. */

import { randomFillSync } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { NodeFiles } from './node-files.ts';
import { NodeNet } from './node-net.ts';
import type { Clock, Host, Random, SameBytes, Timer } from './types.ts';

class NodeClock implements Clock {
  monotonicMs(): number {
    return performance.now();
  }

  wallMs(): number {
    return Date.now();
  }

  setTimer(delayMs: number, callback: () => void, keepsProcess = false): Timer {
    const timer = setTimeout(callback, delayMs);
    // A node lives as long as it listens: the deadline of somebody who has gone must not keep the process.
    if (!keepsProcess) timer.unref();
    return { cancel: () => clearTimeout(timer) };
  }

  defer(callback: () => void): void {
    setImmediate(callback);
  }
}

class NodeRandom implements Random {
  fill(bytes: Uint8Array): void {
    randomFillSync(bytes);
  }

  uint32(): number {
    const word = new Uint32Array(1);
    randomFillSync(word);
    return word[0]!;
  }
}

export const sameBytes: SameBytes = (a, aOffset, b, bOffset, size) =>
  Buffer.prototype.compare.call(a, b, bOffset, bOffset + size, aOffset, aOffset + size) === 0;

export function nodeHost(): Host {
  return { sameBytes, clock: new NodeClock(), random: new NodeRandom(), files: new NodeFiles(), net: new NodeNet() };
}
