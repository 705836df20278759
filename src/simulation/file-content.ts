/**
 * The bytes of one simulated file: as the operating system shows them, and as the platter holds them.
 *
 * | what was done                    | what a power failure can leave of it                                        |
 * | -------------------------------- | --------------------------------------------------------------------------- |
 * | write, not synced                | each sector of 512 bytes by itself: as before, as after, or as after any    |
 * |                                  | unsynced write between; so lost, torn, or in another order                   |
 * | write that made the file longer  | the same, and the size by itself: a size without its bytes reads as zeros    |
 * | truncate, not synced             | done or not, as a whole                                                      |
 * | sync that resolved               | everything before its call stays                                             |
 * | durable write that resolved      | its bytes and a size that covers them stay; nothing is said about other ones |
 * | sync or durable write that       | as if not synced; a later sync makes the size durable, but not the bytes: the |
 * | failed                           | system has forgotten that they are dirty. Writing them again helps           |
 *
 * A sector is never half-written, not even by a process that is killed.
 */

import { assert } from '../lib/assert.ts';
import type { SeededRandom } from '../lib/random.ts';

export const SECTOR_SIZE = 512;

/** What a sector held after a change that is not on the platter. */
interface Version {
  readonly sequence: number;
  readonly bytes: Uint8Array;
  /** The change was a truncate: it is on the platter if and only if the size is. */
  readonly cut: boolean;
  /** Its sync failed: later ones pass over it. */
  forgotten: boolean;
}

/** A sector that is not on the platter as the system shows it. */
interface Sector {
  platter: Uint8Array;
  /** At least one, oldest first; the last is what the system shows. */
  versions: Version[];
}

interface SizeChange {
  readonly sequence: number;
  readonly size: number;
}

/** What survives of the changes to one file. */
type Survival = 'none' | 'all' | 'prefix' | 'any';
const SURVIVALS: readonly Survival[] = ['none', 'all', 'prefix', 'any', 'any'];

export class FileContent {
  /** Zero from `#size` on. */
  #bytes = new Uint8Array(0);
  #size = 0;
  #platterSize = 0;
  readonly #sectors = new Map<number, Sector>();
  #sizeChanges: SizeChange[] = [];
  #sequence = 0;

  get size(): number {
    return this.#size;
  }

  /** The number of the last change, for `synced`. */
  get lastChange(): number {
    return this.#sequence;
  }

  read(target: Uint8Array, offset: number): number {
    const part = this.#bytes.subarray(Math.min(offset, this.#size), Math.min(offset + target.length, this.#size));
    target.set(part);
    return part.length;
  }

