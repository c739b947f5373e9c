/** Turns two locations into lanes, each two endpoints: the only place that knows which is where. */

import { InterruptedError, type Overridable, VerificationError } from "../errors.ts";
import { variableGiven } from "../given.ts";
import { LocalEndpoint } from "../local/endpoint.ts";
import { hasAes } from "../local/kernel/processor.ts";
import { zeroLeafHashes } from "../local/work/hash.ts";
import { quote } from "../name.ts";
import { RemoteEndpoint } from "../remote/endpoint.ts";
import { connect, connectThroughSudo } from "../remote/host/connect.ts";
import type { Connection } from "../remote/host/connection.ts";
import type { ConnectOptions } from "../remote/host/login.ts";
import { takeFromWaiting } from "../remote/serve.ts";
import { RateLimit } from "../remote/wire/rate.ts";
import type { Report, Stages } from "../report/report.ts";
import { rest } from "../sync/abort.ts";
import { equalBytes } from "../sync/blocks.ts";
import type { Description, Endpoint } from "../sync/endpoint.ts";
import type { Examination } from "../sync/facts.ts";
import { type Access, type HashChoice, type Opening, RUN_ID_SIZE, SEED_SIZE, type UndoSpec } from "../sync/spec.ts";
import type { TellStage } from "../sync/stage.ts";
import type { Statistics } from "../sync/statistics.ts";
import { countReads, type Lane } from "../sync/sync.ts";
import type { TreeEndpoint } from "../tree/endpoint.ts";
import { WebObject } from "../web/object.ts";
import { canAsk } from "./confirm.ts";
import { HashAgreement } from "./hash-agreement.ts";
import { hostConnection } from "./host.ts";
import { isStandardInput, type Location, located } from "./location.ts";
import type { CommonOptions } from "./options.ts";
import { Passwords } from "./passwords.ts";
import { daySource, inputAsFile, openBody, openInput, type StreamOptions, unpackedSource } from "./source.ts";
import { type OpenedTree, openTree } from "./tree-source.ts";
import type { UndoChoice } from "./undo.ts";

export interface LaneOptions extends CommonOptions {
  /** What the second side is opened for by the first lane; the first side is only read. */
  readonly access: Exclude<Access, "join">;
  readonly compress: boolean;
  readonly discard: boolean;
  readonly allowed: readonly Overridable[];
  /** How far to look for file systems and partition tables at the second side; the first is looked at itself, or not. */
  readonly examine: Examination;
  readonly bytesPerSecond: number | undefined;
  /** Where what is overwritten is saved, on the destination's machine. */
  readonly undo: UndoChoice | undefined;
  /** Lanes that there may be at most. */
  readonly lanes: number;
  /** How a source is read that is a stream, or could be; undefined for as it is. */
  readonly stream: StreamOptions | undefined;
}

export interface Traffic {
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Copies of the program, which the other two leave out. */
  readonly bytesBootstrapped: number;
  /** From web servers, hash trees among it. */
  readonly bytesFetched: number;
}

/** Opens what comes from a web server from its beginning to its end. */
type ReadOnce = (body: WebObject) => Promise<Endpoint>;

interface Side {
  readonly location: Location;
  readonly access: LaneOptions["access"];
  readonly dropCache: boolean;
  readonly examine: Examination;
  readonly throughSudo: boolean;
  readonly undo: UndoSpec | undefined;
}

/** How long ssh may take to reach a host that may just be restarting. */
const CONNECT_SECONDS_AGAIN = 10;

/** Of a run that begins: the file is its own by an id that nobody guesses. */
function undoOf({ remote }: Location, choice: UndoChoice | undefined): UndoSpec | undefined {
  if (choice === undefined) return undefined;
  const label = located(remote, choice.path).label;
  return { ...choice, label, run: crypto.getRandomValues(new Uint8Array(RUN_ID_SIZE)) };
}

