/**
 * The names in one simulated folder.
 *
 * | what was done since `syncDirectory` | what a power failure can leave of it                             |
 * | ----------------------------------- | ---------------------------------------------------------------- |
 * | creation, removal                   | done or not, each by itself                                      |
 * | rename                              | done or not, both names together                                 |
 * | changes of the same name            | a later one survives only with the earlier ones                  |
 * | `syncDirectory` that failed         | as if not called; a later one that succeeds makes all durable     |
 */

import type { SeededRandom } from '../lib/random.ts';
import type { FileContent } from './file-content.ts';

/** New contents of names, all at once; undefined: the name is gone. */
type Change = readonly (readonly [name: string, content: FileContent | undefined])[];

export type ContentMap = (content: FileContent) => FileContent;

export class Folder {
  readonly #shown = new Map<string, FileContent>();
  readonly #platter = new Map<string, FileContent>();
  /** Changes that are not on the platter. */
  #changes: Change[] = [];
  #changeCount = 0;

  get names(): string[] {
    return [...this.#shown.keys()];
  }

  /** The number of the last change, for `synced`. */
  get lastChange(): number {
    return this.#changeCount;
  }

  get(name: string): FileContent | undefined {
    return this.#shown.get(name);
  }

  change(change: Change): void {
    set(this.#shown, change);
    this.#changes.push(change);
    this.#changeCount++;
  }

  /** A sync that was called after the change with this number has succeeded. */
  synced(lastChange: number): void {
    const count = this.#changes.length - (this.#changeCount - lastChange);
    for (const change of this.#changes.splice(0, Math.max(0, count))) set(this.#platter, change);
  }

  *contents(): Generator<FileContent> {
    yield* this.#shown.values();
  }

  clone(map: ContentMap): Folder {
    const copy = new Folder();
    for (const [name, content] of this.#shown) copy.#shown.set(name, map(content));
    for (const [name, content] of this.#platter) copy.#platter.set(name, map(content));
    copy.#changes = this.#changes.map(change => change.map(([name, content]) => [name, content && map(content)]));
    copy.#changeCount = this.#changeCount;
    return copy;
  }

  /** One of the possible outcomes. `map` gives what is left of a file's content. */
  afterPowerFailure(random: SeededRandom, map: ContentMap): Folder {
    const survivors = new Map(this.#platter);
    const lostNames = new Set<string>();
    const chance = random.pick([0, 1, 0.5, 0.5]);
    for (const change of this.#changes) {
      if (random.float() < chance && !change.some(([name]) => lostNames.has(name))) set(survivors, change);
      else for (const [name] of change) lostNames.add(name);
    }
    const after = new Folder();
    for (const [name, content] of survivors) {
      const left = map(content);
      after.#shown.set(name, left);
      after.#platter.set(name, left);
    }
    return after;
  }
}

function set(names: Map<string, FileContent>, change: Change): void {
  for (const [name, content] of change) {
    if (content === undefined) names.delete(name);
    else names.set(name, content);
  }
}
