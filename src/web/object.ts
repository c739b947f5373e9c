/**
 * Something of a fixed size at a web server, read by ranges, one each request (RFC 9110, 14). Every answer is checked to be about that
 * very thing: its size, its ETag or time, and the range that was asked for.
 */
import { sourceChanged, UnreachableError } from "../errors.ts";
import { quote } from "../name.ts";
import { AwakeTime, rest } from "../sync/abort.ts";
import { type ByteRange, endOf } from "../sync/ranges.ts";
import type { Address, Header } from "./address.ts";
import { Passing, type Reply, Requests, type WebOptions } from "./request.ts";

/** Between one attempt and the next. */
const PAUSES_MS = [0, 500, 1000, 2000, 5000];

/** What tells one state of a thing from another. */
interface State {
  /** Only a strong one tells bytes apart. */
  readonly etag: string | null;
  readonly modified: string | null;
}

function stateOf({ headers }: Reply): State {
  const etag = headers.get("etag");
  return { etag: etag?.startsWith('"') === true ? etag : null, modified: headers.get("last-modified") };
}

/** The bytes of a Content-Range, and of how many; undefined for any other text. */
function contentRange(text: string | null): { readonly range: ByteRange; readonly sizeBytes: number } | undefined {
  const [, first, last, size] = /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16})$/i.exec(text ?? "")?.map(Number) ?? [];
  if (first === undefined || last === undefined || size === undefined) return undefined;
  if (![first, last, size].every(Number.isSafeInteger) || last < first || last >= size) return undefined;
  return { range: { offset: first, length: last - first + 1 }, sizeBytes: size };
}

export class WebObject {
  readonly label: string;
  readonly sizeBytes: number;
  /** Whether the server gives ranges; else every answer is the whole. */
  readonly ranged: boolean;
  readonly #requests: Requests;
  readonly #state: State;
  /** Of bodies. */
  bytesFetched = 0;

  private constructor(requests: Requests, sizeBytes: number, ranged: boolean, state: State) {
    this.label = requests.address.label;
    this.sizeBytes = sizeBytes;
    this.ranged = ranged;
    this.#requests = requests;
    this.#state = state;
  }

  /**
   * Finds out about it with one request; undefined where the server says that there is none (404, 410), nothing of the body is read.
   * @throws {UnreachableError} when no server answers; {IoError} when it answers anything else.
   */
  static async find(address: Address, options: WebOptions): Promise<WebObject | undefined> {
    const requests = new Requests(address, options);
    const reply = await requests.get([["Range", "bytes=0-0"]]).catch((error: unknown) => {
      throw error instanceof Passing ? unreachable(address, error.message) : error;
    });
    reply.drop();
    const { status, headers } = reply;
    if (status === 404 || status === 410) return undefined;
    if (status === 206) {
      const found = contentRange(headers.get("content-range"));
      if (found === undefined || found.range.offset !== 0 || found.range.length !== 1)
        throw requests.failed("the server gives another range than it was asked for, or does not tell the size");
      return new WebObject(requests, found.sizeBytes, true, stateOf(reply));
    }
    if (status === 416 && /^bytes \*\/0$/.test(headers.get("content-range") ?? ""))
      return new WebObject(requests, 0, true, stateOf(reply));
    if (status !== 200) throw requests.failed(`the server answered ${status}`, hintFor(status));
    checkPlain(requests, reply);
    const length = headers.get("content-length") ?? "";
    const sizeBytes = Number(length);
    if (!/^\d{1,16}$/.test(length) || !Number.isSafeInteger(sizeBytes))
      throw requests.failed("the server does not tell its size");
    return new WebObject(requests, sizeBytes, false, stateOf(reply));
  }

  /**
   * Reads a range within it, whatever breaks off meanwhile, for as long as --reconnect says. The bytes belong to the caller.
   * @throws {VerificationError} when it was replaced; {IoError} {UnreachableError}
   */
  async read(range: ByteRange): Promise<Uint8Array> {
    const bytes = new Uint8Array(range.length);
    let done = 0;
    for await (const piece of this.pieces(range)) {
      bytes.set(piece, done);
      done += piece.length;
    }
    return bytes;
  }

