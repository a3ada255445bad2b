// Checks what our crates depend on against deny.toml, with every feature switched on:
// node scripts/dependencies.mjs
//
// Licences and bans are the part of `cargo deny` that needs no network, on the lists of the same file.
// Prints what is wrong, one line each, and fails if anything is.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

// The strings of an array of deny.toml, which is written one `name = [` or `name = ["a"]` a list.
function list(toml, section, name) {
  const rest = toml.split(`[${section}]`)[1]?.split(/^\[/m)[0] ?? '';
  const array = new RegExp(`^${name} = \\[([^\\]]*)\\]`, 'm').exec(rest);
  if (!array) throw new Error(`deny.toml has no ${name} in [${section}]`);
  return Array.from(array[1].matchAll(/"([^"]+)"/g), (match) => match[1]);
}

// Whether an SPDX expression is satisfied by licences that are allowed. Older crates write / for OR.
// AND binds closer than OR, as SPDX has it; a licence WITH an exception is one of its own.
function satisfied(expression, allowed) {
  const tokens = expression
    .replaceAll('/', ' OR ')
    .replace(/ WITH /g, '_WITH_')
    .match(/[()]|[^()\s]+/g);
  const either = () => {
    let good = both();
    while (tokens[0] === 'OR') good = tokens.shift() && (both() || good);
    return good;
  };
  const both = () => {
    let good = one();
    while (tokens[0] === 'AND') good = tokens.shift() && one() && good;
    return good;
  };
  const one = () => {
    const token = tokens.shift();
    if (token !== '(') return allowed.has(token?.replace('_WITH_', ' WITH '));
    const good = either();
    tokens.shift();
    return good;
  };
  return either();
}

const toml = readFileSync('deny.toml', 'utf8');
const allowed = new Set(list(toml, 'licenses', 'allow'));
const banned = new Set(list(toml, 'bans', 'deny'));
const options = ['--format-version', '1', '--locked', '--all-features'];
const metadata = JSON.parse(execFileSync('cargo', ['metadata', ...options], { maxBuffer: 2 ** 28 }));

const wrong = metadata.packages.flatMap(({ name, version, license }) => {
  if (banned.has(name)) return [`${name} is banned; cargo tree --target all -i ${name} says who brings it`];
  return license && satisfied(license, allowed) ? [] : [`${name} ${version} has the licence ${license}`];
});
for (const line of wrong) console.error(`dependencies: ${line}`);
process.exitCode = wrong.length > 0 ? 1 : 0;