/** All lanes of a pass, and everything that is open for them. */
export class Lanes {
  readonly #sides: readonly [Side, Side];
  readonly #options: LaneOptions;
  readonly #report: Report;
  readonly #seed = crypto.getRandomValues(new Uint8Array(SEED_SIZE));
  /** The wide hash that a leaf of `length` zero bytes has on both sides. */
  readonly zeroLeafHash = zeroLeafHashes(this.#seed);
  readonly #limits: ConnectOptions["limits"];
  readonly #signal: AbortSignal;
  readonly #ending = new AbortController();
  readonly #passwords: Passwords;
  readonly #agreement: HashAgreement;
  readonly #earlier: Lanes | undefined;
  #keepsNothing = false;
  readonly #lanes: Lane[] = [];
  readonly #connections: Connection[] = [];
  /** What comes from the web. */
  readonly #fetching: Pick<OpenedTree, "bytesFetched">[] = [];
  /** What the user should know about how the source is read. */
  readonly notices: string[] = [];
  readonly #closers: (() => Promise<void>)[] = [];

  /** `signal` is aborted when the run is interrupted; `earlier` are those of the pass before, when the run starts over. */
  constructor(
    source: Location,
    destination: Location,
    options: LaneOptions,
    report: Report,
    signal: AbortSignal,
    earlier?: Lanes,
  ) {
    this.#earlier = earlier;
    this.#options = options;
    this.#report = report;
    this.#signal = AbortSignal.any([signal, this.#ending.signal]);
    this.#passwords = earlier === undefined ? new Passwords(this.#signal) : earlier.#passwords.until(this.#signal);
    const isSalted = [source, destination].some(({ tree }) => tree !== undefined);
    this.#agreement = new HashAgreement(options.hash, 2, isSalted);
    const rate = options.bytesPerSecond;
    this.#limits = rate === undefined ? undefined : { sent: new RateLimit(rate), received: new RateLimit(rate) };
    // With two paths of this machine, --sudo is about the destination, as it was for blocksync.py's localhost.
    const here = source.remote === undefined && destination.remote === undefined;
    this.#sides = [
      {
        location: inputAsFile(source),
        access: "read",
        dropCache: source.remote === undefined ? options.dropCacheHere : options.dropCacheThere,
        // What is on its partitions is nobody's question.
        examine: options.examine === "nothing" ? "nothing" : "itself",
        throughSudo: false,
        undo: undefined,
      },
      {
        location: destination,
        access: options.access,
        dropCache: here || destination.remote !== undefined ? options.dropCacheThere : options.dropCacheHere,
        examine: options.examine,
        throughSudo: options.sudo && here,
        undo: earlier === undefined ? undoOf(destination, options.undo) : earlier.#undo,
      },
    ];
  }

