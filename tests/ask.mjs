// How a script in Node speaks with the test that runs it: see `tests/src/script.rs`.

import { createInterface } from 'node:readline';

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
let asking = Promise.resolve();

// Asks the test, one question at a time.
export function ask(name, ...values) {
  asking = asking.then(async () => {
    console.log('ask ' + JSON.stringify({ [name]: values }));
    const { value, done } = await answers.next();
    if (done) throw new Error('the test is gone');
    return JSON.parse(value);
  });
  return asking;
}

// Ends the script: as long as the test could answer, it would go on.
export const finish = () => process.exit();
