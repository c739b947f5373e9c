/** The command line's values, converted and checked once; nothing behind this file sees strings. */

import { OVERRIDABLE, type Overridable, UsageError } from "../errors.ts";
import { variableGiven } from "../given.ts";
import { isText, quote, shownName } from "../name.ts";
import { splitWords } from "../remote/host/quote.ts";
import type { ShellOptions } from "../remote/host/ssh.ts";
import { MAX_TIMEOUT_SECONDS } from "../remote/wire/protocol.ts";
import type { ProgressMode } from "../report/progress.ts";
import { parseChangeMap } from "../run/change-map.ts";
import type { CommonOptions, HostOptions, MessageOptions, SyncCommandOptions } from "../run/options.ts";
import { DECOMPRESS } from "../run/source.ts";
import { isBlockSize } from "../sync/blocks.ts";
import { MAX_RETRIES } from "../sync/endpoint.ts";
import { HASH_NAMES } from "../sync/spec.ts";
import { parseChoice, parseInteger, parseSize, parseTime } from "./quantity.ts";

/** The values as citty hands them over: by the option's long name. */
export type Values = Readonly<Record<string, unknown>>;

export function text(values: Values, name: string): string | undefined {
  const value = values[name];
  return typeof value === "string" ? value : undefined;
}

function required(values: Values, name: string): string {
  const value = text(values, name);
  if (value === undefined) throw new UsageError(`The option --${name} needs a value`);
  return value;
}

function flag(values: Values, name: string): boolean {
  return values[name] === true;
}

/** Passes on what will be among the words for another program. @throws {UsageError} for what Bun cannot hand on: bytes. */
function wordFor(word: string | undefined, what: string): string | undefined {
  if (word === undefined || isText(word)) return word;
  throw new UsageError(`Cannot pass ${what} ${quote(word)} to ssh: it is not UTF-8`, {
    hint: "give it a UTF-8 name, such as a symbolic link (ln -s)",
  });
}

/** Passes on what will be a word of a remote shell. @throws {UsageError} when no shell could be given it. */
function shellWord(given: string | undefined, what: string): string | undefined {
  const word = wordFor(given, what);
  if (word !== undefined && /[\0\r\n]/.test(word)) throw new UsageError(`${what} contains a line break or a NUL byte`);
  return word;
}

const MAX_PAUSE_MS = 3_600_000;
const MAX_RECONNECT_MS = 7 * 86_400_000;
const PROGRESS = ["auto", "bar", "plain", "none"] as const;
const READ_ERROR = ["stop", "skip"] as const;

const HASHES = ["auto", ...HASH_NAMES] as const;

/** The options whose value is one of a few words (of --allow one or more), with these words. */
export const CHOICES: Readonly<Record<string, readonly string[]>> = {
  hash: HASHES,
  "additional-hash": HASH_NAMES,
  fadvise: ["0", "1", "2", "3"],
  progress: PROGRESS,
  "on-read-error": READ_ERROR,
  allow: OVERRIDABLE,
  decompress: DECOMPRESS,
};

function words(values: Values, name: string): string[] | undefined {
  const line = wordFor(text(values, name), `--${name}`);
  if (line === undefined) return undefined;
  try {
    return splitWords(line);
  } catch (error) {
    throw new UsageError(`Cannot read the words of --${name}: ${error instanceof Error ? error.message : ""}`);
  }
}

/** Options of ssh that take a value (ssh(1)), without it. */
const VALUED = /^-[BbcDEeFIiJLlmOoPpQRSWw]$/;

function shellOptions(values: Values): ShellOptions {
  const rsh = words(values, "rsh");
  if (rsh?.length === 0) throw new UsageError("The value of the option --rsh is empty");
  const extraParameters = words(values, "extra-params") ?? [];
  const last = extraParameters.at(-1) ?? "";
  if (VALUED.test(last))
    throw new UsageError(`ssh's ${last} in --extra-params lacks its value`, {
      hint: `quote them together: -x '${last} VALUE'`,
    });
  const isDefault = rsh?.length === 1 && rsh[0] === "ssh";
  return {
    rsh: isDefault ? undefined : rsh,
    identityFile: wordFor(text(values, "id"), "--id"),
    cipher: wordFor(text(values, "cipher"), "--cipher"),
    extraParameters,
    password: text(values, "pass") !== undefined,
  };
}

