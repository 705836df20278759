export { Gateway, type GatewayNode } from './gateway.ts';
export { RefusingHandler } from './refusing.ts';
