/**
 * Every failure a user can meet. The class decides the exit code, the message is one sentence ("what was attempted, on
 * what: what happened", no full stop), the hint says what to do next. Failures cross the wire as (kind, message, hint)
 * and come out as the same class, so a local and a remote failure read alike. Only main.ts prints them.
 */

import { formatBoth } from "./format.ts";
import { quote } from "./name.ts";

export const ExitCode = {
  ok: 0,
  differs: 1,
  usage: 2,
  refused: 3,
  io: 4,
  unreachable: 5,
  protocol: 6,
  verification: 7,
  unreadable: 8,
  interrupted: 130,
  terminated: 143,
} as const;

export const FAILURE_KINDS = [
  "usage",
  "refused",
  "io",
  "read",
  "gone",
  "unreachable",
  "protocol",
  "verification",
  "interrupted",
  "bug",
] as const;
export type FailureKind = (typeof FAILURE_KINDS)[number];

export interface FailureOptions {
  readonly hint?: string | undefined;
  readonly cause?: unknown;
}

/** Base of all failures shown to the user. */
export abstract class Failure extends Error {
  abstract readonly kind: FailureKind;
  abstract readonly exitCode: number;
  readonly hint: string | undefined;

  constructor(message: string, options: FailureOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.hint = options.hint;
  }
}

/** The command line is wrong. */
export class UsageError extends Failure {
  readonly kind = "usage";
  readonly exitCode = ExitCode.usage;
}

/** Refused for safety before anything was written. */
export class RefusedError extends Failure {
  readonly kind = "refused";
  readonly exitCode = ExitCode.refused;

  /** Its name, which ends the message in parentheses; null only for what a far side made up. */
  get refusal(): string | null {
    return / \(([a-z-]+)\)$/.exec(this.message)?.[1] ?? null;
  }
}

/** Refusals that --allow overrides, for a person who knows better. No other one is ever overridden. */
export const OVERRIDABLE = ["mounted", "held", "in-use", "locked", "unseen", "packed"] as const;
export type Overridable = (typeof OVERRIDABLE)[number];

export function isOverridable(name: string): name is Overridable {
  return OVERRIDABLE.some((one) => one === name);
}

/** The refusal called `name` to do `action` ("open") to `label`. */
export function refused(action: string, label: string, name: string, why: string, hint: string): RefusedError {
  return new RefusedError(`Refused to ${action} ${quote(label)}: ${why} (${name})`, { hint });
}

/** The refusal called `name` to write to `label`; the hint says too how to override it where that is possible. */
export function refusedDestination(label: string, name: string, why: string, hint: string): RefusedError {
  const override = isOverridable(name) ? `; --allow ${name} writes to it anyway` : "";
  return refused("write to", label, name, why, hint + override);
}

/** The refusal of a destination device that the source does not fit into; planned against, and checked where it is. */
export function tooSmall(label: string, sourceBytes: number, deviceBytes: number): RefusedError {
  const [needed, there] = formatBoth(sourceBytes, deviceBytes);
  return refusedDestination(
    label,
    "too-small",
    `the source has ${needed}, the device only ${there}`,
    "a device never changes size: choose a larger one, or shrink the source first",
  );
}

/** Opening, reading, writing or flushing failed. */
export class IoError extends Failure {
  readonly kind: "io" | "read" | "gone" = "io";
  readonly exitCode = ExitCode.io;
}

/** The medium does not give its data back at some place, which says nothing about other places. */
export class ReadError extends IoError {
  override readonly kind = "read";
}

/** What was opened is not there any more: what failed to be read last says nothing about those places. */
export class GoneError extends IoError {
  override readonly kind = "gone";
}

/** A failed read or write of the device `label` that is gone. */
export function gone(action: "read" | "write", label: string, cause: unknown): GoneError {
  const what = action === "read" ? "nothing on it can be read" : reason(cause);
  const next =
    action === "read"
      ? "run the same command again, with --on-read-error skip --mapfile FILE to continue where it stopped"
      : "it is a mixture of old and new until a run succeeds";
  return new GoneError(`Cannot ${action} ${quote(label)} any more: it is gone (${what})`, {
    cause,
    hint: `check its cable and the kernel log (dmesg); ${next}`,
  });
}

/** The far side could not be reached or started, or went away. */
export class UnreachableError extends Failure {
  readonly kind = "unreachable";
  readonly exitCode = ExitCode.unreachable;
}

/** The connection was lost, and the far side that was to wait for another one is gone: only a run from its beginning goes on. */
export class ConnectionLost extends UnreachableError {
  /** What is left of the time for which a lost connection is tried again. */
  readonly leftMs: number;

  constructor(message: string, leftMs: number, options?: FailureOptions) {
    super(message, options);
    this.leftMs = leftMs;
  }
}

/** The host was reached, and another login will only meet the same: it lets nobody in, is another one, or cannot run the program. */
export class LoginRefused extends UnreachableError {}

