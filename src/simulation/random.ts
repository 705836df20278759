/** Random streams of a simulation: one per purpose, so that more use of one does not change the others. */

import { crc32 } from '../lib/crc32.ts';
import { encodeUtf8 } from '../lib/bytes.ts';
import { SeededRandom } from '../lib/random.ts';

export function streamOf(seed: number, purpose: string): SeededRandom {
  return new SeededRandom((crc32(encodeUtf8(purpose)) ^ Math.imul(seed, 0x9e3779b1)) >>> 0);
}
