/** Events for whoever observes this process: Node's `diagnostics_channel`. Nothing is paid while nobody listens. */

import { channel } from 'node:diagnostics_channel';

export interface DiagnosticsChannel {
  readonly hasSubscribers: boolean;
  publish(message: unknown): void;
}

export function diagnosticsChannel(name: string): DiagnosticsChannel {
  return channel(name);
}
