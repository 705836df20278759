/** TCP ports for programs that must be told one. */

import { randomInt } from 'node:crypto';
import net from 'node:net';

/** Below the range from which the operating system gives ports for outgoing connections. */
const FIRST = 15_000;
const LAST = 29_999;

/** A port on which nobody listens. Random, so that tests running at the same time do not meet. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST, LAST + 1);
    if (await canListen(port)) return port;
  }
}

/** Whether a port of 127.0.0.1 can be listened on at this moment. */
export function canListen(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = net.createServer();
    server.once('error', () => resolve(false));
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** The first of so many ports in a row that nobody listens on now. */
export async function freePorts(count: number): Promise<number> {
  for (;;) {
    const first = await freePort();
    const others = Array.from({ length: count - 1 }, (_, i) => canListen(first + 1 + i));
    if ((await Promise.all(others)).every(Boolean)) return first;
  }
}