  /** Writes the pieces one after the other and gives the number of the change. */
  write(pieces: readonly Uint8Array[], offset: number): number {
    const size = pieces.reduce((sum, piece) => sum + piece.length, 0);
    if (size === 0) return this.#sequence;
    const end = offset + size;
    this.#reserve(end);
    this.#change(offset, end, false, () => {
      let position = offset;
      for (const piece of pieces) {
        this.#bytes.set(piece, position);
        position += piece.length;
      }
    });
    if (end > this.#size) this.#setSize(end);
    return this.#sequence;
  }

  truncate(size: number): void {
    if (size === this.#size) return;
    this.#reserve(size);
    this.#change(size, Math.max(size, this.#size), true, () => this.#bytes.fill(0, size));
    this.#setSize(size);
  }

  /** A sync that was called after the change `sequence` has succeeded. */
  synced(sequence: number): void {
    this.#settleSize(sequence);
    for (const [number, sector] of this.#sectors) this.#settleSector(number, sector, sequence);
  }

  /** A durable write has succeeded. */
  wroteDurably(sequence: number, offset: number, size: number): void {
    if (size === 0) return;
    const end = offset + size;
    const isShort = (change: SizeChange): boolean => change.sequence <= sequence && change.size < end;
    if (this.#platterSize < end || this.#sizeChanges.some(isShort)) this.#settleSize(sequence);
    for (let number = firstSector(offset); number < endSector(end); number++) {
      const sector = this.#sectors.get(number);
      if (sector !== undefined) this.#settleSector(number, sector, sequence);
    }
  }

  /** A sync or durable write failed: what was changed up to then will not be tried again. */
  syncFailed(sequence: number): void {
    for (const { versions } of this.#sectors.values()) {
      for (const version of versions) if (!version.cut && version.sequence <= sequence) version.forgotten = true;
    }
  }

  clone(): FileContent {
    const copy = new FileContent();
    copy.#bytes = this.#bytes.slice();
    copy.#size = this.#size;
    copy.#platterSize = this.#platterSize;
    copy.#sequence = this.#sequence;
    copy.#sizeChanges = [...this.#sizeChanges];
    for (const [number, { platter, versions }] of this.#sectors) {
      copy.#sectors.set(number, { platter, versions: versions.map(version => ({ ...version })) });
    }
    return copy;
  }

  /** What the platter holds after a power failure: one of the possible outcomes. */
  afterPowerFailure(random: SeededRandom): FileContent {
    const survival = random.pick(SURVIVALS);
    const kept = chosen(this.#sizeChanges.length, survival, random);
    const sizeChange = this.#sizeChanges[kept - 1];
    const after = new FileContent();
    after.#size = sizeChange?.size ?? this.#platterSize;
    after.#platterSize = after.#size;
    after.#reserve(after.#size);
    after.#bytes.set(this.#bytes.subarray(0, after.#size));
    const numbers = [...this.#sectors.keys()].sort((a, b) => a - b);
    const prefixEnd = numbers[random.below(numbers.length + 1)] ?? Infinity;
    for (const number of numbers) {
      const offset = number * SECTOR_SIZE;
      if (offset >= after.#size) break;
      const sector = this.#sectors.get(number)!;
      const survivalHere = survival === 'prefix' ? (number < prefixEnd ? 'all' : 'none') : survival;
      const bytes = survivor(sector, sizeChange?.sequence ?? 0, survivalHere, random);
      after.#bytes.set(bytes.subarray(0, after.#size - offset), offset);
    }
    return after;
  }

  /** Notes what the sectors of a range held before a change, if that is not known, and what they hold after it. */
  #change(offset: number, end: number, cut: boolean, apply: () => void): void {
    this.#sequence++;
    const first = firstSector(offset);
    const last = endSector(end);
    const before = this.#bytes.slice(first * SECTOR_SIZE, last * SECTOR_SIZE);
    apply();
    const after = this.#bytes.slice(first * SECTOR_SIZE, last * SECTOR_SIZE);
    for (let number = first; number < last; number++) {
      const start = (number - first) * SECTOR_SIZE;
      let sector = this.#sectors.get(number);
      if (sector === undefined) {
        sector = { platter: before.subarray(start, start + SECTOR_SIZE), versions: [] };
        this.#sectors.set(number, sector);
      }
      const bytes = after.subarray(start, start + SECTOR_SIZE);
      sector.versions.push({ sequence: this.#sequence, bytes, cut, forgotten: false });
    }
  }

  #setSize(size: number): void {
    this.#size = size;
    this.#sizeChanges.push({ sequence: this.#sequence, size });
  }

  /** The newest size up to a change is on the platter, and with it what truncates did to the bytes. */
  #settleSize(sequence: number): void {
    const last = this.#sizeChanges.findLastIndex(change => change.sequence <= sequence);
    const change = this.#sizeChanges[last];
    if (change === undefined) return;
    this.#platterSize = change.size;
    this.#sizeChanges.splice(0, last + 1);
    for (const [number, sector] of this.#sectors) {
      const cut = sector.versions.findLastIndex(version => version.cut && version.sequence <= change.sequence);
      if (cut !== -1) this.#drop(number, sector, cut);
    }
  }

  #settleSector(number: number, sector: Sector, sequence: number): void {
    const last = sector.versions.findLastIndex(version => version.sequence <= sequence && !version.forgotten);
    if (last !== -1) this.#drop(number, sector, last);
  }

  /** The version at a position is on the platter. */
  #drop(number: number, sector: Sector, position: number): void {
    sector.platter = sector.versions[position]!.bytes;
    sector.versions = sector.versions.slice(position + 1);
    if (sector.versions.length === 0) this.#sectors.delete(number);
  }

  #reserve(size: number): void {
    const capacity = Math.ceil(size / SECTOR_SIZE) * SECTOR_SIZE;
    if (capacity <= this.#bytes.length) return;
    assert(Number.isSafeInteger(capacity), `file of ${size} bytes`);
    const grown = new Uint8Array(Math.max(capacity, this.#bytes.length * 2));
    grown.set(this.#bytes);
    this.#bytes = grown;
  }
}

function firstSector(offset: number): number {
  return Math.floor(offset / SECTOR_SIZE);
}

function endSector(end: number): number {
  return Math.ceil(end / SECTOR_SIZE);
}

/** How many of `count` changes, the first ones, survive. */
function chosen(count: number, survival: Survival, random: SeededRandom): number {
  if (survival === 'none') return 0;
  return survival === 'all' ? count : random.below(count + 1);
}

/** What a sector holds, given the last change of the size that is on the platter. */
function survivor(sector: Sector, sizeSequence: number, survival: Survival, random: SeededRandom): Uint8Array {
  const { platter, versions } = sector;
  const cut = versions.findLastIndex(version => version.cut && version.sequence <= sizeSequence);
  const later = versions.slice(cut + 1).filter(version => !version.cut);
  const oldest = versions[cut]?.bytes ?? platter;
  const kept = chosen(later.length, survival, random);
  return later[kept - 1]?.bytes ?? oldest;
}
