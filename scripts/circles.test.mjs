// Tests of circles.mjs, on small made-up crates: node --test scripts/*.test.mjs

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { circles } from './circles.mjs';

const found = (sources) => circles(Object.entries(sources));

test('two files that use each other are a circle', () => {
  const sources = { 'lib.rs': 'mod a; mod b;', 'a.rs': 'use crate::b::B;', 'b.rs': 'use super::a::A;' };
  assert.deepEqual(found(sources), [['a.rs', 'b.rs', 'a.rs']]);
});

test('one direction is none', () => {
  const sources = { 'lib.rs': 'mod a; mod b;', 'a.rs': 'use crate::b::{self, B};', 'b.rs': 'use std::fmt;' };
  assert.deepEqual(found(sources), []);
});

test('braces, new names, paths in code and re-exports lead to the file that is meant', () => {
  const sources = {
    'lib.rs': 'mod a; mod b; mod c;',
    'a/mod.rs': 'mod inner; pub use inner::{Thing as Part, Other};',
    'a/inner.rs': 'use crate::{c::Z, b::{x::X as Y, B}};',
    'b.rs': 'fn f() -> crate::c::Z { crate::c::make() }',
    'c.rs': 'use crate::a::Part;',
  };
  assert.deepEqual(found(sources), [
    ['a/inner.rs', 'c.rs', 'a/inner.rs'],
    ['b.rs', 'c.rs', 'a/inner.rs', 'b.rs'],
  ]);
});

test('tests, comments and strings do not count', () => {
  const sources = {
    'lib.rs': 'mod a; mod b; #[cfg(test)] mod whole;',
    'a.rs': 'use crate::b::B; // crate::whole::W\n#[cfg(test)]\nmod tests { use super::*; }',
    'b.rs': '/* crate::a */ const S: &str = "crate::a::A"; #[cfg(test)] mod tests { use crate::a::A; fn f() {} }',
    'whole.rs': 'use crate::a::A;',
  };
  assert.deepEqual(found(sources), []);
});

test('what a file takes from the mod.rs above it does not count', () => {
  const sources = { 'lib.rs': 'mod a;', 'a/mod.rs': 'mod b; use b::B; struct A;', 'a/b.rs': 'use super::A;' };
  assert.deepEqual(found(sources), []);
});
