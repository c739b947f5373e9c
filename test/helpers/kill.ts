/**
 * Kills syncs and looks at what they leave: one side or the other, at a random moment or at an exact write, on every road
 * and kind of destination. What differed may be old or new afterwards, leaf by leaf; everything else must be as it was,
 * no process may be left, and the same command must then make the destination equal. An undo file must show what was there before.
 */
import fs from "node:fs";
import { quoteWord } from "../../src/remote/host/quote.ts";
import { BINARY, fakeSsh, processesWith, run, start, until } from "./binary.ts";
import { bytes, changeLeaves, random } from "./bytes.ts";
import { attachLoop } from "./loop.ts";
import { type Sshd, startSshd } from "./sshd.ts";
import { type TempDir, tempDir } from "./temp.ts";

const ROADS = ["local", "stand-in push", "stand-in pull", "sshd push", "sshd pull"] as const;
const KINDS = ["file", "device"] as const;
const MOMENTS = ["any moment", "a write"] as const;

export interface Round {
  readonly road: (typeof ROADS)[number];
  readonly kind: (typeof KINDS)[number];
  /** Which side gets the SIGKILL. */
  readonly victim: "this side" | "far side";
  readonly moment: (typeof MOMENTS)[number];
  /** Whether the run has an undo file, and the destination is read back from it. */
  readonly undo: boolean;
  readonly seed: number;
}

export interface Outcome {
  /** False when the run had ended by itself before the moment came. */
  readonly killed: boolean;
  /** Leaves that were new when the run was killed, of those that differed. */
  readonly leavesWritten: number;
  readonly leavesDiffering: number;
}

const LEAF = 4096;
const SOURCE_LENGTH = (4 << 20) + 777;
/** Longer than the source, a multiple of the sector size: what lies beyond is to be kept. */
const DESTINATION_LENGTH = (5 << 20) + 512;
/** 65 blocks, so that a rest of 1 ms after each makes the run long enough to be hit in the middle. */
const WORDS = ["-f", "--progress", "none", "-b", "64K", "--reconnect", "0"];
const REST = ["-p", "1"];
/** A write this often in one thread; strace counts each thread by itself, and a run has many. */
const MOST_WRITES = 4;
/** What every process of a run has in its environment, at either end: ssh and sshd of the tests let it through. */
export const MARK = "BLOCKSYNC_TEST_MARK";

/** Round `number` of a series: all roads, kinds, sides and moments take their turns, the rest comes from the seed. */
export function roundOf(number: number, seed: number): Round {
  const road = ROADS[number % ROADS.length] ?? "local";
  const turn = Math.floor(number / ROADS.length);
  const pull = road === "sshd pull" || road === "stand-in pull";
  const moment = MOMENTS[Math.floor(turn / 2) % 2] ?? "any moment";
  // Only the side that has the destination writes.
  const farSide = road !== "local" && (moment === "a write" ? !pull : (Math.floor(turn / 4) + number) % 2 === 0);
  return {
    road,
    kind: KINDS[turn % 2] ?? "file",
    victim: farSide ? "far side" : "this side",
    moment,
    undo: (Math.floor(number / 20) + number) % 2 === 0,
    seed: seed + number,
  };
}

export function describeRound({ road, kind, victim, moment, undo, seed }: Round): string {
  return `${road} to a ${kind}${undo ? " with --undo" : ""}, ${victim} killed at ${moment} (seed ${seed})`;
}

/** Ids of the processes of a run that was given this mark. */
export function marked(mark: string): number[] {
  return processesWith(`${MARK}=${mark}\0`, "environ");
}

/** A process that ended by itself since it was looked for is as dead. */
function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

/** Whether the undo file shows what was there before, as QEMU reads it; where there is none nothing may have been written. */
function checkUndo(dir: TempDir, before: Buffer, after: Buffer): void {
  const [undo, expected] = [dir.file("undo"), dir.file("before")];
  const isMade = fs.existsSync(undo) && fs.readFileSync(undo).subarray(0, 4).equals(Buffer.from("QFI\xfb", "latin1"));
  if (!isMade) {
    if (!after.equals(before)) throw new Error("the destination was written to without an undo file");
    return;
  }
  fs.writeFileSync(expected, before);
  for (const [words, codes] of [
    // 3: space that is not used.
    [
      ["check", undo],
      [0, 3],
    ],
    [["compare", "-f", "qcow2", "-F", "raw", undo, expected], [0]],
  ] as const) {
    const { exitCode, stdout, stderr } = Bun.spawnSync(["qemu-img", ...words]);
    if (!codes.some((code) => code === exitCode)) throw new Error(`qemu-img ${words[0]}: ${stdout}${stderr}`);
  }
}

/** The server and the time that whole runs take are shared by the rounds of a series. */
export class Killer implements AsyncDisposable {
  readonly #sshd: Sshd;
  readonly #durations = new Map<Round["road"], number>();

  private constructor(sshd: Sshd) {
    this.#sshd = sshd;
  }

  static async start(): Promise<Killer> {
    return new Killer(await startSshd());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sshd[Symbol.asyncDispose]();
  }