  /** As read(), piece by piece. */
  async *pieces(range: ByteRange): AsyncGenerator<Uint8Array> {
    const { patienceMs, signal } = this.#requests.options;
    let done = 0;
    let attempts = 0;
    let patience: AwakeTime | undefined;
    try {
      while (done < range.length) {
        try {
          for await (const piece of this.#rest({ offset: range.offset + done, length: range.length - done })) {
            done += piece.length;
            patience?.[Symbol.dispose]();
            patience = undefined;
            attempts = 0;
            yield piece;
          }
        } catch (error) {
          if (!(error instanceof Passing)) throw error;
          patience ??= new AwakeTime(patienceMs);
          const pause = PAUSES_MS[Math.min(attempts++, PAUSES_MS.length - 1)] ?? 0;
          if (patienceMs === 0 || patience.late.aborted) throw unreachable(this.#requests.address, error.message);
          await rest(pause, AbortSignal.any([signal, patience.late])).catch(() => {
            throw signal.aborted ? signal.reason : unreachable(this.#requests.address, error.message);
          });
        }
      }
    } finally {
      patience?.[Symbol.dispose]();
    }
  }

  /** What one answer gives of a range, all of it or less. */
  async *#rest(range: ByteRange): AsyncGenerator<Uint8Array> {
    const reply = await this.#requests.get(this.ranged ? this.#askFor(range) : []);
    try {
      this.#check(reply, range);
      // Without ranges what comes before is thrown away.
      let skip = this.ranged ? 0 : range.offset;
      let left = range.length;
      for await (const piece of reply.pieces()) {
        this.bytesFetched += piece.length;
        // Until then nothing more is read, which the server feels.
        await this.#requests.options.pass(piece.length);
        const skipped = Math.min(skip, piece.length);
        skip -= skipped;
        const wanted = piece.subarray(skipped, skipped + left);
        if (this.ranged && piece.length > left)
          throw this.#requests.failed("the server gives more than it was asked for");
        left -= wanted.length;
        if (wanted.length > 0) yield wanted;
        if (left === 0) return;
      }
      throw new Passing("the answer ended early");
    } finally {
      reply.drop();
    }
  }

  /** If-Range has the server answer with the whole when it is another one by now. */
  #askFor(range: ByteRange): Header[] {
    const asked: Header = ["Range", `bytes=${range.offset}-${endOf(range) - 1}`];
    const state = this.#state.etag ?? this.#state.modified;
    return state === null ? [asked] : [asked, ["If-Range", state]];
  }

  #check(reply: Reply, range: ByteRange): void {
    const { status, headers } = reply;
    const now = stateOf(reply);
    const isOther = (before: string | null, other: string | null) =>
      before !== null && other !== null && before !== other;
    if (
      isOther(this.#state.etag, now.etag) ||
      isOther(this.#state.modified, now.modified) ||
      status === 412 ||
      status === 416
    )
      throw this.#replaced();
    if (status !== (this.ranged ? 206 : 200)) {
      if (status === 200) throw this.#replaced();
      throw this.#requests.failed(`the server answered ${status}`, hintFor(status));
    }
    checkPlain(this.#requests, reply);
    if (!this.ranged) {
      if (Number(headers.get("content-length")) !== this.sizeBytes) throw this.#replaced();
      return;
    }
    const found = contentRange(headers.get("content-range"));
    if (found !== undefined && found.sizeBytes !== this.sizeBytes) throw this.#replaced();
    if (found?.range.offset !== range.offset || found.range.length !== range.length)
      throw this.#requests.failed("the server gives another range than it was asked for");
  }

  #replaced(): Error {
    return sourceChanged(this.label, ": the server has another one under that name now");
  }
}

function checkPlain(requests: Requests, { headers }: Reply): void {
  const encoding = headers.get("content-encoding");
  if (encoding === null || encoding.toLowerCase() === "identity") return;
  throw requests.failed("the server sends it compressed, though it was asked not to");
}

function hintFor(status: number): string | undefined {
  if (status === 401 || status === 403) return "it may need --header @FILE with an Authorization, or a fresh link";
  return undefined;
}

function unreachable({ label }: Address, why: string): UnreachableError {
  return new UnreachableError(`Cannot reach ${quote(label)}: ${why}`, {
    hint: "check the address, the network, and http_proxy and https_proxy of the environment",
  });
}
