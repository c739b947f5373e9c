/**
 * Gets the program going on the far side, over the streams of one connection: a script finds the copy with the right
 * SHA-256 or receives one, and becomes it. Whatever login files and banners print is skipped up to a random marker.
 *
 * The script is one line, which any login shell takes in quotes (quote.ts), and uses POSIX sh only. The exchange is in lock-step, because some tools read ahead on a pipe
 * (busybox head takes 5 bytes too many, dash and busybox "sh -s" swallow what follows the script; measured):
 *
 *     we send   our own program's SHA-256, a line, before anything is said
 *     it says   MARKER probe SYSTEM MACHINE LIBC VERSION [aes] [LACKS…]   of target.ts
 *     we send   the SHA-256 of the program for that platform, a line, if it is not our own
 *     it says   MARKER ready                 and becomes the program; or
 *     it says   MARKER send CODECS DIRECTORY CODECS is a comma-separated list
 *     we send   CODEC LENGTH, a line, then exactly LENGTH bytes
 *     it says   MARKER ready                 and becomes the program; or
 *     it says   MARKER failed REASON
 *
 * Where sudo may ask for a password, "sudo" stands in the place of "ready", and then nothing is sent but a password for
 * each line "MARKER password" of standard error, until the program's own preamble says that it runs: sudo reads single
 * bytes (sudo -S), and what it leaves is the program's.
 *
 * Where the key has a forced command (serve --only), sshd runs that instead of the script. Its preamble of protocol.ts in
 * the place of the first marked line says so: then the program is running already.
 */

import { ProtocolError, UnreachableError } from "../../errors.ts";
import { printable, quote } from "../../name.ts";
import { aesOf } from "../wire/protocol.ts";
import type { ByteReader, ByteSink } from "../wire/streams.ts";
import type { Program } from "./program.ts";
import { quoteWord } from "./quote.ts";
import { hasAesThere, PROBE, PROBE_AES, platformOf, type Target, targetOf } from "./target.ts";

/** Room for a copy of the program: 113 MB of the largest of the four builds. */
const COPY_KIB = 120 << 10;
/** What login files and banners may print before the marker. */
const NOISE_LIMIT = 4 << 20;
const LINE_LIMIT = 8 << 10;
/** How much of that may stand in a message. */
const SKIPPED_LENGTH = 400;
const SKIPPED_LINES = 3;
const NEWLINE = 10;
/** How long a far side that takes no more of the program is listened to for the reason. */
const LAST_WORDS_MS = 1000;
/** What is handed over at once of the program: at the default timeout a line of 1 KB/s still shows progress. */
const UPLOAD_STEP = 64 << 10;

/**
 * What a script of ours does first: its tools are run where others may write (/tmp), so only folders of PATH named from the
 * root count, and no library is looked for in a folder that an empty part of LD_LIBRARY_PATH stands for.
 */
export const FAR_BEGINNING =
  "unset LD_LIBRARY_PATH LD_PRELOAD LD_AUDIT; set -f; IFS=:; p=; for d in $PATH; do case $d in /*) p=$p:$d;; esac; done; unset IFS; set +f; PATH=${p:-:/usr/bin:/bin}; PATH=${PATH#:}; export PATH";

/** Variables that would change what the program does, or run something else first. */
const CLEAN =
  'unset BLOCKSYNC_ASKPASS BLOCKSYNC_ASKPASS_FOR; for v in $(env | cut -d = -f 1 | grep -E "^(BUN|LD)_[A-Za-z0-9_]+$"); do unset "$v"; done';

/** How the far side is to become root: not at all, by a sudo that asks nothing, or by one that may ask us. */
export type SudoMode = "" | "sudo" | "ask";

/**
 * The line of standard error by which sudo asks: a marker is in it, so that nothing else can ask for the password, and it
 * stands alone in a line also where sudo puts words of its own around it (sudo-rs).
 */