/** The peer broke the rules of the wire. */
export class ProtocolError extends Failure {
  readonly kind = "protocol";
  readonly exitCode = ExitCode.protocol;
}

/** The destination does not hold what was written, or the source changed during the run. */
export class VerificationError extends Failure {
  readonly kind = "verification";
  readonly exitCode = ExitCode.verification;
}

/** `length` bytes at `offset` of the destination `label` were written, and are not what is read there now. */
export function notHeld(label: string, offset: number, length: number): VerificationError {
  return new VerificationError(
    `Cannot verify ${length} bytes at offset ${offset} of ${quote(label)}: it does not hold what was written`,
    { hint: "something else writes to it, or the device is failing: check the kernel log (dmesg)" },
  );
}

/** The source `label`, or what was compared, is not what it was; `how` goes on after "changed during the run". */
export function sourceChanged(label: string, how: string): VerificationError {
  return new VerificationError(`The source ${quote(label)} changed during the run${how}`, {
    hint: "what was read may be a mixture of old and new: stop what writes to it, or use a snapshot, and run again",
  });
}

/** A signal ended the run; 130 for SIGINT, 143 for SIGTERM and SIGHUP. */
export class InterruptedError extends Failure {
  readonly kind = "interrupted";
  readonly exitCode: number;
  /** Whether it was SIGHUP: a login or terminal has ended. */
  readonly isHangUp: boolean;

  constructor(exitCode: number = ExitCode.interrupted, isHangUp = false) {
    super("Interrupted", { hint: "run the same command again: it writes only what still differs" });
    this.exitCode = exitCode;
    this.isHangUp = isHangUp;
  }
}

/** Rebuilds a failure received from a peer. */
export function failureOfKind(kind: FailureKind, message: string, hint: string | undefined): Failure {
  const options = { hint };
  switch (kind) {
    case "usage":
      return new UsageError(message, options);
    case "refused":
      return new RefusedError(message, options);
    case "io":
      return new IoError(message, options);
    case "read":
      return new ReadError(message, options);
    case "gone":
      return new GoneError(message, options);
    case "unreachable":
      return new UnreachableError(message, options);
    case "protocol":
      return new ProtocolError(message, options);
    case "verification":
      return new VerificationError(message, options);
    case "interrupted":
      return new InterruptedError();
    case "bug":
      return farBug(message, hint ?? "");
  }
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  ENOENT: "no such file or directory",
  ENOTDIR: "a part of the path is not a directory",
  EISDIR: "it is a directory",
  EIO: "input/output error",
  ENOSPC: "no space left on device",
  EDQUOT: "disk quota exceeded",
  EROFS: "the file system is read-only",
  EBUSY: "it is in use",
  ENXIO: "no such device or address",
  ENODEV: "no such device",
  ENOMEDIUM: "no medium found",
  EFBIG: "the file would be too large for this file system",
  RLIMIT_FSIZE: "the file size limit (ulimit -f) does not allow it",
  ELOOP: "too many symbolic links",
  ETXTBSY: "it is a running program",
  EEXIST: "it exists already",
  EINVAL: "invalid argument",
  EPIPE: "the other end has closed it",
  ENOTSUP: "operation not supported",
  EOPNOTSUPP: "operation not supported",
  ENOSYS: "the kernel or the file system cannot do that",
  ENAMETOOLONG: "a name in it is too long",
  EMFILE: "too many files are open",
  ENOMEM: "out of memory",
  ESTALE: "stale file handle",
  ENOTCONN: "the program that serves this file system has exited",
  ENOKEY: "it is encrypted and its key is not loaded",
};

const MAY_NOT = "run blocksync as root, or as a user with access; on the far side --sudo does that";
const ATTRIBUTES = "lsattr shows whether it is immutable (i) or append-only (a); chattr -i or -a removes that";

/** What to do about an error of the system, whatever was attempted. */
const REMEDIES: Readonly<Record<string, string>> = {
  EACCES: MAY_NOT,
  EPERM: `${ATTRIBUTES}; else ${MAY_NOT}`,
  ENOTDIR: "check the path: one of its directories is a file",
  ENOSPC: "free some space (df -h) and run again",
  EDQUOT: "free some space or raise the quota (quota) and run again",
  EROFS: "mount it for writing, or choose another place",
  ENOMEDIUM: "insert a medium and run again",
  EMFILE: "raise the limit (ulimit -n, systemd's LimitNOFILE=) and run again",
  EFBIG: "choose another file system (FAT holds no file of 4 GiB), or write to a device",
  RLIMIT_FSIZE: "raise the limit of this user or service (ulimit -f, systemd's LimitFSIZE=), or write to a device",
  ESTALE: "it was replaced on the server, or exported again: remount it and run again",
  ENOTCONN: "unmount it (umount, fusermount3 -u) and mount it again",
  ENOKEY: "unlock it first (fscrypt, or log in as its owner)",
  ELOOP: "a link on the path leads back to itself: ls -l",
  ETXTBSY: "end that program first, or choose another name",
};

