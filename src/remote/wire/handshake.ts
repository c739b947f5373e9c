/**
 * The preamble of protocol.ts: both sides say what they are before the first frame, and the controller what it wishes:
 *
 *     keep NUMBER TOKEN SECONDS       frames travel in a lasting stream (lasting-stream.ts), and where the connection is lost
 *                                     serve waits so long, and for the timeout besides, for another one
 *     resume NUMBER TOKEN POSITION    goes on with that stream, of which all up to POSITION was used; serve answers with one
 *                                     more line, "resumed POSITION" of its own, or "gone", whatever the reason
 *
 * NUMBER and TOKEN are 32 hexadecimal digits, which the controller makes up. Without a wish the frames follow as they are.
 */
import { ProtocolError } from "../../errors.ts";
import { checkPreamble, encodePreamble, PREAMBLE_LIMIT } from "./protocol.ts";
import type { ByteReader, ByteSink } from "./streams.ts";

export interface Build {
  readonly version: string;
  readonly build: string;
  /** Whether this processor has the instructions that "gmac" is fast with. */
  readonly hasAes: boolean;
}

/** A stream that outlives its connections, by which both sides know it. The token is a secret of the two. */
export interface SessionKey {
  readonly number: string;
  readonly token: string;
}

export type Wish =
  | ({ readonly kind: "keep"; readonly seconds: number } & SessionKey)
  | ({ readonly kind: "resume"; readonly position: number } & SessionKey);

/** In the folder of the program's copies: where sockets named by such numbers are (meeting.ts). */
export const MEETING_FOLDER = "sessions";
export const NUMBER = /^[0-9a-f]{32}$/;
const WISHED = /^(.*) (keep|resume) ([0-9a-f]{32}) ([0-9a-f]{32}) (\d{1,16})$/;
const NEWLINE = 10;

export function newSessionKey(): SessionKey {
  const random = () => Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("hex");
  return { number: random(), token: random() };
}

/** Sends our line; frames may follow it at once, unless it is a wish to resume. */
export async function sendPreamble(sink: ByteSink, own: Build, wish?: Wish): Promise<void> {
  const line = encodePreamble(own.version, own.build, own.hasAes);
  if (wish === undefined) return await sink.write(line);
  const value = wish.kind === "keep" ? wish.seconds : wish.position;
  const words = ` ${wish.kind} ${wish.number} ${wish.token} ${value}\n`;
  await sink.write(Buffer.concat([line.subarray(0, -1), Buffer.from(words)]));
}

/** What bootstrap.ts sends first, for a script that is not there when sshd has started serve in its place. */
const DIGEST_LINE = /^[0-9a-f]{64}$/;

async function receiveLine(reader: ByteReader): Promise<string | undefined> {
  const { bytes, complete } = await reader.until(NEWLINE, PREAMBLE_LIMIT);
  if (!complete && bytes.length < PREAMBLE_LIMIT) return undefined;
  return new TextDecoder().decode(bytes.subarray(0, complete ? -1 : undefined));
}

/**
 * Reads and checks serve's line. Returns false when the stream ended before a whole line came.
 * @throws {ProtocolError} when the peer is another build, or no blocksync.
 */
export async function receivePreamble(reader: ByteReader, own: Build): Promise<boolean> {
  const line = await receiveLine(reader);
  if (line !== undefined) checkPreamble(line, own.version, own.build);
  return line !== undefined;
}

/**
 * The same of the controller's line, with what it wishes; `skipDigest` leaves out one line of 64 hexadecimal digits before it,
 * and only that. undefined when the stream ended before a whole line came. @throws {ProtocolError}
 */
export async function receiveWish(
  reader: ByteReader,
  own: Build,
  skipDigest: boolean,
): Promise<{ readonly wish: Wish | undefined } | undefined> {
  const line = await receiveLine(reader);
  if (line === undefined) return undefined;
  if (skipDigest && DIGEST_LINE.test(line)) return await receiveWish(reader, own, false);
  const [, plain = line, kind, number = "", token = "", digits = ""] = WISHED.exec(line) ?? [];
  checkPreamble(plain, own.version, own.build);
  const value = Number(digits);
  if (kind === "keep") return { wish: { kind, number, token, seconds: value } };
  if (kind === "resume") return { wish: { kind, number, token, position: value } };
  return { wish: undefined };
}

const GONE = "gone";
const RESUMED = /^resumed (\d{1,16})$/;

/** The position in serve's answer to a wish to resume; undefined when that is "gone", or anything else. */
export function positionIn(answer: string): number | undefined {
  const position = RESUMED.exec(answer)?.[1];
  return position === undefined ? undefined : Number(position);
}

/** Answers a wish to resume. */
export async function sendResumed(sink: ByteSink, position: number | undefined): Promise<void> {
  await sink.write(Buffer.from(position === undefined ? `${GONE}\n` : `resumed ${position}\n`));
}

/** Reads that answer; undefined when the stream ended before it came. @throws {ProtocolError} */
export async function receiveResumed(reader: ByteReader): Promise<number | typeof GONE | undefined> {
  const line = await receiveLine(reader);
  if (line === undefined || line === GONE) return line;
  const position = positionIn(line);
  if (position === undefined) throw new ProtocolError("Cannot go on: the far side does not say where");
  return position;
}
