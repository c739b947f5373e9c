/**
 * Where a serve that outlives its connection is met by the next one: a socket named by the session's number, in a folder into
 * which only this user (and root) can look. Who comes says one line, and gets one or none:
 *
 *     resume TOKEN SCOPE POSITION     resumed POSITION, and then the stream goes on over this socket (lasting-stream.ts)
 *     end TOKEN SCOPE                 nothing: the controller has ended
 *     yield IDENTITY                  yielding, and the socket closes when the destination is free
 *
 * SCOPE stands for what serve --only permits, which is not to be more for who comes than it was. A socket nobody listens at is
 * what is left of a serve that was killed; the next one removes it. What a session waits for is described in waiting.ts.
 */
import fs from "node:fs";
import type net from "node:net";
import { loadNet } from "../builtin.ts";
import { systemCode } from "../errors.ts";
import { bytesOf } from "../name.ts";
import { dirname, entryNames, join } from "../paths.ts";
import { notePath } from "./host/notes.ts";
import { isPrivate } from "./host/ownership.ts";
import { MEETING_FOLDER, NUMBER } from "./wire/handshake.ts";
import { type SocketStreams, socketStreams } from "./wire/sockets.ts";
import { ByteReader } from "./wire/streams.ts";

/** A line that is longer is none. */
export const LINE_LIMIT = 256;
const NEWLINE = 10;
/** How long the one that is asked to yield may take to let go of its device. */
const YIELD_WAIT_MS = 10_000;
/** What only answers that it is there. */
const ANSWER_WAIT_MS = 2000;

/** An open folder; its path leads there whatever happens to its name, and is short enough for a socket (unix(7): 108 bytes). */
export interface Folder extends Disposable {
  readonly path: string;
  /** Removes it, and those above it that it was the first to need, once nothing is in them any more. */
  removeIfEmpty(): void;
}

/** The places, best first, as bootstrap.ts and clean.ts know them; none that goes with the login ($XDG_RUNTIME_DIR). */
function places(home: string | undefined): string[] {
  const own = `blocksync-${process.geteuid?.()}`;
  const note = notePath(home, MEETING_FOLDER);
  const shared = ["/var/tmp", "/dev/shm", "/tmp"].map((place) => join(place, own, MEETING_FOLDER));
  return note === undefined ? shared : [note, ...shared];
}

/** False where it is there already. */
function makeFolder(path: string): boolean {
  try {
    fs.mkdirSync(bytesOf(path), { mode: 0o700 });
    return true;
  } catch (error) {
    if (systemCode(error) !== "EEXIST") throw error;
    return false;
  }
}

/** Opens one that nobody else can look into; undefined where there is none, or with `create` none can be. */
function openFolder(path: string, create: boolean): Folder | undefined {
  try {
    const made = create ? [dirname(dirname(path)), dirname(path), path].filter(makeFolder) : [];
    if (!isPrivate(fs.lstatSync(bytesOf(dirname(path))))) return undefined;
    const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = fs.constants;
    const fd = fs.openSync(bytesOf(path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    const stat = fs.fstatSync(fd);
    if (isPrivate(stat) && (stat.mode & 0o077) === 0) {
      return {
        path: `/proc/self/fd/${fd}`,
        removeIfEmpty: () => removeIfEmpty([...new Set([path, ...made.toReversed()])]),
        [Symbol.dispose]: () => fs.closeSync(fd),
      };
    }
    fs.closeSync(fd);
  } catch {
    // The next place may do.
  }
  return undefined;
}

/** One after the other, to the first that is not. */
function removeIfEmpty(paths: readonly string[]): void {
  try {
    for (const path of paths) fs.rmdirSync(bytesOf(path));
  } catch {
    // Others are met there.
  }
}

/** The first folder in which a session can be met, without what is left of ones that are gone; undefined where there is none. */
export async function meetingFolder(home: string | undefined): Promise<Folder | undefined> {
  for (const path of places(home)) {
    const folder = openFolder(path, true);
    if (folder === undefined) continue;
    await Promise.all(socketsIn(folder).map(isListenedTo));
    return folder;
  }
  return undefined;
}

/** Of nobody where the folder was removed since it was opened, as the last one does who was met there. */
function socketsIn({ path }: Folder): string[] {
  try {
    return entryNames(path)
      .filter((name) => NUMBER.test(name))
      .map((name) => `${path}/${name}`);
  } catch {
    return [];
  }
}

/** What nobody listens to any more is removed. */
async function isListenedTo(path: string): Promise<boolean> {
  const socket = await connectTo(path);
  if (socket === undefined) fs.rmSync(bytesOf(path), { force: true });
  socket?.destroy();
  return socket !== undefined;
}

function connectTo(path: string): Promise<net.Socket | undefined> {
  return new Promise((resolve) => {
    const socket = loadNet().connect({ path, allowHalfOpen: true });
    socket.once("connect", () => resolve(socket));
    socket.once("error", () => resolve(undefined));
  });
}

/** One line without its newline; undefined where none comes. */
export async function lineOf(reader: ByteReader): Promise<string | undefined> {
  const { bytes, complete } = await reader.until(NEWLINE, LINE_LIMIT);
  return complete ? new TextDecoder().decode(bytes.subarray(0, -1)) : undefined;
}

export interface Met extends SocketStreams {
  /** What comes after the answer too. */
  readonly reader: ByteReader;
  readonly answer: string;
}

/** Says a line to whoever listens at `path`; undefined where nobody does, or answers. */
async function say(path: string, line: string): Promise<Met | undefined> {
  const socket = await connectTo(path);
  if (socket === undefined) return undefined;
  const streams = socketStreams(socket);
  const reader = new ByteReader(streams.source);
  const late = setTimeout(() => streams.close(), ANSWER_WAIT_MS);
  try {
    await streams.sink.write(bytesOf(`${line}\n`));
    const answer = await lineOf(reader);
    if (answer !== undefined) return { ...streams, reader, answer };
  } catch {
    // It is gone.
  } finally {
    clearTimeout(late);
  }
  streams.close();
  return undefined;
}

/** Meets the session of that number; undefined where there is none, or none that listens to this. */
export async function meet(home: string | undefined, number: string, line: string): Promise<Met | undefined> {
  for (const place of places(home)) {
    using folder = openFolder(place, false);
    if (folder === undefined) continue;
    const met = await say(`${folder.path}/${number}`, line);
    if (met !== undefined) return met;
  }
  return undefined;
}

/** Has sessions end that wait for a connection and hold what has this identity, and removes what is left of ones that are gone. */
export async function askToYield(home: string | undefined, identity: string): Promise<void> {
  for (const place of places(home)) {
    using folder = openFolder(place, false);
    if (folder === undefined) continue;
    await Promise.all(socketsIn(folder).map((path) => askOne(path, identity)));
  }
}

async function askOne(path: string, identity: string): Promise<void> {
  if (!(await isListenedTo(path))) return;
  const met = await say(path, `yield ${identity}`);
  if (met === undefined) return;
  const late = setTimeout(() => met.close(), YIELD_WAIT_MS);
  // Nothing more is said; the end is the sign.
  while ((await met.reader.read().catch(() => undefined)) !== undefined);
  clearTimeout(late);
  met.close();
}