export function isPasswordPrompt(line: string, marker: string): boolean {
  return line === `${marker} password`;
}

/** Sets $l to a line break. */
const ASKING = `l=$(echo; echo x); l=\${l%x}`;

/**
 * Functions of this script and that of clean.ts. enter: goes to a directory that is ours and that nobody else may write to.
 * named: whether a name is that of a copy of the program, of any version; copy: whether there is such a file where we are.
 */
export const FAR_FUNCTIONS = [
  'enter() { cd "$1" 2>/dev/null && [ -O . ] && case "$(ls -ld . 2>/dev/null)" in d????-??-*) true;; *) false;; esac; }',
  'named() { x=${1#blocksync-}; [ ${#x} = 64 ] && [ -z "$(echo "$x" | tr -d 0-9a-f)" ]; }',
  'copy() { [ -f "$1" ] && named "$1"; }',
] as const;
/**
 * Words of the script: where copies may be, best first; $o is where the login began, $2 the directory to use first. A home
 * that is not there is not made: root's can be /nonexistent. Nor is one that is somebody else's used (sudo -E, su without -).
 */
export const FAR_DIRECTORIES =
  '"$2" "$BLOCKSYNC_REMOTE_DIR" "$([ -O "$HOME" ] && echo "$HOME/.cache/blocksync")" "$XDG_RUNTIME_DIR" /var/tmp /dev/shm /tmp';

/**
 * Whether a directory may be made, or something in it: the next one above that is there is our own, root's, or one in which
 * nobody can remove what is others' (/tmp). What is another user's, such as a home, stays as it is.
 */
const MAY_MAKE =
  'may() { case $1 in /*) p=$1;; *) p=$PWD/$1;; esac; until [ -e "$p/." ]; do p=${p%/*}; done; [ -O "$p/." ] || [ -k "$p/." ] && return 0; set -- $(ls -ldn "$p/." 2>/dev/null); [ "$3" = 0 ]; }';

/**
 * $1 marker, $2 a directory to use first, $3 SudoMode, $4 our own platform.
 *
 * The script works inside the directory (cd, then "./name"), which must be our own and writable to nobody else: then no
 * other user can put anything else under a name between the moment it is checked and the moment it is run. Of a
 * directory that others may write to, such as /tmp, a private one within it is used. A directory is usable when a file
 * in it can be executed: a noexec mount shows only by trying. The first with room for a copy is used, or where none has it
 * (old copies will be removed, a compressed file system may hold more) simply the first.
 *
 * A copy that was checked is noted beside it with its inode, size and times, so that the next run need not read 110 MB
 * again (0.45 s with sha256sum); writing to the copy changes its ctime, which nobody can set.
 *
 * A copy is used only if it is a file of our own, no link: others' could still be changed by them, and a link's times say
 * nothing of the file.
 *
 * Before a copy is received, all others but the youngest are removed, so that two versions are there at most. One of them
 * may be running: a file without a name lives on until its last process ends (unlink(2)). A part of a copy is removed
 * when it is a day old, since a younger one may still be growing.
 */
