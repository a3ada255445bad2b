// What a token says of itself. The edge judges it; this is only to be shown.

/**
 * @param {string} token A JSON Web Token.
 * @returns {{topics: string[], publish: string[], expires: number | undefined} | undefined} Undefined for
 * what is no token; `expires` in milliseconds since the Unix epoch.
 */
export function claimsOf(token) {
  const [, payload, , ...more] = token.split('.');
  if (payload === undefined || more.length > 0) return undefined;
  try {
    const text = atob(payload.replaceAll('-', '+').replaceAll('_', '/'));
    const claims = JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (character) => character.charCodeAt(0))));
    const list = (value) => (Array.isArray(value) ? value.map(String) : []);
    return {
      topics: list(claims.topics),
      publish: list(claims.publish),
      expires: Number.isFinite(claims.exp) ? claims.exp * 1000 : undefined,
    };
  } catch {
    return undefined;
  }
}

/** @param {string} token */
export function tokenText(token) {
  const claims = claimsOf(token);
  if (claims === undefined) return undefined;
  const may = [];
  if (claims.publish.length > 0) may.push(`publish on ${claims.publish.join(', ')}`);
  if (claims.topics.length > 0) may.push(`read ${claims.topics.join(', ')}`);
  const until = claims.expires === undefined ? '' : `, until ${new Date(claims.expires).toLocaleString()}`;
  return `It says that its holder may ${may.join(' and ') || 'do nothing'}${until}.`;
}
