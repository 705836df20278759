/** Term and vote on disk, alternating between two files (raft and disk spec section 5.2). */

import { chooseMetadata, encodeMetadata, metadataFile, type Metadata } from '../format/index.ts';
import type { File, Files } from '../host/types.ts';
import type { ServerId, Term } from '../raft/index.ts';
import { damaged } from './damage.ts';
import { readSmallFile } from './read.ts';

export class MetadataStore {
  readonly #files: Files;
  readonly #directory: string;
  readonly #open = new Map<string, File>();
  #current: Metadata;

  private constructor(files: Files, directory: string, current: Metadata) {
    this.#files = files;
    this.#directory = directory;
    this.#current = current;
  }

  /** Reads both files. A new directory has version 0, term 0. */
  static async load(files: Files, directory: string): Promise<MetadataStore> {
    for (;;) {
      const first = await readSmallFile(files, files.join(directory, 'metadata1'));
      const second = await readSmallFile(files, files.join(directory, 'metadata2'));
      const choice = chooseMetadata(first, second);
      switch (choice.kind) {
        case 'brandNew':
          return new MetadataStore(files, directory, { version: 0, term: 0, vote: 0n });
        case 'current':
          return new MetadataStore(files, directory, choice.metadata);
        case 'short':
          await files.remove(files.join(directory, choice.file));
          await files.syncDirectory(directory);
          break;
        case 'damaged':
          throw damaged({
            directory,
            file: choice.file,
            what: choice.reason,
            lost: 'the current term and vote are in doubt, and voting again could make two leaders',
          });
      }
    }
  }

  get isNew(): boolean {
    return this.#current.version === 0;
  }

  get term(): Term {
    return this.#current.term;
  }

  get vote(): ServerId | undefined {
    return this.#current.vote === 0n ? undefined : this.#current.vote;
  }

  /** Durable when it resolves. */
  async store(term: Term, vote: ServerId | undefined): Promise<void> {
    const next: Metadata = { version: this.#current.version + 1, term, vote: vote ?? 0n };
    const name = metadataFile(next.version);
    const path = this.#files.join(this.#directory, name);
    let file = this.#open.get(name);
    if (file === undefined) {
      const exists = (await this.#files.list(this.#directory)).includes(name);
      file = await this.#files.open(path, { mode: exists ? 'write' : 'create', durable: true });
      this.#open.set(name, file);
      await file.write([encodeMetadata(next)], 0);
      if (!exists) await this.#files.syncDirectory(this.#directory);
    } else {
      await file.write([encodeMetadata(next)], 0);
    }
    this.#current = next;
  }

  async close(): Promise<void> {
    for (const file of this.#open.values()) await file.close();
    this.#open.clear();
  }
}
