/** The bar while a run goes on: looks at the run some times a second and draws what it has come to. */
import { quote } from "../name.ts";
import type { Stage } from "../sync/stage.ts";
import type { Statistics } from "../sync/statistics.ts";
import { type BarState, barLines, stageLine } from "./bar.ts";
import { hear } from "./hear.ts";
import { Pace } from "./pace.ts";
import type { Screen } from "./screen.ts";
import type { WireBytes } from "./summary.ts";

/** Something that takes its time before the blocks, or before a further lane's. */
export interface Wait {
  /** "Logging in to backup". */
  readonly text: string;
  /** Whether another program may ask something on the terminal meanwhile, such as ssh for a password. */
  readonly asks: boolean;
  /** How much of it is done, in bytes, where that is known. */
  readonly bytes?: { readonly done: number; readonly total: number };
}

export function waitFor(stage: Exclude<Stage, { kind: "notice" | "detail" | "resumed" }>): Wait {
  switch (stage.kind) {
    case "login":
      return { text: `Logging in to ${stage.host}`, asks: true };
    case "copying":
      return { text: `Copying blocksync to ${stage.host}`, asks: false, bytes: stage };
    case "starting":
      return { text: `Starting blocksync on ${stage.host}`, asks: false };
    case "lost":
      return { text: `Lost the connection to ${stage.host}, trying again`, asks: true };
    case "opening":
      return { text: `Opening ${quote(stage.label)}`, asks: false };
  }
}

/** A run whose blocks are under way. */
export interface Running {
  readonly statistics: Statistics;
  readonly traffic: () => WireBytes;
  readonly elapsedMs: () => number;
}

/** What there is to show at the moment: a wait before a run, where there are both only one that asks. */
export interface Scene {
  readonly wait: Wait | undefined;
  readonly running: Running | undefined;
}

/** Between two drawings, in milliseconds: often enough to see it move, seldom enough to read the digits. */
const FRAME_MS = 200;
/** Drawing may take one part in so many of the time, so that a serial console or a busy machine is not held up by it. */
const SHARE = 50;

export class LiveBar {
  readonly #screen: Screen;
  readonly #colour: boolean;
  readonly #scene: () => Scene;
  readonly #continuing: Disposable;
  #timer: Timer | undefined;
  #paces:
    | { readonly statistics: Statistics; readonly phase: string; readonly done: Pace; readonly wire: Pace }
    | undefined;
  /** Questions of this program on the terminal. */
  #questions = 0;
  #opened = "";

  /** Begins to look at `scene`; the first drawing comes a little later, so that a short run shows none. */
  constructor(screen: Screen, colour: boolean, scene: () => Scene) {
    this.#screen = screen;
    this.#colour = colour;
    this.#scene = scene;
    this.#continuing = hear("SIGCONT", () => this.#skip());
    this.#schedule(FRAME_MS);
  }

  /** Draws now what there is to show. */
  refresh(): void {
    if (this.#timer === undefined || this.#questions > 0) return;
    const { wait, running } = this.#scene();
    if (wait?.asks === true) {
      // Drawn again it would overwrite the question.
      if (this.#opened !== wait.text) this.#screen.open(`${wait.text}... `);
      this.#opened = wait.text;
      return;
    }
    this.#opened = "";
    if (running !== undefined) {
      const state = this.#state(running);
      this.#screen.draw((columns) => barLines(state, columns, this.#colour));
    } else if (wait !== undefined) {
      const { text, bytes } = wait;
      this.#screen.draw((columns) =>
        bytes === undefined ? [`${text}...`] : [stageLine(text, bytes.done, bytes.total, columns, this.#colour)],
      );
    } else {
      this.#screen.clear();
    }
  }

  /** Leaves the terminal to `ask`. */
  async whileAsking<T>(ask: () => Promise<T>): Promise<T> {
    this.#questions++;
    this.#screen.clear();
    try {
      return await ask();
    } finally {
      this.#questions--;
    }
  }

  /** Takes away what is drawn, for good. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#continuing[Symbol.dispose]();
    this.#screen.clear();
  }

  #schedule(ms: number): void {
    this.#timer = setTimeout(() => {
      const begun = performance.now();
      this.refresh();
      this.#schedule(Math.max(FRAME_MS, SHARE * (performance.now() - begun)));
    }, ms);
    this.#timer.unref();
  }

  /** The time for which the job was stopped is none in which nothing went on. */
  #skip(): void {
    const { running } = this.#scene();
    if (running === undefined || this.#paces === undefined) return;
    const now = performance.now();
    this.#paces.done.skip(bytesDone(running.statistics), now);
    this.#paces.wire.skip(wireBytes(running), now);
  }

  #state(running: Running): BarState {
    const { statistics } = running;
    const { phase, expectedBytes: sizeBytes, lanes } = statistics;
    const now = performance.now();
    const [done, wire] = [bytesDone(statistics), wireBytes(running)];
    const elapsedMs = running.elapsedMs();
    if (this.#paces?.statistics !== statistics) {
      const begunMs = now - elapsedMs;
      this.#paces = {
        statistics,
        phase: "comparing",
        done: new Pace(0, begunMs),
        wire: new Pace(this.#paces === undefined ? 0 : wire, begunMs),
      };
    }
    // What comes after has a pace of its own; the flush none.
    if (this.#paces.phase !== phase)
      this.#paces = { statistics, phase, done: new Pace(done, now), wire: new Pace(wire, now) };
    const paces = this.#paces;
    paces.done.sample(done, now);
    paces.wire.sample(wire, now);
    return {
      phase,
      doneBytes: done,
      sizeBytes,
      sameBytes: statistics.bytesOf(statistics.blocksMatching),
      differBytes: statistics.bytesOf(statistics.blocksDiffering),
      writtenBytes: statistics.bytesWritten,
      badAreas: statistics.unreadableAreas,
      badBytes: statistics.sourceUnreadableBytes,
      retryBytes: statistics.bytesOf(statistics.blocksDeferred),
      rate: paces.done.perSecond,
      wireRate: wire === 0 ? undefined : paces.wire.perSecond,
      elapsedMs,
      remainingMs: sizeBytes === undefined ? undefined : paces.done.remainingMs(sizeBytes - done),
      lanes: lanes.map((lane) => {
        const total = phase === "verifying" ? lane.verifying.blocksExpected : lane.blocksExpected;
        return total === 0 ? 1 : (phase === "verifying" ? lane.blocksVerified : lane.blocksDone) / total;
      }),
    };
  }
}

/** In the phase that the run is in. */
function bytesDone(statistics: Statistics): number {
  const { phase, blocksVerified, blocksDone } = statistics;
  return statistics.bytesOf(phase === "verifying" ? blocksVerified : blocksDone);
}

function wireBytes({ traffic }: Running): number {
  const { bytesSent, bytesReceived } = traffic();
  return bytesSent + bytesReceived;
}
