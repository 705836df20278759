export { Acceptor, type AcceptorOptions } from './acceptor.ts';
export type { ClientHandler, Inbound } from './inbound.ts';