const SCRIPT = [
  FAR_BEGINNING,
  "m=$1; s=$3; o=$PWD; k=$(umask); umask 077; echo",
  PROBE,
  'echo "$m probe $w $y$j$x"; read -r h || exit 1; [ "$w" = "$4" ] || read -r h || exit 1; n=blocksync-$h; t=.blocksync-$$-$m',
  'sum() { if command -v openssl >/dev/null 2>&1; then openssl dgst -sha256 -r <"$1"; elif command -v sha256sum >/dev/null 2>&1; then sha256sum <"$1"; elif command -v shasum >/dev/null 2>&1; then shasum -a 256 <"$1"; else echo none; fi 2>/dev/null | cut -d " " -f 1; }',
  'state() { stat -c "%d %i %s %y %z" "$n" 2>/dev/null; }',
  'note() { rm -f "$n.checked"; v=$(state); [ -z "$v" ] || (set -C; echo "$v" >"$n.checked") 2>/dev/null; true; }',
  'good() { [ -f "$n" ] && [ -x "$n" ] && [ -O "$n" ] || return 1; [ -h "$n" ] && return 1; v=$(state); if [ -n "$v" ] && [ "$v" = "$(cat "$n.checked" 2>/dev/null)" ]; then return 0; fi; [ "$(sum "$n")" = "$h" ] && note; }',
  `become() { trap - EXIT; umask "$k"; ${CLEAN}; BLOCKSYNC_CWD=$o; export BLOCKSYNC_CWD; if [ "$s" = ask ]; then echo "$m sudo"; ${ASKING}; exec sudo -S -p "$l$m password$l" -- env BLOCKSYNC_CWD="$o" "./$n" serve; fi; echo "$m ready"; if [ -n "$s" ]; then exec sudo -n -- env BLOCKSYNC_CWD="$o" "./$n" serve; fi; exec "./$n" serve; }`,
  'refuse() { echo "$m failed $1"; exit 1; }',
  ...FAR_FUNCTIONS,
  'prune() { p=; for f in $(ls -td blocksync-* 2>/dev/null); do [ "$f" = "$n" ] && continue; copy "$f" || continue; if [ -n "$p" ]; then rm -f "$f" "$f.checked"; fi; p=$f; done; for f in .blocksync-*-blocksync-*; do [ -f "$f" ] && [ -n "$(find "$f" -prune -mtime +0 2>/dev/null)" ] && rm -f "$f"; done; }',
  MAY_MAKE,
  'use() { [ -n "$1" ] && may "$1" || return 1; mkdir -p "$1" 2>/dev/null; enter "$1" && return 0; q=$1/blocksync-$(id -u); [ -h "$q" ] && return 1; mkdir "$q" 2>/dev/null; enter "$q"; }',
  'runs() { (set -C; echo "exit 42" >"$t") 2>/dev/null || return 1; chmod 700 "$t"; "./$t" >/dev/null 2>&1; [ $? = 42 ] && return 0; rm -f "$t"; return 1; }',
  'free() { df -Pk . 2>/dev/null | tail -n 1 | tr -s " " | cut -d " " -f 4; }',
  `room() { f=$(free); [ "\${f:-x}" -lt ${COPY_KIB} ] 2>/dev/null && return 1; return 0; }`,
  'if [ -n "$s" ]; then command -v sudo >/dev/null 2>&1 || refuse "sudo is not installed"; [ "$s" = ask ] || sudo -n true 2>/dev/null || refuse "sudo needs a password"; fi',
  `u=; e=; for d in ${FAR_DIRECTORIES}; do cd "$o" && use "$d" || continue; good && become; runs || continue; if room; then u=$PWD; break; fi; rm -f "$t"; [ -n "$e" ] || e=$PWD; done; [ -z "$u" ] && [ -n "$e" ] && cd "$e" && runs && u=$e`,
  '[ -n "$u" ] || refuse "no directory can hold and execute a program"; prune',
  "c=none; command -v gzip >/dev/null 2>&1 && c=gzip,$c; command -v zstd >/dev/null 2>&1 && c=zstd,$c",
  'clear() { rm -f "$t"; }; trap clear EXIT; trap "clear; exit 1" HUP INT TERM PIPE; echo "$m send $c $u"',
  'read -r c z || exit 1; case $c in zstd) head -c "$z" | zstd -dcq >"$t";; gzip) head -c "$z" | gzip -dc >"$t";; *) head -c "$z" >"$t";; esac 2>/dev/null',
  'g=$(sum "$t"); if [ "$g" = none ]; then refuse "there is no openssl, sha256sum or shasum to check the copy with"; fi; [ "$g" = "$h" ] || refuse "the copy in $u is incomplete or damaged ($(free) KiB free)"',
  '[ -h "$n" ] && rm -f "$n"; [ -d "$n" ] && refuse "$u/$n is a directory"; mv -f "$t" "$n" || refuse "cannot rename the copy in $u"; note; become',
].join("; ");

