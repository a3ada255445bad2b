// Looks for circles between the files of our crates: node scripts/circles.mjs
//
// A file leads to another where it names something of it, by a `use` or by a path in its code, whichever
// way the name is re-exported. Modules for tests do not count. Each circle is printed as a path of
// files, and fails the check.

import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const CRATES = ['benchmarks', 'edge-worker', 'origin-publisher', 'tests', ...globSync('crates/*')];

// The code without comments, strings and characters, which could look like paths.
const bare = (text) =>
  text.replace(/\/\/.*|\/\*[\s\S]*?\*\/|\br(#*)"[\s\S]*?"\1|"(?:\\[\s\S]|[^"\\])*"|'(?:\\[^']*|[^'\\])'/g, '""');

// Takes what is only compiled for tests out of the code: [code, names of modules in files of their own].
function withoutTests(code) {
  const files = [];
  for (;;) {
    const start = code.search(/#\[cfg\(test\)\]/);
    if (start < 0) return [code, files];
    let end = start + code.slice(start).search(/[;{]/);
    const file = /\bmod (\w+);$/.exec(code.slice(start, end + 1));
    if (file) files.push(file[1]);
    let depth = 0;
    do depth += { '{': 1, '}': -1 }[code[end++]] ?? 0;
    while (depth > 0);
    code = code.slice(0, start) + code.slice(end);
  }
}

// The paths of a `use`, as [path, name it gets]: `a::{b, c as d}` has two.
function* branches(tree, before = []) {
  const open = tree.indexOf('{');
  if (open < 0) {
    const [path, name] = tree.split(/\s+as\s+/);
    const whole = [...before, ...path.trim().split('::')].filter((segment) => segment !== '');
    if (whole.at(-1) === 'self') whole.pop();
    if (whole.length > 0) yield [whole, name ?? whole.at(-1)];
    return;
  }
  const inside = [...before, ...tree.slice(0, open).trim().split('::').filter(Boolean)];
  let depth = 0;
  let begin = open + 1;
  for (let at = open + 1; at < tree.length; at++) {
    if (depth === 0 && (tree[at] === ',' || tree[at] === '}')) {
      yield* branches(tree.slice(begin, at).trim(), inside);
      begin = at + 1;
    }
    depth += { '{': 1, '}': -1 }[tree[at]] ?? 0;
  }
}

// What a crate's file is as a module: `src/a/mod.rs` and `src/a.rs` are `a`, `src/lib.rs` is the root.
const moduleOf = (path) => path.replace(/(^|\/)(mod|lib|main)\.rs$|\.rs$/, '').replaceAll('/', '::');

// Reads a crate: the files that each of its files leads to, given its sources by their paths below src/.
function arrows(sources) {
  const modules = new Map();
  const tests = [];
  for (const [path, text] of sources) {
    const [code, files] = withoutTests(bare(text));
    const name = moduleOf(path);
    tests.push(...files.map((file) => [name, file].filter(Boolean).join('::')));
    const uses = Array.from(code.matchAll(/\buse\s+([^;]+);/g)).flatMap((match) => [...branches(match[1])]);
    const plain = code.replace(/\buse\s+[^;]+;/g, '');
    const paths = Array.from(plain.matchAll(/(?<![\w:])\w+(?:::\w+)+/g), ([path]) => path.split('::'));
    modules.set(name, { path, uses, paths });
  }
  for (const name of modules.keys()) {
    if (tests.some((test) => name === test || name.startsWith(test + '::'))) modules.delete(name);
  }

  // The whole path, from the crate's root, of one that stands in a module; nothing where it leads out.
  const absolute = (name, [first, ...rest]) => {
    const here = name === '' ? [] : name.split('::');
    if (first === 'crate') return rest;
    if (first === 'self') return [...here, ...rest];
    if (first !== 'super') return modules.has([...here, first].join('::')) ? [...here, first, ...rest] : undefined;
    for (here.pop(); rest[0] === 'super'; rest.shift()) here.pop();
    return [...here, ...rest];
  };
  // The module that something is of, through re-exports.
  const owner = (path, seen = new Set()) => {
    let length = path.length;
    while (length > 0 && !modules.has(path.slice(0, length).join('::'))) length--;
    const name = path.slice(0, length).join('::');
    const item = path[length];
    const key = `${name}::${item}`;
    if (item === undefined || seen.has(key)) return name;
    seen.add(key);
    const leaf = modules.get(name)?.uses.find(([, as]) => as === item);
    const target = leaf && absolute(name, leaf[0]);
    return target ? owner(target, seen) : name;
  };

  return Array.from(modules, ([name, { path, uses, paths }]) => {
    const named = [...uses.map(([leaf]) => leaf), ...paths];
    const targets = named.flatMap((leaf) => (absolute(name, leaf) ? [owner(absolute(name, leaf))] : []));
    // A folder's mod.rs speaks for its files: what they take from it is no step out of the folder.
    const others = new Set(
      targets.filter((target) => modules.has(target) && !`${name}::`.startsWith(target && `${target}::`)),
    );
    return [path, Array.from(others, (target) => modules.get(target).path)];
  });
}

// The shortest way from one file to another along the arrows.
function way(graph, from, to) {
  const ways = [[from]];
  const seen = new Set();
  for (const path of ways) {
    for (const next of graph.get(path.at(-1)) ?? []) {
      if (next === to) return [...path, to];
      if (!seen.has(next)) ways.push([...path, next]);
      seen.add(next);
    }
  }
}

// Finds the circles in a crate's sources: of each file on one, a shortest path that comes back to it, and each
// path once.
export function circles(sources) {
  const graph = new Map(arrows(sources));
  const found = new Map();
  for (const file of graph.keys()) {
    const circle = way(graph, file, file);
    const key = circle?.slice(1).sort().join();
    if (circle && !found.has(key)) found.set(key, circle);
  }
  return [...found.values()];
}

function main() {
  for (const crate of CRATES) {
    const folder = `${crate}/src/`;
    const files = globSync(`${folder}**/*.rs`);
    const sources = files.map((file) => [file.slice(folder.length), readFileSync(file, 'utf8')]);
    for (const circle of circles(sources)) {
      console.error(`circles: ${crate}: ${circle.join(' -> ')}`);
      process.exitCode = 1;
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