  /** @throws {Error} when the round left anything behind that it should not. */
  async play(round: Round): Promise<Outcome> {
    const next = random(round.seed);
    using dir = tempDir();
    const source = bytes(round.seed, SOURCE_LENGTH);
    const differing = new Set(
      Array.from({ length: 1 + (next() % 400) }, () => next() % Math.ceil(SOURCE_LENGTH / LEAF)),
    );
    const before = Buffer.concat([
      changeLeaves(source, differing),
      bytes(round.seed + 1, DESTINATION_LENGTH - SOURCE_LENGTH),
    ]);
    fs.writeFileSync(dir.file("source"), source);
    fs.writeFileSync(dir.file("destination"), before);
    using loop = round.kind === "device" ? attachLoop(dir.file("destination")) : undefined;
    const destination = loop?.path ?? dir.file("destination");
    const mark = `${process.pid}-${round.seed}`;
    const env = { [MARK]: mark };

    const atWrite = 1 + (next() % MOST_WRITES);
    const share = next() / 2 ** 32;
    const duration = await this.#duration(round.road, dir);
    const strace = ["strace", "-f", "-o", "/dev/null", "-P", destination, "-e", "trace=pwrite64"];
    const inject = [...strace, "-e", `inject=pwrite64:signal=KILL:when=${atWrite}`];
    const straced = round.moment === "a write";
    const words = this.#words(round.road, dir, destination, straced && round.victim === "far side" ? inject : []);
    const undo = round.undo ? ["--undo", dir.file("undo")] : [];
    const child = start([...REST, ...undo, ...words], {
      env,
      argv0: straced && round.victim === "this side" ? inject : [],
    });
    const said = child.stderr.text();
    if (!straced) {
      let victim: number | undefined = child.pid;
      if (round.victim === "far side") {
        await until("the far side runs, or nothing does", () => {
          const serving = processesWith(`${BINARY}\0serve`);
          victim = marked(mark).find((pid) => serving.includes(pid));
          return victim !== undefined || child.exitCode !== null;
        });
      }
      await Bun.sleep(share * duration);
      if (victim !== undefined && marked(mark).includes(victim)) killIfThere(victim);
    }
    const exitCode = await child.exited;
    const expected = round.victim === "this side" ? [0, 137] : [0, 5];
    if (!expected.includes(exitCode)) throw new Error(`exit code ${exitCode}: ${await said}`);
    await until("no process of the round is left", () => marked(mark).length === 0);

    const after = fs.readFileSync(destination);
    if (after.length !== before.length) throw new Error(`${after.length} bytes are left of ${before.length}`);
    let leavesWritten = 0;
    for (let leaf = 0; leaf * LEAF < before.length; leaf++) {
      const part = (data: Buffer) => data.subarray(leaf * LEAF, (leaf + 1) * LEAF);
      if (part(after).equals(part(before))) continue;
      const wanted = Buffer.concat([part(source), part(before).subarray(part(source).length)]);
      if (!differing.has(leaf)) throw new Error(`leaf ${leaf} was changed, which did not differ`);
      if (!part(after).equals(wanted)) throw new Error(`leaf ${leaf} is neither old nor new`);
      leavesWritten++;
    }

    if (round.undo) checkUndo(dir, before, after);
    const again = await run(this.#words(round.road, dir, destination, []), { env });
    if (again.exitCode !== 0) throw new Error(`the second run ended with ${again.exitCode}: ${again.stderr}`);
    const equal = Buffer.concat([source, before.subarray(SOURCE_LENGTH)]);
    if (!fs.readFileSync(destination).equals(equal)) throw new Error("the second run did not make them equal");
    await until("no process of the second run is left", () => marked(mark).length === 0);
    return { killed: exitCode !== 0, leavesWritten, leavesDiffering: differing.size };
  }

  /** The command line of a run, with `farPrefix` before the program on the far side. */
  #words(road: Round["road"], dir: TempDir, destination: string, farPrefix: readonly string[]): string[] {
    const source = dir.file("source");
    if (road === "local") return [...WORDS, source, destination];
    const program = dir.file("program");
    const command = [...farPrefix, BINARY].map(quoteWord).join(" ");
    fs.writeFileSync(program, `#!/bin/sh\nexec ${command} "$@"\n`, { mode: 0o755 });
    const host = "127.0.0.1";
    const reach = road.startsWith("sshd") ? this.#sshd.words : fakeSsh(dir.file("rsh"));
    const pair = road.endsWith("push") ? [source, `${host}:${destination}`] : [`${host}:${source}`, destination];
    return [...WORDS, ...reach, "-S", program, ...pair];
  }

  /** How long a run on this road takes when it is left alone, in ms. */
  async #duration(road: Round["road"], dir: TempDir): Promise<number> {
    const known = this.#durations.get(road);
    if (known !== undefined) return known;
    const copy = dir.file("copy");
    fs.copyFileSync(dir.file("destination"), copy);
    const begin = performance.now();
    const { exitCode, stderr } = await run([...REST, ...this.#words(road, dir, copy, [])]);
    if (exitCode !== 0) throw new Error(`a run that nobody disturbed ended with ${exitCode}: ${stderr}`);
    const duration = performance.now() - begin;
    this.#durations.set(road, duration);
    return duration;
  }
}