  /**
   * Opens both ends of a lane at once; number 0 claims the destination for all. What was opened is closed by close(),
   * also when the other end fails.
   */
  async open(number: number): Promise<Lane> {
    const [from, to] = this.#sides;
    const destination = this.#openSide(to, number);
    const described = destination.then(({ description }) => description);
    described.catch(() => undefined);
    const opened = await Promise.allSettled([destination, this.#openSource(from, number, described)]);
    const [there, here] = opened.map((side) => {
      if (side.status === "rejected") throw side.reason;
      return side.value;
    });
    if (there === undefined || here === undefined) throw new RangeError("A lane has two ends");
    const lane = { source: here, destination: there };
    this.#lanes.push(lane);
    return lane;
  }

  /** What is read once is opened for a destination that is known. */
  async #openSource(side: Side, number: number, destination: Promise<Description>): Promise<Endpoint> {
    const { stream, blockSize } = this.#options;
    if (stream === undefined) return await this.#openSide(side, number);
    const onNotice = (text: string) => void this.notices.push(text);
    const opening = { ...stream, blockSize, hash: this.#hash, signal: this.#signal, onNotice };
    let opened: Endpoint;
    if (isStandardInput(side.location)) {
      // What is unpacked is hashed here.
      this.#agreement.says(hasAes());
      opened = await openInput(opening, await destination);
    } else {
      const source = await this.#openSide(side, number, async (body) => {
        onNotice(`${quote(body.label)} has no hash tree beside it, so all of it is fetched`);
        return await openBody(body, opening, await destination);
      });
      const { path, remote } = side.location;
      const day =
        remote === undefined
          ? await daySource(source, path, this.#options.undo, opening, await destination)
          : undefined;
      opened = day ?? (await unpackedSource(source, opening, await destination));
      if (opened === source) return source;
    }
    await this.#keep(() => opened.close());
    return opened;
  }

  /** What the two sides come to agree on. */
  get #hash(): Promise<HashChoice> {
    const hash = Promise.all([this.#agreement.name, this.#agreement.salt]).then(([name, salt]) => ({
      name,
      additional: this.#options.additionalHash,
      seed: this.#seed,
      ...(salt.length === 0 ? {} : { salt }),
    }));
    hash.catch(() => undefined);
    return hash;
  }

  /** Tells meanwhile what it is at. */
  async #openSide(side: Side, number: number, readOnce?: ReadOnce): Promise<Endpoint> {
    using stages = this.#report.stages();
    try {
      return await this.#connectSide(side, number, stages, readOnce);
    } catch (error) {
      this.#agreement.fails(error);
      throw error;
    }
  }

  async #connectSide(side: Side, number: number, stages: Stages, readOnce: ReadOnce | undefined): Promise<Endpoint> {
    const { tell } = stages;
    const { location, throughSudo } = side;
    const spec = this.#specOf(side, number);
    if (location.tree !== undefined) {
      tell({ kind: "opening", label: spec.label });
      const { timeoutSeconds, reconnectMs: patienceMs } = this.#options;
      const pass = async (bytes: number) => await this.#limits?.received.pass(bytes);
      const idleMs = timeoutSeconds * 1000;
      const options = {
        seed: this.#seed,
        signal: this.#signal,
        idleMs,
        patienceMs,
        pass,
        readOnce: readOnce !== undefined,
      };
      const opened = await openTree(location.path, location.tree, options, (text) => this.#report.notice(text));
      if (opened instanceof WebObject) {
        this.#agreement.salted(new Uint8Array());
        this.#fetching.push({ bytesFetched: () => opened.bytesFetched });
        const endpoint = await readOnce?.(opened);
        if (endpoint === undefined) throw new RangeError("Nobody reads it once");
        await this.#keep(() => endpoint.close());
        return endpoint;
      }
      await this.#agreeOnSalt(opened.endpoint);
      this.#fetching.push(opened);
      await this.#keep(() => opened.endpoint.close());
      return opened.endpoint;
    }
    if (location.remote === undefined && !throughSudo) {
      this.#agreement.says(hasAes());
      tell({ kind: "opening", label: spec.label });
      const onNote = (text: string) => this.#report.detail(text);
      const hash = () => {
        // What is waited for from here on the other side tells.
        stages[Symbol.dispose]();
        return spec.hash;
      };
      if (spec.access === "write") await takeFromWaiting(location, variableGiven("HOME"));
      const endpoint = await LocalEndpoint.open(
        { ...spec, hash },
        { onNote, sharers: this.#options.lanes, signal: this.#signal },
      );
      await this.#keep(() => endpoint.close());
      return endpoint;
    }
    const options = this.#connectOptions(tell);
    const connection = await (location.remote === undefined
      ? connectThroughSudo(options)
      : connect(location.remote, options));
    await this.#keep(() => connection.close());
    this.#connections.push(connection);
    this.#agreement.says(connection.hasAes);
    // Of a sudo of this machine nobody knows when it has asked enough.
    if (!throughSudo) tell({ kind: "opening", label: spec.label });
    return await RemoteEndpoint.open(connection.channel, { ...spec, hash: await spec.hash }, () => connection.close());
  }

  /** @throws {VerificationError} where another tree of the run has another salt. */
  async #agreeOnSalt({ salt, description: { label } }: TreeEndpoint): Promise<void> {
    this.#agreement.salted(salt);
    if (equalBytes(await this.#agreement.salt, salt)) return;
    throw new VerificationError(
      `Cannot compare by the hash tree of ${quote(label)}: it has another salt than the other one`,
      {
        hint: "make both with the same --salt, or with blocksync index",
      },
    );
  }

  /** What the first lane has claimed and looked at, a further one only joins. */
  #specOf(
    { location: { path, label }, access, dropCache, examine, undo }: Side,
    number: number,
  ): Opening & { readonly hash: Promise<HashChoice> } {
    const { blockSize, discard, compress, allowed } = this.#options;
    const common = { path, label, blockSize, hash: this.#hash, dropCache, discard, compress, allowed };
    if (number === 0) return { ...common, access, examine, undo };
    return { ...common, access: access === "write" ? "join" : access, examine: "nothing", undo: undefined };
  }

  /** For the next pass. */
  get #undo(): UndoSpec | undefined {
    return this.#keepsNothing ? undefined : this.#sides[1].undo;
  }

  /** There was nothing in the destination that could be overwritten, whatever a further pass finds there. */
  forgetUndo(): void {
    this.#keepsNothing = true;
  }

  #connectOptions(tell: TellStage): ConnectOptions {
    const { sudo, script, compress } = this.#options;
    const ask: ConnectOptions["askPassword"] = (...words) =>
      this.#report.whileAsking(() => this.#passwords.ask(...words));
    const askPassword = sudo && canAsk() ? ask : undefined;
    const common = hostConnection(this.#options, this.#signal, tell);
    const connectSeconds = this.#earlier === undefined ? undefined : CONNECT_SECONDS_AGAIN;
    return { ...common, compress, sudo, script, limits: this.#limits, askPassword, connectSeconds };
  }

  /** Has `close` called by close(); at once when that was called already, since a lane may fail while another opens. */
  async #keep(close: () => Promise<void>): Promise<void> {
    this.#closers.push(close);
    if (!this.#ending.signal.aborted) return;
    await close();
    throw new InterruptedError();
  }

  /** What blocks are compared by, as people read it; waits until the first lane is open. */
  async hashes(): Promise<string> {
    const { additionalHash } = this.#options;
    const name = await this.#agreement.name;
    return additionalHash === undefined ? name : `${name} and ${additionalHash}`;
  }

  /** Waits, for as long as the run goes on. */
  async rest(ms: number): Promise<void> {
    await rest(ms, this.#signal);
  }

  /** Whether a lane was opened, both ends. */
  get isOpen(): boolean {
    return this.#lanes.length > 0;
  }

  /** Of all connections, those of earlier passes too, from this machine's view. */
  get traffic(): Traffic {
    const before = this.#earlier === undefined ? [] : [this.#earlier.traffic];
    const sum = (count: (traffic: Omit<Traffic, "bytesFetched">) => number) =>
      [...before, ...this.#connections].reduce((total, one) => total + count(one), 0);
    return {
      bytesSent: sum((connection) => connection.bytesSent),
      bytesReceived: sum((connection) => connection.bytesReceived),
      bytesBootstrapped: sum((connection) => connection.bytesBootstrapped),
      bytesFetched: this.#fetching.reduce((total, one) => total + one.bytesFetched(), before[0]?.bytesFetched ?? 0),
    };
  }

  /** Makes durable what was written to the destination so far. @throws {IoError} */
  async checkpoint(): Promise<void> {
    await Promise.all(this.#lanes.map(({ destination }) => destination.checkpoint()));
  }

  /** Asks all ends what they have read so far. */
  async countReads(statistics: Statistics): Promise<void> {
    await countReads(this.#lanes, statistics);
  }

  /**
   * Ends all connections at once after a run that went well, and waits until each far side has let go of its device and is
   * gone: whoever runs a command there next finds it free.
   */
  async finish(): Promise<void> {
    await Promise.all(this.#connections.map((connection) => connection.close()));
  }

  /** Closes what was opened, last first, and ends what is still being opened; processes are killed. */
  async close(): Promise<void> {
    this.#ending.abort(new InterruptedError());
    for (const close of this.#closers.splice(0).reverse()) await close();
  }
}
