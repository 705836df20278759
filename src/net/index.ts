export { Acceptor, type AcceptorOptions } from './acceptor.ts';
export type { ClientHandler, Inbound } from './inbound.ts';
export { Peers, type PeerEvents } from './peers.ts';
export type { PeerInbound, SnapshotReceiver } from './peer-inbound.ts';
