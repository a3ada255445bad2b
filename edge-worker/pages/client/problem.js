// What the edge refuses, as errors (RFC 9457).

export class ProblemError extends Error {
  name = 'ProblemError';

  constructor({ type = 'about:blank', title = '', status = 0, detail = title }, retryAfter = 0) {
    super(detail);
    Object.assign(this, { type, title, status, detail, retryAfter });
  }
}

// An error of our own, with a type of the edge's.
export const problem = (slug, status, detail) =>
  new ProblemError({ type: 'urn:headstart:' + slug, title: detail, status });

// What an answer that is none says.
export async function refusal(answer) {
  const { status, statusText: title } = answer;
  const told = await answer.json().catch(() => ({}));
  return new ProblemError({ status, title, ...told }, answer.headers.get('retry-after') * 1000);
}

// Whether trying again cannot help: neither the network nor a moment without room is to blame.
export const isFinal = ({ status, type }) =>
  (status >= 400 && status < 500 && ![408, 425, 429].includes(status)) || /:generation-failed$/.test(type);