function isAboutHost({ rsh, identityFile, cipher, extraParameters, password }: ShellOptions): boolean {
  return [rsh, identityFile, cipher].some((option) => option !== undefined) || extraParameters.length > 0 || password;
}

/** @throws {UsageError} */
export function hostOptions(values: Values): HostOptions {
  const loudness = loudnessOf(values);
  const passwordVariable = text(values, "pass");
  if (passwordVariable !== undefined && process.env[passwordVariable] === undefined) {
    // What does not look like a variable may be the password itself.
    const isName = /^[A-Z_][A-Z0-9_]*$/.test(passwordVariable);
    const name = isName ? `the environment variable ${quote(passwordVariable)}, which` : "a variable that";
    throw new UsageError(`--pass names ${name} is not set`, {
      hint: "name an exported variable that holds the password, never the password itself",
    });
  }
  const password = passwordVariable === undefined ? undefined : variableGiven(passwordVariable);
  if (password !== undefined && !isText(password))
    throw new UsageError("Cannot pass the password of --pass to ssh: it is not UTF-8", {
      hint: "use a key (ssh-keygen), or leave out --pass and let ssh ask",
    });
  return {
    shell: shellOptions(values),
    passwordVariable,
    reconnectMs: parseTime(text(values, "reconnect") ?? "0", "--reconnect", MAX_RECONNECT_MS),
    timeoutSeconds: parseInteger(required(values, "timeout"), "--timeout", 1, MAX_TIMEOUT_SECONDS),
    remoteDirectory: shellWord(variableGiven("BLOCKSYNC_REMOTE_DIR"), "BLOCKSYNC_REMOTE_DIR") ?? "",
    ...loudness,
  };
}

/** @throws {UsageError} */
function loudnessOf(values: Values): Pick<MessageOptions, "quiet" | "verbose"> {
  const [quiet, verbose] = [flag(values, "quiet"), flag(values, "verbose")];
  if (quiet && verbose) throw new UsageError("--quiet and --verbose contradict each other", { hint: "leave one out" });
  return { quiet, verbose };
}

/** @throws {UsageError} */
export function messageOptions(values: Values): MessageOptions {
  return { ...loudnessOf(values), outputFile: text(values, "output") };
}

/** @throws {UsageError} */
export function commonOptions(values: Values): CommonOptions {
  const size = required(values, "block-size");
  const blockSize = parseSize(size, "--block-size");
  if (!isBlockSize(blockSize)) {
    throw new UsageError(`--block-size ${quote(size)} is not a multiple of 4K from 4K to 16M`, {
      hint: "the default, 1M, suits nearly everything; a number alone means bytes",
    });
  }
  const additional = text(values, "additional-hash");
  const fadvise = parseInteger(required(values, "fadvise"), "--fadvise", 0, 3);
  const progress = parseChoice(
    required(values, "progress"),
    "--progress",
    PROGRESS,
    "a terminal shows a bar without --progress",
  );
  const host = hostOptions(values);
  const script = shellWord(text(values, "script"), "--script");
  const interpreter = text(values, "interpreter");
  const map = text(values, "map");
  return {
    ...host,
    blockSize,
    hash: parseChoice(required(values, "hash"), "--hash", HASHES),
    additionalHash: additional === undefined ? undefined : parseChoice(additional, "--additional-hash", HASH_NAMES),
    dropCacheHere: (fadvise & 1) !== 0,
    dropCacheThere: (fadvise & 2) !== 0,
    pauseMs: parseInteger(required(values, "pause"), "--pause", 0, MAX_PAUSE_MS),
    sudo: flag(values, "sudo"),
    script,
    forHost: script !== undefined || isAboutHost(host.shell),
    intervalMs: interval(text(values, "interval")),
    outputFile: text(values, "output"),
    progress: progressMode(progress, host.quiet, flag(values, "json")),
    json: flag(values, "json"),
    changeMap: map === undefined ? undefined : parseChangeMap(map),
    notices:
      interpreter === undefined
        ? []
        : [`--interpreter ${shownName(interpreter)} is ignored: blocksync needs no interpreter`],
  };
}

/** In milliseconds. @throws {UsageError} */
function interval(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const seconds = Number(/^\d+(\.\d+)?$/.exec(value)?.[0]);
  if (seconds > 0 && seconds <= 86_400) return seconds * 1000;
  throw new UsageError(`--interval ${quote(value)} is not a number of seconds above 0, at most a day`, {
    hint: "it is the time between progress lines, such as 10 or 0.5; --progress none shows none",
  });
}

