import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AssertionError } from '../lib/assert.ts';
import { DecodeError } from '../lib/bytes.ts';
import {
  decodeConfiguration,
  encodeConfiguration,
  findServer,
  voters,
  withoutServer,
  withRole,
  withServer,
  type Configuration,
  type Server,
} from './configuration.ts';

const one: Server = { id: 0x2dc171858c3155ben, address: '127.0.0.1:29001', role: 'voter' };
const two: Server = { id: 0x2d9fe0161a9bea59n, address: '127.0.0.1:29002', role: 'spare' };
const three: Server = { id: 0xb6fec7048fc248c5n, address: '127.0.0.1:29003', role: 'standby' };

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

const configurations: fc.Arbitrary<Configuration> = fc
  .uniqueArray(
    fc.record(
      {
        id: fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }),
        address: fc.oneof(fc.string({ maxLength: 20 }), fc.constantFrom('@abstract', '\ufeff/run/é/😀.sock')),
        role: fc.constantFrom('voter', 'standby', 'spare'),
      },
      { noNullPrototype: true },
    ),
    { minLength: 1, maxLength: 8, selector: server => server.id },
  )
  .filter(servers => new Set(servers.map(server => server.address)).size === servers.length)
  .map(servers => ({ servers }));

test('bytes of a configuration that C wrote, but for its garbage padding (raft and disk spec section 8.4)', () => {
  const prefix = '010100000000000000be55318c8571c12d3132372e302e302e313a32393030310001';
  assert.equal(hex(encodeConfiguration({ servers: [one] })), `${prefix}000000000000`);
  const garbage = Buffer.from(`${prefix}310000000000`, 'hex');
  assert.deepEqual(decodeConfiguration(garbage), { servers: [one] });
});

test('role codes are 0 standby, 1 voter, 2 spare', () => {
  const roles = (['standby', 'voter', 'spare'] as const).map(role => {
    const bytes = encodeConfiguration({ servers: [{ id: 1n, address: 'a', role }] });
    return bytes[1 + 8 + 8 + 2];
  });
  assert.deepEqual(roles, [0, 1, 2]);
});

test('what is encoded decodes to itself, a multiple of 8 bytes', () => {
  fc.assert(
    fc.property(configurations, configuration => {
      const bytes = encodeConfiguration(configuration);
      assert.equal(bytes.length % 8, 0);
      assert.deepEqual(decodeConfiguration(bytes), configuration);
    }),
  );
});

test('refuses what cannot be a configuration', () => {
  const valid = encodeConfiguration({ servers: [one, two, three] });
  const patched = (offset: number, ...bytes: number[]): Uint8Array => {
    const copy = valid.slice();
    copy.set(bytes, offset);
    return copy;
  };
  const secondServer = 9 + 8 + 16 + 1;
  const cases: [string, Uint8Array, RegExp][] = [
    ['nothing', new Uint8Array(0), /configuration format/],
    ['format', patched(0, 2), /configuration format 2 at offset 0/],
    ['no servers', patched(1, 0), /configuration of 0 servers/],
    ['more servers than bytes', patched(1, 200), /configuration of 200 servers/],
    ['an absurd count', patched(8, 0x80), /servers in 88 bytes at offset 1/],
    ['id 0', patched(9, 0, 0, 0, 0, 0, 0, 0, 0), /server id 0 at offset 9/],
    ['role', patched(secondServer - 1, 3), /role 3 at offset 33/],
    ['duplicate id', patched(secondServer, ...valid.subarray(9, 17)), /duplicate server id .* at offset 34/],
    ['duplicate address', patched(secondServer + 22, 0x31), /duplicate address .* at offset 34/],
    ['address that is not UTF-8', patched(17, 0xff), /address is not UTF-8 at offset 17/],
    ['missing end', valid.subarray(0, 60), /server id: 8 bytes wanted, 1 left at offset 59/],
    ['a word too many', Buffer.concat([valid, new Uint8Array(8)]), /bytes after the configuration/],
  ];
  for (const [name, bytes, message] of cases) {
    assert.throws(() => decodeConfiguration(bytes), { name: 'DecodeError', message }, name);
  }
});

test('any bytes give a configuration or a DecodeError', () => {
  const decode = (bytes: Uint8Array): void => {
    try {
      decodeConfiguration(bytes);
    } catch (error) {
      assert.ok(error instanceof DecodeError);
    }
  };
  const valid = encodeConfiguration({ servers: [one, two, three] });
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), decode));
  fc.assert(
    fc.property(fc.nat(valid.length - 1), fc.nat(255), fc.nat(valid.length), (offset, byte, size) => {
      const copy = valid.slice(0, size);
      copy[offset] = byte;
      decode(copy);
    }),
  );
});

test('changes keep the order and leave the original alone', () => {
  const before: Configuration = { servers: [one, two] };
  assert.deepEqual(withServer(before, three), { servers: [one, two, three] });
  assert.deepEqual(withRole(before, one.id, 'spare'), { servers: [{ ...one, role: 'spare' }, two] });
  assert.deepEqual(withoutServer(before, one.id), { servers: [two] });
  assert.deepEqual(before, { servers: [one, two] });
  assert.deepEqual(voters(before), [one]);
  assert.equal(findServer(before, two.id), two);
  assert.equal(findServer(before, three.id), undefined);
});

test('impossible changes are programmer errors', () => {
  const before: Configuration = { servers: [one, two] };
  assert.throws(() => withServer(before, { ...three, id: one.id }), AssertionError);
  assert.throws(() => withServer(before, { ...three, address: one.address }), AssertionError);
  assert.throws(() => withoutServer(before, three.id), AssertionError);
  assert.throws(() => withRole(before, three.id, 'voter'), AssertionError);
  assert.throws(() => encodeConfiguration({ servers: [] }), AssertionError);
});