/** The same where the effective user is root. */
const REMEDIES_OF_ROOT: Readonly<Record<string, string>> = {
  EACCES: "even root is denied: by root_squash on a network file system, SELinux or AppArmor (dmesg), or a container",
  EPERM: `${ATTRIBUTES}; otherwise a container or kernel lockdown (dmesg) forbids it`,
};

/** Returns the `code` of a system error such as "ENOENT", or undefined for anything else. */
export function systemCode(error: unknown): string | undefined {
  if (error instanceof Error && "code" in error && typeof error.code === "string") return error.code;
  return undefined;
}

/** Codes by which file systems and block devices report a bad place (errno(3), blk_errors[] in block/blk-core.c). */
const MEDIUM_ERRORS: ReadonlySet<string> = new Set([
  "EIO",
  "ENODATA",
  "EILSEQ",
  "EREMOTEIO",
  "ETIMEDOUT",
  "EBADMSG",
  "EUCLEAN",
]);

/** Whether a failed read is about the place that was read. */
export function isMediumError(error: unknown): boolean {
  return MEDIUM_ERRORS.has(systemCode(error) ?? "");
}

/** Puts a thrown value into words that fit after "Cannot open X: ". */
export function reason(error: unknown): string {
  const code = systemCode(error);
  if (code !== undefined) return REASONS[code] ?? `error ${code}`;
  return error instanceof Error ? error.message : String(error);
}

/** What to do about a system error; undefined where only the place knows. */
export function remedy(error: unknown): string | undefined {
  const code = systemCode(error) ?? "";
  return (process.geteuid?.() === 0 ? REMEDIES_OF_ROOT[code] : undefined) ?? REMEDIES[code];
}

/** The system's error in doing `action` ("open") to `label`; `hint` where there is something better than the remedy. */
export function cannot(action: string, label: string, cause: unknown, hint = remedy(cause)): IoError {
  return new IoError(`Cannot ${action} ${quote(label)}: ${reason(cause)}`, { cause, hint });
}

/** The system's error in reading or writing `length` bytes at `offset` of the device `label`. */
export function transferFailed(
  action: "read" | "write",
  label: string,
  length: number,
  offset: number,
  cause: unknown,
): IoError {
  const text = `Cannot ${action} ${length} bytes at offset ${offset} of ${quote(label)}: ${reason(cause)}`;
  if (action === "write") {
    const next = remedy(cause) ?? "fix the cause and run again";
    return new IoError(text, {
      cause,
      hint: `the destination is a mixture of old and new until a run succeeds: ${next}`,
    });
  }
  if (!isMediumError(cause)) return new IoError(text, { cause });
  return new ReadError(text, {
    cause,
    hint: "a sync with --on-read-error skip --mapfile FILE copies what can still be read",
  });
}

/** As transferFailed(), of what is to be written: whatever cannot be read there is written first, and then read back. */
export function readBackFailed(label: string, length: number, offset: number, cause: unknown): IoError {
  const { message } = transferFailed("read", label, length, offset, cause);
  const hint =
    "the destination does not return what was written to it: check the kernel log (dmesg) and use another disk";
  return isMediumError(cause) ? new ReadError(message, { cause, hint }) : new IoError(message, { cause });
}

/** Turns any thrown value into a Failure; a value that is none is a bug in blocksync and says so. */
export function asFailure(error: unknown): Failure {
  if (error instanceof Failure) return error;
  return new BugError(error);
}

const INTERNAL = "Internal error";

/** EX_SOFTWARE of sysexits.h; not part of the contract, as no bug is. */
export const BUG_EXIT_CODE = 70;

/** Anything unforeseen. */
export class BugError extends Failure {
  readonly kind = "bug";
  readonly exitCode = BUG_EXIT_CODE;

  constructor(cause: unknown, where: "here" | "on the far side" = "here") {
    const text = cause instanceof Error ? cause.message : String(cause);
    super(where === "here" ? `${INTERNAL}: ${text}` : `${INTERNAL} ${where}: ${text}`, {
      cause,
      hint: "this is a bug in blocksync: run it again with BLOCKSYNC_DEBUG=1 and report the output where you got blocksync",
    });
  }
}

/** What another blocksync said of a bug there: its message, and the stack of what was thrown. */
export function farBug(message: string, stack: string): BugError {
  const thrown = new Error(message.replace(`${INTERNAL}: `, ""));
  thrown.stack = stack;
  return new BugError(thrown, "on the far side");
}

/** Whether these are the words of a BugError, said at the place where it was met. */
export function saysBug(words: string): boolean {
  return words.startsWith(`${INTERNAL}: `);
}

/** Where in the code an error and what led to it come from, for whoever looks for a bug. */
export function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return error === undefined ? "" : String(error);
  return [error.stack ?? error.message, stackOf(error.cause)].filter((text) => text !== "").join("\n");
}
