/** How an offer can be awaited: Server-Sent Events, a WebSocket, a long poll, or polling. */
export type OfferTransport = 'sse' | 'ws' | 'wait' | 'poll';

/** How topics can be followed: a WebSocket, Server-Sent Events, or long polls. */
export type Transport = 'ws' | 'sse' | 'poll';

/**
 * An edge. Opens nothing by itself.
 *
 * @param url Where the edge is. Without it, where this module came from.
 */
export function connect(url?: string, options?: ConnectOptions): Edge;

export interface ConnectOptions {
  /**
   * Opens private topics and allows to publish: a token, or a function that gets one from the site's
   * backend. The function is asked when a token is first needed, and again when the edge no longer
   * takes the one it gave.
   */
  token?: string | (() => string | null | undefined | Promise<string | null | undefined>);
  /**
   * `"include"`: on a page of another origin, requests for topics carry the edge's cookie
   * `headstart_token` too, as those of the edge's own pages do. `CORS_ORIGINS` must name the page; `*`
   * does not count. A WebSocket carries it in any case.
   */
  credentials?: 'omit' | 'same-origin' | 'include';
}

/** One edge. It remembers, as long as the page lives, which transports do not get through to it. */
export interface Edge {
  /** Where it is, without a slash at the end. */
  readonly url: string;

  /**
   * Starts the generation of a user's offer, where the deployment lets pages do that
   * (`LOGIN_AUTH=open`). Tries again, for about half a minute, while the edge cannot be reached or has
   * no room; a login whose answer was lost is then started twice.
   *
   * @throws {ProblemError} `rate-limited`, `malformed-login`, `signature-refused` ...
   */
  login(user: string, options?: LoginOptions): Promise<Login>;

  /**
   * Waits for a ticket's offer, as long as it takes. Goes through `transports` until one gets through,
   * and back to it whenever the connection breaks.
   *
   * @param ticket As a login gave it.
   * @throws {ProblemError} `generation-failed`: there will be no offer. `unknown-ticket`,
   * `expired-ticket`.
   */
  offer(ticket: string, options?: OfferOptions): Promise<Offer>;

  /**
   * Follows one topic or several (at most 32) over one connection, until it is closed. When the
   * connection breaks it is opened again, after a wait that grows to at most half a minute, and goes on
   * where it was: every update is told once, in its topic's order, and what is lost is told as a gap.
   */
  subscribe(topics: string | string[], options?: SubscribeOptions): Subscription;
}

export interface LoginOptions {
  /** What else the generator should know of this login. */
  attributes?: Record<string, unknown>;
  signal?: AbortSignal;
}

/** What a login answers. Paths are relative to the edge. */
export interface Login {
  /** Whoever holds it can read the offer. */
  ticket: string;
  offer: string;
  events: string;
  ws: string;
}

export interface OfferOptions {
  /** Which to try, best first. Without it, `["sse", "ws", "wait", "poll"]`. */
  transports?: OfferTransport[];
  signal?: AbortSignal;
  /** Is told each transport when it is tried. */
  onTransport?(transport: OfferTransport): void;
}

export interface Offer {
  /** JSON parsed; other text as a string; anything else as an `ArrayBuffer`. */
  content: any;
  mediaType: string;
  stamps: Stamps;
  /** The transport that brought it. */
  via: OfferTransport;
  /** Id of the event that settled the ticket. */
  eventId: string;
}

/**
 * When an offer or an update passed which point, in milliseconds since the Unix epoch: by the edge's
 * clock `loginat`, `receivedat`, `deliveredat`; by the origin's `startedat`, `generatedat`,
 * `publishedat`.
 */
export interface Stamps {
  loginat?: number;
  startedat?: number;
  generatedat?: number;
  publishedat?: number;
  receivedat?: number;
  deliveredat?: number;
}

export interface SubscribeOptions {
  onUpdate?(update: Update): void;
  /** Some updates are lost: the edge no longer has them. The next that it has follow. */
  onGap?(gap: Gap): void;
  onState?(state: State, info: StateInfo): void;
  /** The edge has let the connection in: after each connecting, before what was missed. */
  onWelcome?(welcome: Welcome): void;
  /** Which to try, best first. Without it, `["ws", "sse", "poll"]`. */
  transports?: Transport[];
  /** Where to begin: a `Subscription.cursor` of earlier. Without it, with what comes from now on. */
  cursor?: string;
  /** Begin with the current value of each topic that the cursor does not name. */
  latest?: boolean;
  /**
   * Tell the edge of updates that have arrived, and that the page is there: it then measures the round
   * trip, and shows it to those who look who is connected. Not over `poll`.
   */
  ack?: boolean;
  /** Where the user is, if that may be shown: over `sse` only with `ack`. */
  place?: { latitude: number; longitude: number };
  /**
   * For how many milliseconds the page may be hidden until the connection is closed; it is opened again
   * when the page is visible. 0 for never. Without it, 60,000.
   */
  pauseAfter?: number;
}