/** With --json a program is told; a person who looks on asks for more. */
function progressMode(asked: (typeof PROGRESS)[number], quiet: boolean, json: boolean): ProgressMode {
  if (quiet) return "none";
  if (asked === "auto") return json ? "none" : "bar";
  return asked;
}

/** Slower would be slower than a handshake's patience. */
const MIN_RATE = 1 << 10;

function rate(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const bytesPerSecond = parseSize(value, "--bwlimit");
  if (bytesPerSecond < MIN_RATE)
    throw new UsageError(`--bwlimit ${value} is less than 1K a second`, {
      hint: "a number alone means bytes; 10M is 10 MiB a second",
    });
  return bytesPerSecond;
}

const NO_OTHER = "no other refusal can be overridden";

/** The names of --allow. @throws {UsageError} */
export function allowed(value: string | undefined): Overridable[] {
  return value?.split(",").map((name) => parseChoice(name.trim(), "--allow", OVERRIDABLE, NO_OTHER)) ?? [];
}

const MAX_LANES = 64;
/** Of the blocks of all lanes together: each lane holds some six of them. */
const MAX_LANE_BYTES = 64 << 20;

function laneCount(value: string, blockSize: number): number {
  const lanes = parseInteger(value, "--workers", 1, MAX_LANES);
  if (lanes > 1 && lanes * blockSize > MAX_LANE_BYTES) {
    throw new UsageError(`--workers ${lanes} with blocks of ${blockSize} bytes would take too much memory`, {
      hint: `use at most ${Math.floor(MAX_LANE_BYTES / blockSize)} lanes with blocks of this size, or smaller blocks`,
    });
  }
  return lanes;
}

function listOf(values: Values, skips: boolean): SyncCommandOptions["list"] {
  const [used, changed] = [text(values, "used-blocks"), text(values, "changed-blocks")];
  if (used !== undefined && changed !== undefined)
    throw new UsageError("--used-blocks and --changed-blocks contradict each other: give one of them");
  const path = used ?? changed;
  if (path === undefined) return undefined;
  const meaning = used === undefined ? "changed" : "used";
  if (skips) throw new UsageError(`--${meaning}-blocks does not go with --on-read-error skip`);
  return { path, meaning };
}

/** @throws {UsageError} */
export function syncCommandOptions(values: Values): SyncCommandOptions {
  const options = commonOptions(values);
  const onReadError = parseChoice(required(values, "on-read-error"), "--on-read-error", READ_ERROR);
  for (const name of ["mapfile", "retries"]) {
    if (text(values, name) !== undefined && onReadError !== "skip")
      throw new UsageError(`--${name} needs --on-read-error skip`);
  }
  if (flag(values, "verify") && flag(values, "dry-run"))
    throw new UsageError("--verify and --dry-run contradict each other: a dry run writes nothing to verify");
  const lanes = laneCount(required(values, "workers"), options.blockSize);
  const undo = text(values, "undo");
  if (undo !== undefined && lanes > 1)
    throw new UsageError(`--undo and --workers ${lanes} contradict each other: one lane alone knows what was saved`, {
      hint: "leave out --workers, or --undo",
    });
  const retries = text(values, "retries");
  const expectSize = text(values, "expect-size");
  const sourceSize = text(values, "source-size");
  return {
    ...options,
    lanes,
    splayMs: parseInteger(required(values, "splay"), "--splay", 0, MAX_PAUSE_MS),
    discard: flag(values, "discard"),
    compress: flag(values, "compress"),
    bytesPerSecond: rate(text(values, "bwlimit")),
    verify: flag(values, "verify"),
    skip: onReadError === "skip",
    retries: retries === undefined ? undefined : parseInteger(retries, "--retries", 0, MAX_RETRIES),
    rescueMap: text(values, "mapfile"),
    undo,
    dryRun: flag(values, "dry-run"),
    createDestination: flag(values, "create-dest"),
    force: flag(values, "force"),
    allowed: allowed(text(values, "allow")),
    expectSize: expectSize === undefined ? undefined : parseSize(expectSize, "--expect-size"),
    expectSerial: text(values, "expect-serial"),
    list: listOf(values, onReadError === "skip"),
    stream: {
      decompress: parseChoice(required(values, "decompress"), "--decompress", DECOMPRESS),
      sourceSize: sourceSize === undefined ? undefined : parseSize(sourceSize, "--source-size"),
    },
  };
}
