// The token of a page: asked for when it is first needed, and again when the edge refuses it.

// `source` is the token, or a function that gets one.
export function newTokens(source) {
  let known;
  return {
    get: async () => (known ??= await (typeof source === 'function' ? source() : source)),

    // Forgets a token that the edge refused. Says whether there may be another one.
    forget(token) {
      if (known === token) known = undefined;
      return typeof source === 'function';
    },
  };
}
