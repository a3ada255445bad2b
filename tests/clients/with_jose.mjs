// Makes tokens by `jose`.

import { SignJWT } from 'jose';

import { ask, finish } from '../ask.mjs';

const key = Buffer.from(process.env.HEADSTART_TOKEN_KEY.replace('whsec_', ''), 'base64');
const token = (claims, made = new SignJWT({ topics: [process.argv[2]], ...claims })) =>
  made.setProtectedHeader({ alg: 'HS256', typ: 'JWT' });
const now = Date.now() / 1000;

await ask('good', 'in a minute', await token({}).setIssuedAt().setExpirationTime('1 minute').sign(key));
await ask('good', 'a whole number', await token({ exp: Math.floor(now) + 60 }).sign(key));
await ask('good', 'a fraction', await token({ exp: Math.floor(now) + 60.25 }).sign(key));
await ask('bad', 'a fraction, and over', await token({ exp: Math.floor(now) - 0.5 }).sign(key));
finish();
