/** Term and vote on disk, alternating between two files (raft and disk spec section 5.2). */

import {
  chooseMetadata,
  decodeMetadata,
  encodeMetadata,
  metadataFile,
  type Metadata,
  type MetadataFile,
} from '../format/index.ts';
import type { File, Files } from '../host/types.ts';
import type { ServerId, Term } from '../raft/index.ts';
import { damaged } from './damage.ts';
import { readSmallFile } from './read.ts';

const NAMES: readonly MetadataFile[] = ['metadata1', 'metadata2'];

export class MetadataStore {
  readonly #files: Files;
  readonly #directory: string;
  readonly #open = new Map<string, File>();
  /** Files whose names may not survive a power failure. */
  readonly #unlinked = new Set<string>();
  #current: Metadata;

  /** The last write that was asked for. */
  #storing: Promise<void> = Promise.resolve();

  private constructor(files: Files, directory: string, current: Metadata) {
    this.#files = files;
    this.#directory = directory;
    this.#current = current;
  }

  /** Reads both files and changes nothing. A new directory has version 0, term 0. */
  static async load(files: Files, directory: string): Promise<MetadataStore> {
    const contents = new Map<MetadataFile, Uint8Array | undefined>();
    for (const name of NAMES) {
      const bytes = await readSmallFile(files, files.join(directory, name));
      // A file system may keep the size of a file that was just created and lose its bytes.
      contents.set(name, bytes?.every(byte => byte === 0) === true ? new Uint8Array(0) : bytes);
    }
    for (;;) {
      const choice = chooseMetadata(contents.get('metadata1'), contents.get('metadata2'));
      switch (choice.kind) {
        case 'brandNew':
          return new MetadataStore(files, directory, { version: 0, term: 0, vote: 0n });
        case 'current': {
          const reason = contradiction(choice.metadata, contents);
          if (reason !== undefined) throw inDoubt(directory, reason.file, reason.what);
          return new MetadataStore(files, directory, choice.metadata);
        }
        case 'short':
          // It counts as not there, and will be written over.
          contents.set(choice.file, undefined);
          break;
        case 'damaged':
          throw inDoubt(directory, choice.file, choice.reason);
      }
    }
  }

  /** Makes what was read durable: the process that wrote it may have ended before it was, or its sync has failed. */
  async settle(): Promise<void> {
    if (this.isNew) return;
    const name = metadataFile(this.#current.version);
    const path = this.#files.join(this.#directory, name);
    const file = await this.#files.open(path, { mode: 'write', durable: true });
    this.#open.set(name, file);
    await file.write([encodeMetadata(this.#current)], 0);
  }

  /** Nothing was ever stored. */
  get isNew(): boolean {
    return this.#current.version === 0;
  }

  get term(): Term {
    return this.#current.term;
  }

  get vote(): ServerId | undefined {
    return this.#current.vote === 0n ? undefined : this.#current.vote;
  }

  /** Durable when it resolves. One after the other: each goes into the file that does not hold the newest. */
  store(term: Term, vote: ServerId | undefined): Promise<void> {
    const stored = this.#storing.then(() => this.#store(term, vote));
    // One that failed does not stand in the way of the next.
    this.#storing = stored.catch(() => {});
    return stored;
  }

  async #store(term: Term, vote: ServerId | undefined): Promise<void> {
    const next: Metadata = { version: this.#current.version + 1, term, vote: vote ?? 0n };
    const name = metadataFile(next.version);
    const file = this.#open.get(name) ?? (await this.#openFile(name));
    await file.write([encodeMetadata(next)], 0);
    if (this.#unlinked.has(name)) {
      await this.#files.syncDirectory(this.#directory);
      this.#unlinked.delete(name);
    }
    this.#current = next;
  }

  async close(): Promise<void> {
    await this.#storing;
    const files = [...this.#open.values()];
    this.#open.clear();
    for (const file of files) await file.close();
  }

  async #openFile(name: MetadataFile): Promise<File> {
    const exists = (await this.#files.list(this.#directory)).includes(name);
    const path = this.#files.join(this.#directory, name);
    const file = await this.#files.open(path, { mode: exists ? 'write' : 'create', durable: true });
    if (!exists) this.#unlinked.add(name);
    this.#open.set(name, file);
    return file;
  }
}

function inDoubt(directory: string, file: string, what: string): Error {
  const lost = 'the current term and vote are in doubt, and voting again could make two leaders';
  return damaged({ directory, file, what, lost });
}

/** The format has no checksum, but not everything can be: odd versions are in metadata1, terms never go back. */
function contradiction(
  current: Metadata,
  contents: ReadonlyMap<MetadataFile, Uint8Array | undefined>,
): { file: MetadataFile; what: string } | undefined {
  for (const [file, bytes] of contents) {
    if (bytes === undefined) continue;
    const { version, term } = decodeMetadata(bytes);
    if (metadataFile(version) !== file) return { file, what: `version ${version} belongs into the other file` };
    if (term > current.term) return { file, what: `term ${term} in version ${version}, but ${current.term} later` };
  }
  return undefined;
}