/** The command for the far shell that runs the script. */
export function bootstrapCommand(marker: string, directory: string, sudo: SudoMode, own: Target): string {
  const words = [marker, directory, sudo, platformOf(own)].map(quoteWord);
  return `sh -c ${quoteWord(SCRIPT)} blocksync ${words.join(" ")}`;
}

/** The command for the far shell that runs the program already at `path` there. */
export function scriptCommand(marker: string, path: string, sudo: SudoMode): string {
  const script = `${FAR_BEGINNING}; ${PROBE_AES}; echo; ${CLEAN}; if [ "$3" = ask ]; then echo "$1 sudo"; ${ASKING}; exec sudo -S -p "$l$1 password$l" -- "$2" serve; fi; echo "$1 ready$j"; if [ -n "$3" ]; then exec sudo -n -- "$2" serve; fi; exec "$2" serve`;
  return `sh -c ${quoteWord(script)} blocksync ${marker} ${quoteWord(path)} ${quoteWord(sudo)}`;
}

/** Reads the far side's marked lines, skipping all else before the first. */
export class MarkedLines {
  readonly #reader: ByteReader;
  readonly #marker: string;
  #noise = "";
  #started = false;

  constructor(reader: ByteReader, marker: string) {
    this.#reader = reader;
    this.#marker = marker;
  }

