/**
 * Removes what is left on a far side: the sockets of meeting.ts, without which whoever waits there for a connection ends, and copies of the program, of every version, the notes beside them (and that
 * of program-digest.ts) and parts of copies. Nothing else is touched, and no directory is looked into that bootstrap.ts would not use: it must be ours,
 * and nobody else may write to it.
 *
 * The script says "MARKER removed LENGTH PATH" for each copy (LENGTH in bytes) and "MARKER cleaned" at its end.
 */

import { ProtocolError, UnreachableError } from "../../errors.ts";
import { quote } from "../../name.ts";
import { MEETING_FOLDER } from "../wire/handshake.ts";
import { ByteReader } from "../wire/streams.ts";
import { FAR_BEGINNING, FAR_DIRECTORIES, FAR_FUNCTIONS, MarkedLines } from "./bootstrap.ts";
import { notStarted } from "./ending.ts";
import { type ConnectOptions, farOf, randomMarker, start } from "./login.ts";
import { quoteWord } from "./quote.ts";
import { type RemoteHost, shellCommand, shownCommand } from "./ssh.ts";

/** A directory with more copies is none of ours. */
const MAX_REMOVED = 10_000;

/** $1 marker, $2 a directory to look into first. A directory that only ever holds copies goes when it is empty. */
const SCRIPT = [
  FAR_BEGINNING,
  "m=$1; o=$PWD; echo",
  ...FAR_FUNCTIONS,
  'gone() { l=$(wc -c <"$1" | tr -d " "); rm -f "$1" && echo "$m removed $l $PWD/$1"; }',
  `part() { [ -h ${MEETING_FOLDER} ] && return; for f in ${MEETING_FOLDER}/*; do x=\${f#*/}; [ -S "$f" ] && [ \${#x} = 32 ] && rm -f "$f"; done; rmdir ${MEETING_FOLDER} 2>/dev/null; }`,
  'sweep() { for f in blocksync-*; do copy "$f" && gone "$f"; done; for f in .blocksync-*-blocksync-*; do [ -f "$f" ] && gone "$f"; done; for f in blocksync-*.checked; do named "$(basename "$f" .checked)" && rm -f "$f"; done; part; rm -f program.checked program-linux-*.checked; }',
  `for d in ${FAR_DIRECTORIES}; do [ -n "$d" ] || continue; q=$d/blocksync-$(id -u); cd "$o" && enter "$d" && sweep; cd "$o"; [ -h "$q" ] && continue; enter "$q" && sweep && cd "$o" && rmdir "$q" 2>/dev/null; done; cd "$o"`,
  '[ -n "$HOME" ] && rmdir "$HOME/.cache/blocksync" 2>/dev/null; echo "$m cleaned"',
].join("; ");

export interface Removed {
  readonly path: string;
  readonly sizeBytes: number;
}

/** Returns what was removed. @throws {UnreachableError} {ProtocolError} */
export async function cleanHost(remote: RemoteHost, options: ConnectOptions): Promise<Removed[]> {
  const marker = randomMarker();
  const command = `sh -c ${quoteWord(SCRIPT)} blocksync ${marker} ${quoteWord(options.directory)}`;
  const argv = shellCommand(remote, options.shell, command);
  options.tell({ kind: "detail", text: `Running: ${shownCommand(argv.slice(0, -1))} (clean)` });
  const started = start(argv, farOf(remote, options), options);
  const { child, patience } = started;
  try {
    const lines = new MarkedLines(new ByteReader(child.source), marker);
    const removed: Removed[] = [];
    for (;;) {
      const line = await lines.next();
      if (line === undefined) throw await notStarted(started, lines.skipped);
      patience.start();
      if (line === "cleaned") return removed;
      if (line === "ready" || line === "ready aes")
        throw new UnreachableError(
          `Cannot clean ${quote(remote.host)}: this key's forced command starts blocksync instead of a shell`,
        );
      const [, length, path] = /^removed (\d{1,15}) (.+)$/.exec(line) ?? [];
      if (path === undefined || removed.length === MAX_REMOVED)
        throw new ProtocolError(`Cannot clean ${quote(remote.host)}: it answered ${quote(line.slice(0, 200))}`);
      removed.push({ path, sizeBytes: Number(length) });
    }
  } finally {
    await child.stop();
    patience.stop();
  }
}
