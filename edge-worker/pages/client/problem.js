// What the edge refuses, as errors (RFC 9457).

export class ProblemError extends Error {
  /** @param {Partial<import('./headstart.d.ts').ProblemError>} told */
  constructor(told) {
    super(told.detail ?? told.title);
    Object.assign(this, { name: 'ProblemError', type: 'about:blank', detail: told.title, ...told });
  }
}

// A problem that we tell in the edge's words.
export const problem = (slug, status, detail) => new ProblemError({ type: 'urn:headstart:' + slug, status, detail });

// Whether trying again cannot help: neither the network nor a moment without room is to blame.
export const isFinal = ({ status, type }) => /^4(?!08|29)|generation-failed/.test(status + type);
