/** Simulated time: order, limits, and promises between events. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SimulatedClock } from './clock.ts';
import { EventQueue } from './event-queue.ts';
import { Scheduler, SimulationStuckError } from './scheduler.ts';

test('events come in the order of time, then of being added', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(20), fc.boolean())), items => {
      const queue = new EventQueue();
      const expected: { timeMs: number; sequence: number }[] = [];
      for (const [timeMs, cancelled] of items) {
        const event = queue.add(timeMs, () => {});
        if (cancelled) event.run = undefined;
        else expected.push({ timeMs, sequence: event.sequence });
      }
      expected.sort((a, b) => a.timeMs - b.timeMs || a.sequence - b.sequence);
      const actual = expected.map(() => queue.take()!);
      assert.deepEqual(
        actual.map(({ timeMs, sequence }) => ({ timeMs, sequence })),
        expected,
      );
      assert.equal(queue.take(), undefined);
    }),
  );
});

test('time moves only from event to event', async () => {
  const scheduler = new Scheduler();
  const clock = new SimulatedClock(scheduler);
  const start = clock.wallMs();
  const seen: [string, number][] = [];
  const note = (what: string) => (): void => {
    seen.push([what, clock.monotonicMs()]);
  };
  clock.setTimer(10, note('ten'));
  clock.setTimer(0, note('shortest'));
  clock.defer(note('deferred'));
  clock.setTimer(5, note('cancelled')).cancel();
  clock.setTimer(10, note('ten again'));
  assert.deepEqual(seen, []);
  await scheduler.runUntilIdle();
  assert.deepEqual(seen, [
    ['deferred', 0],
    ['shortest', 1],
    ['ten', 10],
    ['ten again', 10],
  ]);
  clock.moveWall(-3_600_000);
  assert.equal(clock.wallMs(), start + 10 - 3_600_000);
  assert.equal(scheduler.eventCount, 4);
});

test('all that an event woke comes to rest before the next one', async () => {
  const scheduler = new Scheduler();
  const order: string[] = [];
  const work = async (name: string, depth: number): Promise<void> => {
    for (let i = 0; i < depth; i++) await Promise.resolve();
    await new Promise<void>(resolve => process.nextTick(resolve));
    order.push(`${name} done`);
  };
  scheduler.schedule(1, () => void work('first', 50));
  scheduler.schedule(1, () => order.push('second'));
  await scheduler.runUntilIdle();
  assert.deepEqual(order, ['first done', 'second']);
});

test('run for a time, until a condition, until a promise is settled', async () => {
  const scheduler = new Scheduler();
  let ticks = 0;
  const tick = (): void => {
    ticks++;
    scheduler.schedule(10, tick);
  };
  scheduler.schedule(10, tick);
  await scheduler.runFor(35);
  assert.deepEqual([ticks, scheduler.nowMs], [3, 35]);
  await scheduler.runFor(5);
  assert.deepEqual([ticks, scheduler.nowMs], [4, 40]);
  await scheduler.runUntil(() => ticks === 7);
  assert.equal(scheduler.nowMs, 70);
  const later = new Promise<string>(resolve => scheduler.schedule(25, () => resolve('done')));
  assert.equal(await scheduler.run(later), 'done');
  assert.equal(scheduler.nowMs, 95);
  const refused = new Promise<string>((_resolve, reject) => scheduler.schedule(1, () => reject(new Error('no'))));
  await assert.rejects(scheduler.run(refused), /^Error: no$/);
  await assert.rejects(
    scheduler.runUntil(() => false, 100, 'a miracle'),
    /not a miracle/,
  );
  await assert.rejects(scheduler.runUntilIdle(1000), SimulationStuckError);
});

test('a simulation that cannot go on says so', async () => {
  const scheduler = new Scheduler();
  await assert.rejects(
    scheduler.run(new Promise(() => {})),
    /nothing is left to do at 0 ms, but not the promise settled/,
  );
  scheduler.schedule(1, () => {
    throw new Error('in an event');
  });
  await assert.rejects(scheduler.runUntilIdle(), /in an event/);
  const first = scheduler.runUntil(() => false);
  await assert.rejects(scheduler.runFor(1), /being run already/);
  await assert.rejects(first, SimulationStuckError);
});

test('the timers of a process that is gone never come', async () => {
  const scheduler = new Scheduler();
  const clock = new SimulatedClock(scheduler);
  clock.setTimer(5, () => assert.fail('a dead process'));
  clock.defer(() => assert.fail('a dead process'));
  clock.stop();
  await scheduler.runUntilIdle();
});
