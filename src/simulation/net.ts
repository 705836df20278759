/** `Net` of one simulated process. */

import { DqliteError } from '../lib/errors.ts';
import type { SeededRandom } from '../lib/random.ts';
import {
  parseAddress,
  type Connection,
  type ConnectionHandlers,
  type Listener,
  type Net,
  type ParsedAddress,
} from '../host/index.ts';
import { SimulatedConnection, type Owner } from './connection.ts';
import type { ListeningProcess, SimulatedNetwork } from './network.ts';
import { Wire } from './wire.ts';

export class SimulatedNet implements Net, Owner {
  readonly machine: string;
  readonly random: SeededRandom;
  readonly windowBytes: number;
  readonly #network: SimulatedNetwork;
  readonly #ends = new Set<SimulatedConnection>();
  readonly #listening = new Map<string, ListeningProcess>();
  #stopped = false;

  constructor(network: SimulatedNetwork, machine: string) {
    this.#network = network;
    this.machine = machine;
    this.random = network.random;
    this.windowBytes = network.windowBytes;
  }

  async listen(address: string, accept: (connection: Connection) => ConnectionHandlers): Promise<Listener> {
    const bound = this.#bind(parseAddress(address));
    const key = this.#key(bound);
    const process: ListeningProcess = { net: this, accept };
    await this.#turn();
    if (!this.#network.listen(key, process)) {
      throw new DqliteError('IO', `cannot listen on ${address}: the address is in use`, {
        hint: 'choose another address, or stop the process that has this one',
      });
    }
    this.#listening.set(key, process);
    return {
      address: textOf(bound),
      close: async () => {
        this.#network.unlisten(key, process);
        await this.#turn();
      },
    };
  }

  flush(): void {}

  async connect(address: string, timeoutMs: number): Promise<(handlers: ConnectionHandlers) => Connection> {
    const key = this.#key(parseAddress(address));
    const network = this.#network;
    const target = network.machineOf(key) ?? this.machine;
    const there = new Wire(network, this.machine, target);
    const back = new Wire(network, target, this.machine);
    return new Promise((resolve, reject) => {
      let over = false;
      const fail = (why: string): void => {
        if (!over) reject(new DqliteError('CONNECTION', `cannot connect to ${address}: ${why}`));
        over = true;
      };
      const timer = network.scheduler.schedule(timeoutMs, () => {
        if (!this.#stopped) fail(`no answer within ${timeoutMs} ms`);
      });
      there.send(() => {
        if (!network.isUp(target)) return;
        const process = network.listener(key);
        if (process === undefined || process.net.machine !== target) {
          back.send(() => {
            timer.cancel();
            if (!this.#stopped) fail('connection refused');
          });
          return;
        }
        const [mine, theirs] = this.#pair(address, process, there, back);
        back.send(() => {
          timer.cancel();
          if (over || this.#stopped) {
            mine.abandon();
            return;
          }
          over = true;
          resolve(handlers => {
            mine.attach(handlers);
            return mine;
          });
        });
        process.net.soon(() => theirs.attach(process.accept(theirs)));
      });
    });
  }

  /** The process ends and the system closes what it had open. */
  kill(): void {
    this.#stop();
    for (const end of this.#ends) end.abandon();
  }

  /** The power of the machine fails. */
  powerOff(): void {
    this.#stop();
    this.#network.powerOff(this.machine);
    for (const end of this.#ends) end.vanish();
  }

  /** Breaks all connections of this process, as a firewall does that forgets them. */
  resetConnections(): void {
    for (const end of this.#ends) end.fail();
  }

  soon(run: () => void): void {
    this.#network.scheduler.schedule(0, () => {
      if (!this.#stopped) run();
    });
  }

  isUp(): boolean {
    return this.#network.isUp(this.machine);
  }

  closed(end: SimulatedConnection): void {
    this.#ends.delete(end);
  }

  #pair(
    address: string,
    process: ListeningProcess,
    there: Wire,
    back: Wire,
  ): [mine: SimulatedConnection, theirs: SimulatedConnection] {
    const mine = new SimulatedConnection(this, address, there, true);
    const theirs = new SimulatedConnection(process.net, `${this.machine}:${this.#network.freePort()}`, back, false);
    SimulatedConnection.pair(mine, theirs);
    this.#ends.add(mine);
    process.net.#ends.add(theirs);
    return [mine, theirs];
  }

  #stop(): void {
    this.#stopped = true;
    for (const [key, process] of this.#listening) this.#network.unlisten(key, process);
  }

  #turn(): Promise<void> {
    return new Promise(resolve => this.soon(resolve));
  }

  #bind(address: ParsedAddress): ParsedAddress {
    if (address.kind === 'tcp') return address.port === 0 ? { ...address, port: this.#network.freePort() } : address;
    return address.name === '' ? { ...address, name: `simulated-${this.#network.freePort()}` } : address;
  }

  #key(address: ParsedAddress): string {
    return address.kind === 'tcp' ? textOf(address) : `${this.machine}${textOf(address)}`;
  }
}

function textOf(address: ParsedAddress): string {
  if (address.kind === 'abstract') return `@${address.name}`;
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}
