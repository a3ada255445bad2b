// The commands that a newcomer runs to see something, ready to be copied.

import { byId, el, say } from './dom.js';
import { isPrivate } from './topics.js';

const COPIED_MS = 2000;
/** The edge of `make dev`, whose program, keys and address a script puts at hand. */
const DEV = /^http:\/\/(127\.0\.0\.1|localhost):8787$/;
const AT_HAND = 'source scripts/activate.sh\n';

/**
 * @param {string[]} topics
 * @param {string} edge The edge's URL.
 */
export function commandsFor([topic], edge) {
  const data = `{"home": 71, "away": 68}`;
  const access = isPrivate(topic) ? `--topics '${topic}' --publish '${topic}'` : `--publish '${topic}'`;
  const dev = DEV.test(edge);
  return {
    where: dev ? 'in the project’s folder, in another terminal' : 'with the edge’s key in HEADSTART_ORIGIN_KEY',
    publish: `${dev ? AT_HAND : ''}origin-publisher publish ${dev ? '' : `--edge ${edge} `}--topic '${topic}' --data '${data}'`,
    token: `${dev ? AT_HAND : ''}origin-publisher token ${access} --ttl 1h`,
  };
}

/** Makes every `.command` of the page copyable. */
export function copyButtons() {
  for (const code of document.querySelectorAll('code.command')) {
    const button = el('button', { type: 'button', class: 'second copy', 'aria-label': 'Copy the command' }, 'Copy');
    button.addEventListener('click', async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        say(button, 'Copied');
        setTimeout(() => say(button, 'Copy'), COPIED_MS);
      } catch {
        // Not allowed, or no safe connection: then it is selected, to be copied by hand.
        getSelection().selectAllChildren(code);
      }
    });
    code.after(button);
  }
}

/** @param {string[]} topics */
export function showCommands(topics, edge) {
  const { where, publish, token } = commandsFor(topics, edge);
  say(byId('publish-where'), where);
  say(byId('publish-command'), publish);
  say(byId('token-command'), token);
}
