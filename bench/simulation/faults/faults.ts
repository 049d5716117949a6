import type { SimulatedConnection } from './connection.ts';
import type { Stage } from './stage.ts';
import { MOMENTS } from './threads.ts';

/** What can go wrong between any two steps. */
export const FAULTS = [
  'cut-consuming',
  'cut-publishing',
  'cut-both',
  'restart-broker',
  'cancel-consumer',
  'close-channel',
  'block-publishing',
  'queue-missing',
  'nack',
  'thread-dies',
  'thread-stalls',
  'process-stalls',
  'SIGKILL',
  'SIGTERM',
  'stop',
  'merchant',
  'directory',
] as const;
export type Fault = (typeof FAULTS)[number];

/** Lets it happen now; false when there is nothing that it could happen to. */
export function strike(fault: Fault, stage: Stage): boolean {
  const { dice, time, broker, process, merchants } = stage;
  const say = (text: string): void => stage.tell?.(`FAULT      ${fault}: ${text}`);
  const connections = process.connections.filter(({ isWhole }) => isWhole);
  const outside = (ms: number, run: () => void): void => {
    time.after(ms, run, time.outside);
  };
  switch (fault) {
    case 'cut-consuming':
      return cut(connections.filter(isConsuming), stage, fault);
    case 'cut-publishing':
      return cut(
        connections.filter((each) => !isConsuming(each)),
        stage,
        fault,
      );
    case 'cut-both':
      return cut(connections, stage, fault);
    case 'restart-broker': {
      if (!broker.isUp) return false;
      const downMs = dice.delay(1_000, 8_000, 0.3);
      say(`down for ${downMs.toFixed(0)} ms`);
      broker.isUp = false;
      for (const each of process.connections) {
        if (each.isOpen) each.cut({ clientMs: dice.delay(5, 30_000), brokerMs: 0 }, 'CONNECTION_FORCED');
      }
      outside(downMs, () => {
        broker.isUp = true;
      });
      return true;
    }
    case 'cancel-consumer':
    case 'close-channel': {
      const consuming = connections.flatMap(({ channels }) => channels).filter(({ isConsuming: does }) => does);
      if (consuming.length === 0) return false;
      say('the broker ends the consumer');
      for (const channel of consuming) {
        if (fault === 'cancel-consumer') channel.cancelAtBroker();
        else channel.closeAtBroker('Channel closed by server: 406 (PRECONDITION-FAILED)');
      }
      return true;
    }
    case 'block-publishing': {
      const blocked = connections.filter((each) => !isConsuming(each));
      const ms = dice.delay(1_000, 10_000, 0.3);
      for (const each of blocked) {
        each.toClient(() => each.emit('blocked', 'low on disk'));
        outside(ms, () => each.toClient(() => each.emit('unblocked')));
      }
      say(`for ${ms.toFixed(0)} ms`);
      return blocked.length > 0;
    }
    case 'queue-missing': {
      const names = ['dead', 'ambiguous', 'retry.1000', 'retry.2000', 'retry.8000'].map((name) => `orders.${name}`);
      const missing = names.filter(() => dice.chance(0.5));
      say(missing.join(', '));
      for (const name of missing) broker.missing.add(name);
      outside(dice.between(500, 6_000), () => {
        for (const name of missing) broker.missing.delete(name);
      });
      return missing.length > 0;
    }
    case 'nack':
      broker.refusals += dice.whole(1, 3);
      say(`the next ${broker.refusals}`);
      return true;
    case 'thread-dies': {
      const { threads } = process;
      if (threads.length === 0) return false;
      const thread = dice.one(threads);
      if (dice.chance(0.5)) thread.dieWhen(dice.one(MOMENTS));
      else thread.die('the fault', dice.chance(0.4) ? thread.busy : undefined);
      return true;
    }
    case 'thread-stalls': {
      const { threads } = process;
      if (threads.length === 0) return false;
      const ms = dice.delay(1_000, 20_000, 0.4);
      const thread = dice.one(threads);
      say(`${thread.actor.name} for ${ms.toFixed(0)} ms`);
      thread.stall(ms);
      return true;
    }
    case 'process-stalls': {
      if (!process.actor.alive) return false;
      const ms = dice.delay(500, 8_000, 0.2);
      say(`${process.actor.name} for ${ms.toFixed(0)} ms`);
      process.actor.stalledUntil = Math.max(process.actor.stalledUntil, time.now() + ms);
      return true;
    }
    case 'SIGKILL':
      if (!process.actor.alive) return false;
      say(process.actor.name);
      process.kill();
      return true;
    case 'SIGTERM':
      if (!process.isReady) return false;
      say(process.actor.name);
      process.drain();
      return true;
    case 'stop':
      if (!process.isReady) return false;
      say(process.actor.name);
      process.stop();
      return true;
    case 'merchant':
      merchants.turn();
      return true;
    case 'directory': {
      const id = dice.one(merchants.ids);
      if (dice.chance(0.3)) {
        say(`${id} is not in it any more`);
        merchants.gone.add(id);
        merchants.change(id, {});
        return true;
      }
      const paused = !merchants.entry(id).paused;
      say(`${id} ${paused ? 'paused' : 'goes on'}`);
      merchants.gone.delete(id);
      merchants.change(id, { paused });
      return true;
    }
  }
}

function cut(connections: readonly SimulatedConnection[], { dice, tell }: Stage, fault: Fault): boolean {
  for (const connection of connections) {
    // Either side may be the one that does not hear of it for long.
    const notice = { clientMs: dice.delay(5, 30_000, 0.2), brokerMs: dice.delay(5, 30_000, 0.2) };
    tell?.(
      `FAULT      ${fault}: the process hears of it in ${notice.clientMs.toFixed(0)} ms, the broker in ${notice.brokerMs.toFixed(0)} ms`,
    );
    connection.cut(notice);
  }
  return connections.length > 0;
}

function isConsuming({ channels }: SimulatedConnection): boolean {
  return channels.some((channel) => channel.isConsuming);
}
