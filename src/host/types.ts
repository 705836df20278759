/**
 * The only doors to the outside: time, randomness, files, network. Everything that is not pure reaches the
 * operating system through these interfaces, so that the simulator can run whole nodes on time, disks and
 * networks of its own. `host/node.ts` is the real one.
 */

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds from an arbitrary point, never going back. */
  monotonicMs(): number;
  /** Milliseconds since 1970, as people set it. */
  wallMs(): number;
  /** `keepsProcess`: somebody waits for it, the process must not end before. Otherwise it may. */
  setTimer(delayMs: number, callback: () => void, keepsProcess?: boolean): Timer;
  /** Runs the callback once the input and output that is ready now was handled. */
  defer(callback: () => void): void;
}

export interface Random {
  fill(bytes: Uint8Array): void;
  uint32(): number;
}

/**
 * What a failed file operation was refused for, as far as the callers distinguish. `EMFILE`: the process, or the
 * system, has as many files and connections open as it may.
 */
export type FileErrorCode = 'ENOENT' | 'EEXIST' | 'ENOSPC' | 'EMFILE' | 'EIO' | 'EACCES' | 'OTHER';

export class FileError extends Error {
  override readonly name = 'FileError';
  readonly code: FileErrorCode;
  readonly path: string;

  constructor(code: FileErrorCode, path: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.path = path;
  }
}

/** Whether an operation was refused for what others can give back: space, or places for open files. */
export function mayPass(error: unknown): error is FileError {
  return error instanceof FileError && (error.code === 'ENOSPC' || error.code === 'EMFILE');
}

/** An open file. One operation at a time, except reads. All operations reject with `FileError`. */
export interface File {
  readonly path: string;
  /** Reads up to `target.length` bytes; fewer only at the end of the file. Gives how many. */
  read(target: Uint8Array, offset: number): Promise<number>;
  /**
   * Writes the pieces one after the other, all of them. Durable when it resolves, if opened so, else after `sync`.
   * `blocking`: this thread has nothing better to do than to wait; it may, if that is faster.
   */
  write(pieces: readonly Uint8Array[], offset: number, blocking?: boolean): Promise<void>;
  sync(): Promise<void>;
  /** Sets the size. Durable after `sync`, also for a file opened as durable. */
  truncate(size: number): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
}

export interface OpenOptions {
  /** `read`: must exist. `write`: must exist. `create`: must not exist. */
  readonly mode: 'read' | 'write' | 'create';
  /** A write resolves only once its bytes would survive a power failure. */
  readonly durable?: boolean;
}

export interface Files {
  open(path: string, options: OpenOptions): Promise<File>;
  /** Names in a folder, in no particular order. */
  list(path: string): Promise<string[]>;
  /** Makes a folder and those above it, durably; no error if it is there. */
  makeDirectory(path: string): Promise<void>;
  /** Replaces what has the new name. Durable after `syncDirectory`. */
  rename(from: string, to: string): Promise<void>;
  /** Durable after `syncDirectory`. */
  remove(path: string): Promise<void>;
  /** Makes creations, renames and removals in a folder survive a power failure. */
  syncDirectory(path: string): Promise<void>;
  join(...parts: string[]): string;
  /** Takes a data directory for this process alone. Rejects with DqliteError LOCKED, naming the holder. */
  lock(path: string): Promise<DirectoryLock>;
}

export interface DirectoryLock {
  release(): Promise<void>;
}

/** One end of a byte stream. Events come through `Handlers`, never synchronously from a call. */
export interface Connection {
  /** For messages: who is at the other end. */
  readonly peer: string;
  /** Bytes that were accepted but not yet taken by the operating system. */
  readonly pendingBytes: number;
  /**
   * Sends bytes, now or at the end of this turn of the loop. True: the caller may use the memory again. False: the
   * connection keeps the memory until `drained`.
   */
  send(bytes: Uint8Array): boolean;
  /** Stops and restarts the `received` events; what was read before may still arrive. */
  pause(): void;
  resume(): void;
  /** Closes after everything was sent. */
  end(): void;
  /** Closes at once. */
  destroy(): void;
}

export interface ConnectionHandlers {
  /** Bytes, for the receiver to keep. */
  received(bytes: Uint8Array): void;
  /** All that was sent has been taken. */
  drained(): void;
  /** The other side has finished sending: it closed, or half-closed and may still read. */
  ended(): void;
  /** No event comes after this one. */
  closed(error: Error | undefined): void;
}

export interface Listener {
  /** The address as bound: `host:port`, or `@name`. */
  readonly address: string;
  /** Stops accepting. Connections stay. */
  close(): Promise<void>;
}

export interface Net {
  /** `host:port` (port 0: any), or `@name` for a Linux abstract socket (`@`: any). Rejects with DqliteError. */
  listen(address: string, accept: (connection: Connection) => ConnectionHandlers): Promise<Listener>;
  connect(address: string, timeoutMs: number): Promise<(handlers: ConnectionHandlers) => Connection>;
  /** Hands over now what connections were given to send; otherwise that happens at the end of this turn of the loop. */
  flush(): void;
}

/** Where log records go. Five methods, as pino has them; silent by default. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  fatal(fields: object, message: string): void;
}

export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {}, fatal() {} };

/** Whether `size` bytes are equal: what native code does much faster than a loop. */
export type SameBytes = (a: Uint8Array, aOffset: number, b: Uint8Array, bOffset: number, size: number) => boolean;

export interface Host {
  readonly sameBytes: SameBytes;
  readonly clock: Clock;
  readonly random: Random;
  readonly files: Files;
  readonly net: Net;
}
