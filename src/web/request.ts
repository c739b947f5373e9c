/** The one place that asks web servers: a request and its answer, piece by piece, none of them waited for without end. */
import { IoError, systemCode, UnreachableError } from "../errors.ts";
import { quote } from "../name.ts";
import { onAbort } from "../sync/abort.ts";
import type { Address, Header } from "./address.ts";

export interface WebOptions {
  /** They go to the origin of the address and nowhere else. */
  readonly headers: readonly Header[];
  /** Certificates, PEM, that are trusted instead of the usual ones (--cacert). */
  readonly ca: string | undefined;
  /** How long a server may be silent (--timeout). */
  readonly idleMs: number;
  /** How long what broke off is tried again (--reconnect). */
  readonly patienceMs: number;
  /** Resolves when so many bytes more may come (--bwlimit). */
  readonly pass: (bytes: number) => Promise<void>;
  readonly signal: AbortSignal;
}

/** A failure that may have gone by when the same is asked again. */
export class Passing extends Error {}

const MAX_REDIRECTS = 10;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** What a link that has expired is answered with. */
const REFUSALS: ReadonlySet<number> = new Set([401, 403, 404, 410]);
/** What a server that is busy, or one behind it that is gone for the moment, is answered with (RFC 9110, 6585). */
const BUSY: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);

/** An answer whose body has not been read yet. */
export class Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly #response: Response;
  readonly #watch: Watch;

  constructor(response: Response, watch: Watch) {
    this.status = response.status;
    this.headers = response.headers;
    this.#response = response;
    this.#watch = watch;
  }

  /** The pieces of the body as they come. @throws {Passing} when it breaks off, or nothing comes for too long. */
  async *pieces(): AsyncGenerator<Uint8Array> {
    const reader = this.#response.body?.getReader();
    try {
      for (;;) {
        this.#watch.begin();
        const next = await reader?.read();
        this.#watch.rest();
        if (next === undefined || next.done) return;
        yield next.value;
      }
    } catch (error) {
      throw this.#watch.failure(error);
    } finally {
      this.drop();
    }
  }

  /** Nothing more of it is wanted. */
  drop(): void {
    this.#watch.end();
  }
}

/** Ends a request when its server is silent for too long, or the run ends. */
class Watch {
  readonly #controller = new AbortController();
  readonly #idleMs: number;
  readonly #signal: AbortSignal;
  readonly #aborting: Disposable;
  #timer: Timer | undefined;
  #late = false;

  constructor({ idleMs, signal }: WebOptions) {
    this.#idleMs = idleMs;
    this.#signal = signal;
    this.#aborting = onAbort(signal, () => this.#controller.abort());
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  begin(): void {
    this.rest();
    this.#timer = setTimeout(() => {
      this.#late = true;
      this.#controller.abort();
    }, this.#idleMs);
  }

  rest(): void {
    clearTimeout(this.#timer);
  }

  end(): void {
    this.rest();
    this.#aborting[Symbol.dispose]();
    this.#controller.abort();
  }

  /** What a failed request comes to. */
  failure(error: unknown): unknown {
    if (this.#signal.aborted) return this.#signal.reason;
    if (this.#late) return new Passing(`nothing came for ${this.#idleMs / 1000} s`);
    return new Passing(wordsFor(error), { cause: error });
  }
}

const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing answers at its port",
  ECONNRESET: "the connection was closed",
  ENOTFOUND: "its host is not known",
  ConnectionRefused: "nothing answers at its port",
  ConnectionClosed: "the connection was closed",
  FailedToOpenSocket: "nothing answers at its port",
};

function wordsFor(error: unknown): string {
  const code = systemCode(error);
  if (code !== undefined) return WORDS[code] ?? `error ${code}`;
  return error instanceof Error ? error.message : String(error);
}

/** Codes of OpenSSL and Node.js about a certificate. */
const CERTIFICATE = /CERT|SIGNATURE|ERR_TLS|SELF_SIGNED|UNABLE_TO/;

const OWN_HEADERS: readonly Header[] = [
  ["User-Agent", "blocksync"],
  ["Accept-Encoding", "identity"],
];

async function send(url: URL, headers: readonly Header[], options: WebOptions): Promise<Reply> {
  const watch = new Watch(options);
  watch.begin();
  try {
    const response = await fetch(url, {
      headers: new Headers([...OWN_HEADERS, ...headers].map(([name, value]): [string, string] => [name, value])),
      redirect: "manual",
      decompress: false,
      signal: watch.signal,
      ...(options.ca === undefined ? {} : { tls: { ca: options.ca } }),
    });
    watch.rest();
    return new Reply(response, watch);
  } catch (error) {
    watch.end();
    if (CERTIFICATE.test(systemCode(error) ?? ""))
      throw new UnreachableError(`Cannot trust ${quote(url.origin)}: ${wordsFor(error)}`, {
        cause: error,
        hint: "--cacert FILE names the certificate of whoever signed the server's; a wrong clock spoils every certificate",
      });
    throw watch.failure(error);
  }
}

/** Asks for one thing, again and again, by way of the redirects that lead to it. */
export class Requests {
  readonly address: Address;
  readonly options: WebOptions;
  /** Where the redirects led last: a signed link, perhaps, that expires. */
  #current: URL;

  constructor(address: Address, options: WebOptions) {
    this.address = address;
    this.options = options;
    this.#current = address.url;
  }

  /**
   * Sends a GET. Redirects are followed; what one has led to and does not answer any more is asked for from the beginning.
   * @throws {Passing} {IoError} {UnreachableError}
   */
  async get(headers: readonly Header[]): Promise<Reply> {
    let url = this.#current;
    for (let hops = 0; ; ) {
      const own = url.origin === this.address.url.origin ? this.options.headers : [];
      const reply = await send(url, [...own, ...headers], this.options);
      if (REDIRECTS.has(reply.status)) {
        reply.drop();
        if (hops++ === MAX_REDIRECTS) throw this.failed(`it leads on and on (${MAX_REDIRECTS} redirects)`);
        url = this.#next(url, reply.headers.get("location"));
      } else if (REFUSALS.has(reply.status) && url !== this.address.url && this.#current !== this.address.url) {
        reply.drop();
        this.#current = this.address.url;
        url = this.address.url;
        hops = 0;
      } else {
        this.#current = url;
        if (BUSY.has(reply.status)) {
          reply.drop();
          throw new Passing(`the server answered ${reply.status}`);
        }
        return reply;
      }
    }
  }

  #next(from: URL, location: string | null): URL {
    const url = location === null ? null : URL.parse(location, from.href);
    if (url === null || !/^https?:$/.test(url.protocol)) throw this.failed("it leads to what is no address");
    if (from.protocol === "https:" && url.protocol === "http:")
      throw this.failed("it leads from https to http, which anyone on the way can change");
    return url;
  }

  /** What is asked for cannot be had, for the reason given. */
  failed(why: string, hint = "try it with curl -v"): IoError {
    return new IoError(`Cannot fetch ${quote(this.address.label)}: ${why}`, { hint });
  }
}
