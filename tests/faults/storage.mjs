// The Worker with objects whose storage fails or is slow, as what they store asks for (the name of a topic,
// a user, an offer): the second write of `faults/STEP` fails once, and `faults/slow` takes its time to become
// durable.

import worker, * as built from 'WORKER';

export * from 'WORKER';
export default worker;

// How long what `faults/slow` stores takes to become durable.
const SLOW_MS = 2000;

// The writes that may fail, by the name of the step.
const WRITES = {
  history: /INTO history/,
  taken: /INTO taken/,
  told: /INTO state/,
  head: /INTO heads/,
  login: /INTO login/,
  settled: /INTO ticket/,
};

const withFaults = (Class) =>
  class extends Class {
    constructor(context, env) {
      const { sql } = context.storage;
      const [exec, sync] = [sql.exec.bind(sql), context.storage.sync.bind(context.storage)];
      let step;
      let slow = false;
      let writes = 0;
      sql.exec = (statement, ...values) => {
        const named = values.find((value) => /faults\/\w+/.test(value));
        step ??= /faults\/(\w+)/.exec(named)?.[1];
        slow ||= step === 'slow';
        const fails = WRITES[step]?.test(statement) && (step !== 'told' || values[0] === 'sent') && ++writes === 2;
        if (fails) throw new Error('the storage of this test fails');
        return exec(statement, ...values);
      };
      context.storage.sync = async () => {
        await sync();
        if (slow) await new Promise((resolve) => setTimeout(resolve, SLOW_MS));
      };
      super(context, env);
    }
  };

export const TopicDo = withFaults(built.TopicDo);
export const RelayDo = withFaults(built.RelayDo);
export const DeskDo = withFaults(built.DeskDo);