  /** The last lines that were skipped, oldest first, while there was nothing else: of an account that runs no commands. */
  get skipped(): readonly string[] {
    if (this.#started) return [];
    return this.#noise
      .split(/\r?\n/)
      .map((line) => printable(line.trim()))
      .filter((line) => line !== "")
      .slice(-SKIPPED_LINES);
  }

  /**
   * The words after the next marker; "ready" or "ready aes" when a blocksync speaks instead of the script, its line still to be read;
   * undefined when the stream ended before either.
   */
  async next(): Promise<string | undefined> {
    let skipped = 0;
    for (;;) {
      const { bytes, complete } = await this.#reader.until(NEWLINE, LINE_LIMIT);
      if (bytes.length === 0) return undefined;
      const line = new TextDecoder().decode(bytes);
      const prefix = `${this.#marker} `;
      if (complete && line.startsWith(prefix)) {
        this.#started = true;
        const words = line.slice(prefix.length, -1);
        if (words !== "sudo") return printable(words);
        // From here on sudo may say what it likes, until the program speaks.
        this.#started = false;
        continue;
      }
      const hasAes = complete && !this.#started ? aesOf(line.slice(0, -1)) : undefined;
      if (hasAes !== undefined) {
        this.#reader.putBack(bytes);
        return hasAes ? "ready aes" : "ready";
      }
      if (this.#started)
        throw new ProtocolError(`Cannot start blocksync on the far side: it answered ${quote(line.slice(0, 200))}`);
      this.#noise = (this.#noise + line).slice(-SKIPPED_LENGTH);
      skipped += bytes.length;
      if (skipped > NOISE_LIMIT)
        throw new UnreachableError("Cannot start blocksync on the far side: its output does not end");
    }
  }
}

export interface BootstrapResult {
  /** Whether the far processor has AES instructions. */
  readonly hasAes: boolean;
  /** Bytes sent to bring the program along; 0 when it was there. */
  readonly bytesBootstrapped: number;
}

/** What bootstrap() tells while it goes on. */
export interface BootstrapListener {
  /** The far shell has begun: the login is over. */
  onBegun(): void;
  onUpload(directory: string): void;
  /** So many bytes of `total` were handed over. */
  onSent(done: number, total: number): void;
  /** All was handed over in so many milliseconds; what lies in buffers on the way may take as long again. */
  onUploaded(elapsedMs: number): void;
  onReady(): void;
}

const READY = /^ready(?: (aes))?$/;

/** Waits for the "ready" of scriptCommand(), or of a forced command. Returns undefined when the stream ended instead. */
export async function awaitReady(lines: MarkedLines): Promise<Pick<BootstrapResult, "hasAes"> | undefined> {
  const match = READY.exec((await lines.next()) ?? "");
  return match === null ? undefined : { hasAes: match[1] === "aes" };
}

/**
 * Plays our part of the exchange. Returns undefined when the stream ended before it was through.
 * `programFor` is asked for the program of another target than our own.
 * @throws {UnreachableError} when the far side says why it cannot, or there is no program for its platform.
 */
export async function bootstrap(
  lines: MarkedLines,
  sink: ByteSink,
  host: string,
  own: Program,
  programFor: (target: Target) => Program,
  listener: BootstrapListener,
): Promise<BootstrapResult | undefined> {
  const name = quote(host);
  // Not only after the probe has come, which would be a round trip later; the script reads it when it gets there.
  // An account that runs no commands may be gone by then, after a word of why.
  await sendLine(sink, await own.sha256()).catch(() => undefined);
  const probe = await lines.next();
  if (probe === undefined) return undefined;
  listener.onBegun();
  const ready = READY.exec(probe);
  if (ready !== null) {
    listener.onReady();
    return { bytesBootstrapped: 0, hasAes: ready[1] === "aes" };
  }
  const target = targetOf(probe, host);
  const hasAes = hasAesThere(probe);
  const program = target === own.target ? own : programFor(target);
  if (program !== own) await sendLine(sink, await program.sha256());
  const answer = await lines.next();
  if (answer === undefined) return undefined;
  if (READY.test(answer)) {
    listener.onReady();
    return { bytesBootstrapped: 0, hasAes };
  }
  const offer = /^send ([a-z,]+) (.+)$/.exec(answer);
  if (offer === null) throw refusal(name, answer);
  const [, codecs = "", directory = ""] = offer;
  listener.onUpload(directory);
  const { codec, bytes } = await program.packed(codecs.split(","));
  const begun = performance.now();
  await sendLine(sink, `${codec} ${bytes.length}`);
  try {
    for (let sent = 0; sent < bytes.length; sent += UPLOAD_STEP) {
      listener.onSent(sent, bytes.length);
      await sink.write(bytes.subarray(sent, sent + UPLOAD_STEP));
    }
  } catch (error) {
    // A far side whose disk is full says so before it goes; one that was cut off may never say anything.
    const last = await Promise.race([lines.next().catch(() => undefined), Bun.sleep(LAST_WORDS_MS)]);
    throw last?.startsWith("failed ") === true ? refusal(name, last) : error;
  }
  listener.onUploaded(performance.now() - begun);
  const outcome = await lines.next();
  if (outcome === undefined) return undefined;
  if (!READY.test(outcome)) throw refusal(name, outcome);
  listener.onReady();
  return { bytesBootstrapped: bytes.length, hasAes };
}

const REFUSAL_HINTS: readonly (readonly [beginning: string, hint: string])[] = [
  [
    "sudo needs a password",
    "run blocksync on a terminal, where it can ask, allow sudo without a password (NOPASSWD), or log in as root",
  ],
  ["sudo is not installed", "install sudo on the far side, or log in as root and leave out --sudo"],
];

function refusal(name: string, answer: string): UnreachableError {
  const reason = answer.replace(/^failed /, "");
  const hint = REFUSAL_HINTS.find(([beginning]) => reason.startsWith(beginning))?.[1];
  return new UnreachableError(`Cannot start blocksync on ${name}: ${reason}`, {
    hint:
      hint ??
      "BLOCKSYNC_REMOTE_DIR names another directory on the far side, --remote-path a program already installed there",
  });
}

async function sendLine(sink: ByteSink, line: string): Promise<void> {
  await sink.write(new TextEncoder().encode(`${line}\n`));
}