export interface Update {
  topic: string;
  /** Its number on the topic, each one more than the one before. */
  sequence: number;
  /** JSON parsed; other text as a string; binary data as an `ArrayBuffer`. */
  data: any;
  mediaType: string;
  stamps: Stamps;
  /** Id of the event. */
  id: string;
  /** The whole CloudEvent. */
  event: Record<string, any>;
}

export interface Gap {
  topic: string;
  /** The last sequence that was told. */
  after: number;
  /** The first sequence that is left. Not larger than `after` where the numbering began anew. */
  first: number;
}

export interface Welcome {
  /** The number of each topic's latest update; 0 where there is none. */
  topics: Record<string, number>;
  /** The connection's secret id. Absent over `poll`. */
  subscriber?: string;
}

/**
 * - `connecting`: a transport is tried.
 * - `open`: updates come as they are published.
 * - `waiting`: the connection broke or could not be opened; it is tried again after `retryIn`.
 * - `paused`: the page has been hidden for long, or the browser is offline.
 * - `closed`: by `close()`, or for good because of `error`.
 */
export type State = 'connecting' | 'open' | 'waiting' | 'paused' | 'closed';

export interface StateInfo {
  /** The transport that is tried or open. */
  transport?: Transport;
  /** In milliseconds. */
  retryIn?: number;
  error?: Error;
}

export interface Subscription {
  /** Ends it. */
  close(): void;

  /**
   * Publishes an update over the WebSocket, with a token that allows it. Waits for a connection, and is
   * sent again with its id when one breaks, so it is published once.
   *
   * @throws {ProblemError} `upgrade-required`, where no WebSocket gets through, and when the subscription
   * is closed.
   */
  publish(update: Publication): Promise<PublishResult>;

  /** Where it has got to: what `SubscribeOptions.cursor` takes. Empty before the first welcome. */
  readonly cursor: string;
  readonly state: State;
  /** The transport that is tried or open. */
  readonly transport?: Transport;
  /** The last round trip to the edge and back, in milliseconds. Only measured over a WebSocket. */
  readonly roundTrip?: number;
}

export interface Publication {
  data: unknown;
  /** One of the topics. Without it, the first. */
  topic?: string;
  /** The same id on a topic is published once. Without it, a random one. */
  id?: string;
  /** Without it, `/browser`. */
  source?: string;
  /** Other attributes of the CloudEvent. */
  [attribute: string]: unknown;
}

export interface PublishResult {
  id: string;
  /** `accepted` and `duplicate` are done; `rejected` will never be taken; `retry` could not be now. */
  status: 'accepted' | 'duplicate' | 'ignored' | 'rejected' | 'retry';
  reason?: string;
}

/**
 * Which of several edges answers soonest, by the real round trip of `GET /ping`: the shortest of a few,
 * after one that opens the connection. Where none can be reached, `url` is the first.
 */
export function nearest(urls: string[], options?: NearestOptions): Promise<Nearest>;

export interface NearestOptions {
  /** How many round trips are measured. Without it, 3. */
  samples?: number;
  /** In milliseconds: an edge that takes longer counts as out of reach. Without it, 3,000. */
  timeout?: number;
}

export interface Nearest {
  url: string;
  /** In milliseconds; `Infinity` for one that cannot be reached. */
  ms: number;
  /** All of them, the nearest first. */
  all: { url: string; ms: number }[];
}

/** What the edge refused, and why: RFC 9457's problem details. */
export class ProblemError extends Error {
  /** Only the client makes one. */
  private constructor();
  /** `urn:headstart:` and a slug, such as `urn:headstart:expired-ticket`. */
  type: string;
  title?: string;
  /** The HTTP status. */
  status: number;
  detail: string;
  /** For how long the edge asks to be left alone, in milliseconds, where it does. */
  retryAfter?: number;
}
