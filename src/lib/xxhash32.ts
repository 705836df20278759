/**
 * XXH32 with seed 0 (xxHash specification 0.1.1, section XXH32), incrementally. Its one use is the
 * checksums inside LZ4 frames.
 */

const PRIME_1 = 0x9e3779b1;
const PRIME_2 = 0x85ebca77;
const PRIME_3 = 0xc2b2ae3d;
const PRIME_4 = 0x27d4eb2f;
const PRIME_5 = 0x165667b1;

/** Bytes that the four lanes take together. */
const STRIPE_SIZE = 16;

export class XxHash32 {
  #lane1 = (PRIME_1 + PRIME_2) | 0;
  #lane2 = PRIME_2 | 0;
  #lane3 = 0;
  #lane4 = -PRIME_1 | 0;
  #size = 0;
  /** The bytes after the last whole stripe. */
  readonly #tail = new Uint8Array(STRIPE_SIZE);
  #tailSize = 0;

  update(bytes: Uint8Array): void {
    this.#size += bytes.length;
    let start = 0;
    if (this.#tailSize > 0) {
      start = Math.min(STRIPE_SIZE - this.#tailSize, bytes.length);
      this.#tail.set(bytes.subarray(0, start), this.#tailSize);
      this.#tailSize += start;
      if (this.#tailSize < STRIPE_SIZE) return;
      this.#stripes(this.#tail, 0, STRIPE_SIZE);
    }
    const end = bytes.length - ((bytes.length - start) % STRIPE_SIZE);
    this.#stripes(bytes, start, end);
    this.#tail.set(bytes.subarray(end));
    this.#tailSize = bytes.length - end;
  }

  /** The hash of everything so far, as an unsigned 32-bit number. More can be added afterwards. */
  digest(): number {
    let hash =
      this.#size < STRIPE_SIZE
        ? PRIME_5
        : rotate(this.#lane1, 1) + rotate(this.#lane2, 7) + rotate(this.#lane3, 12) + rotate(this.#lane4, 18);
    hash = (hash + this.#size) | 0;
    const view = new DataView(this.#tail.buffer);
    let offset = 0;
    for (; offset + 4 <= this.#tailSize; offset += 4) {
      const mixed = (hash + Math.imul(view.getInt32(offset, true), PRIME_3)) | 0;
      hash = Math.imul(rotate(mixed, 17), PRIME_4);
    }
    for (; offset < this.#tailSize; offset++) {
      const mixed = (hash + Math.imul(view.getUint8(offset), PRIME_5)) | 0;
      hash = Math.imul(rotate(mixed, 11), PRIME_1);
    }
    hash = Math.imul(hash ^ (hash >>> 15), PRIME_2);
    hash = Math.imul(hash ^ (hash >>> 13), PRIME_3);
    return (hash ^ (hash >>> 16)) >>> 0;
  }

  #stripes(bytes: Uint8Array, start: number, end: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let lane1 = this.#lane1;
    let lane2 = this.#lane2;
    let lane3 = this.#lane3;
    let lane4 = this.#lane4;
    for (let offset = start; offset < end; offset += STRIPE_SIZE) {
      lane1 = round(lane1, view.getInt32(offset, true));
      lane2 = round(lane2, view.getInt32(offset + 4, true));
      lane3 = round(lane3, view.getInt32(offset + 8, true));
      lane4 = round(lane4, view.getInt32(offset + 12, true));
    }
    this.#lane1 = lane1;
    this.#lane2 = lane2;
    this.#lane3 = lane3;
    this.#lane4 = lane4;
  }
}

export function xxhash32(bytes: Uint8Array): number {
  const hash = new XxHash32();
  hash.update(bytes);
  return hash.digest();
}

function round(lane: number, input: number): number {
  return Math.imul(rotate((lane + Math.imul(input, PRIME_2)) | 0, 13), PRIME_1);
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}
