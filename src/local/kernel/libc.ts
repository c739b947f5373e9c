/**
 * The one file that calls libc. Everything here is Linux; numbers are those of the kernel headers named beside them.
 * Calls run on the thread that makes them, so those that may wait are made by way of aside.ts.
 */
import { dlopen, FFIType, ptr, read } from "bun:ffi";
import fs from "node:fs";
import { cannotCall } from "./executable-memory.ts";

const BLKROGET = 0x125en; // linux/fs.h
const BLKRRPART = 0x125fn; // linux/fs.h
const BLKGETSIZE64 = 0x80081272n; // linux/fs.h
const BLKGETDISKSEQ = 0x80081280n; // linux/fs.h
const BLKZEROOUT = 0x127fn; // linux/fs.h
const BLKFLSBUF = 0x1261n; // linux/fs.h
const SEEK_DATA = 3; // unistd.h
const SEEK_HOLE = 4;
const POSIX_FADV_DONTNEED = 4; // fcntl.h
const FALLOC_FL_KEEP_SIZE = 1; // linux/falloc.h
const FALLOC_FL_PUNCH_HOLE = 2;
const O_CLOEXEC = 0o2000000; // asm-generic/fcntl.h
const MFD_CLOEXEC = 1; // linux/memfd.h
const F_DUPFD = 0; // linux/fcntl.h (asm-generic)
const F_DUPFD_CLOEXEC = 1030; // linux/fcntl.h
const F_SETPIPE_SZ = 1031; // linux/fcntl.h
const ENXIO = 6; // errno-base.h
const EAGAIN = 11;
const EBUSY = 16;
const EACCES = 13;
const F_RDLCK = 0; // asm-generic/fcntl.h
const F_WRLCK = 1;
const F_UNLCK = 2;
const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const FLOCK_SIZE = 32;
const F_SETSIG = 10;
const F_SETLEASE = 1024; // linux/fcntl.h
const SIGURG = 23; // asm-generic/signal.h
/** NFS, CIFS and SMB2 (linux/magic.h). */
const LEASES_OF_SERVERS: ReadonlySet<number> = new Set([0x6969, 0xff534d42, 0xfe534d42]);
const LOCK_EX = 2; // linux/fcntl.h
const LOCK_UN = 8;
const LOCK_NB = 4;
const SYS_STATX = process.arch === "arm64" ? 291 : 332; // asm/unistd.h
const AT_EMPTY_PATH = 0x1000; // linux/fcntl.h
const AT_STATX_FORCE_SYNC = 0x2000;
const STATX_BASIC_STATS = 0x7ff; // linux/stat.h
const STATX_SIZE = 256;
const LOOP_GET_STATUS64 = 0x4c05n; // linux/loop.h
const LOOP_INFO64_SIZE = 232;
const BTRFS_IOC_FS_INFO = 0x8400941fn; // linux/btrfs.h
const BTRFS_FS_INFO_SIZE = 1024;

/** The C library of the program's platform: a text that scripts/compile.ts puts into it. */
declare const BLOCKSYNC_LIBRARY: string | undefined;

/**
 * The one name the C library is asked for by. The loader knows the library that is mapped already by that name and opens no
 * file for it: glibc by its soname, musl by "libc." (load_library() in ldso/dynlink.c). No other name is ever tried: what
 * the loader does not know, Bun looks for in the current folder (measured), where anybody may have put it.
 */
function libraryName(): string {
  if (typeof BLOCKSYNC_LIBRARY === "string") return BLOCKSYNC_LIBRARY;
  // Run from its sources: that of the Bun that runs it.
  return fs.readFileSync("/proc/self/maps", "latin1").includes("/ld-musl-") ? "libc.so" : "libc.so.6";
}

/** @throws {IoError} where the system does not let a program call another library's functions. */
function openLibrary() {
  try {
    return dlopen(libraryName(), {
      setenv: { args: ["ptr", "ptr", "int"], returns: "int" },
      unsetenv: { args: ["ptr"], returns: "int" },
      ioctl: { args: ["int", "u64", "ptr"], returns: "int" },
      lseek: { args: ["int", "i64", "int"], returns: FFIType.i64_fast },
      posix_fadvise: { args: ["int", "i64", "i64", "int"], returns: "int" },
      fallocate: { args: ["int", "int", "i64", "i64"], returns: "int" },
      pipe2: { args: ["ptr", "int"], returns: "int" },
      fcntl: { args: ["int", "int", "u64"], returns: "int" },
      close: { args: ["int"], returns: "int" },
      dup2: { args: ["int", "int"], returns: "int" },
      // Called by number: the function statx() is missing before glibc 2.28.
      syscall: { args: ["i64", "i64", "ptr", "i64", "i64", "ptr"], returns: "i64" },
      flock: { args: ["int", "int"], returns: "int" },
      __errno_location: { args: [], returns: "ptr" },
    }).symbols;
  } catch (cause) {
    throw cannotCall(cause);
  }
}

let library: ReturnType<typeof openLibrary> | undefined;

function libc(): ReturnType<typeof openLibrary> {
  library ??= openLibrary();
  return library;
}

/** @throws {IoError} where the C library cannot be called, as everything here would, in words that a thread may not hand on. */
export function checkLibrary(): void {
  libc();
}

function errno(): number {
  const location = libc().__errno_location();
  return location === null ? 0 : read.i32(location, 0);
}

/**
 * More than a run has file operations under way, whose buffers are bounded: 4 reads of either side of a lane, writes and pipes.
 * Threads begin as they are needed, so that a run of one lane has about ten.
 */
const IO_THREADS = "256";
const IO_THREADS_VARIABLE = "UV_THREADPOOL_SIZE";

/**
 * Begins the pool of threads in which file operations wait, so that a disk gets a deep queue and one that hangs keeps nobody
 * else waiting. Bun 1.4.5 lets so many run at once as the C environment says (cores + 1 by default) when the first one begins,
 * and has neither an option nor a function for it. So the variable has that value for the first one alone: the program sees
 * nothing of it afterwards, nor do those it starts. To be called before anything else uses files without waiting.
 * @throws {IoError} where the C library cannot be called.
 */
export async function startIoThreads(): Promise<void> {
  const { setenv, unsetenv } = libc();
  const name = Buffer.from(`${IO_THREADS_VARIABLE}\0`);
  const before = process.env[IO_THREADS_VARIABLE];
  setenv(name, Buffer.from(`${IO_THREADS}\0`), 1);
  await new Promise<void>((resolve) => fs.fstat(2, () => resolve()));
  if (before === undefined) unsetenv(name);
  else setenv(name, Buffer.from(`${before}\0`), 1);
}

/** What an unprivileged process may give a pipe (/proc/sys/fs/pipe-max-size), 16 times the default. */
const PIPE_SIZE = 1 << 20;

/** Makes the pipe behind `fd` large, so that fewer and larger reads empty it. Sockets and files are left alone. */
export function enlargePipe(fd: number): void {
  libc().fcntl(fd, F_SETPIPE_SZ, PIPE_SIZE);
}

/** Closes a copy of the descriptor; returns the number of the error that close() gave, 0 for none. It may wait. */
export function closeCopyOf(fd: number): number {
  const copy = libc().fcntl(fd, F_DUPFD_CLOEXEC, 0);
  return copy < 0 || libc().close(copy) !== 0 ? errno() : 0;
}

/** Makes a copy of a descriptor, with the lowest free number from `lowest` on; programs that are started get it. False where that fails. */
export function copyDescriptor(fd: number, lowest: number): boolean {
  return libc().fcntl(fd, F_DUPFD, BigInt(lowest)) >= 0;
}

/**
 * Lets go of what standard input, output and error lead to. They lead nowhere then, and stay open: whatever is opened next
 * would otherwise have their numbers, and get what is said on standard error.
 */
export function leaveStandardStreams(): void {
  const fd = fs.openSync("/dev/null", fs.constants.O_RDWR);
  for (const standard of [0, 1, 2]) libc().dup2(fd, standard);
  fs.closeSync(fd);
}

/** A new large pipe; both ends close on exec. @throws {Error} */
export function createPipe(): { readonly readEnd: number; readonly writeEnd: number } {
  const ends = new Int32Array(2);
  if (libc().pipe2(ends, O_CLOEXEC) !== 0) throw new Error(`cannot create a pipe (errno ${errno()})`);
  const [readEnd = -1, writeEnd = -1] = ends;
  enlargePipe(writeEnd);
  return { readEnd, writeEnd };
}

/**
 * What the Node-API library at `innerPath`, inside the program, exports. Bun would unpack it to a temporary directory
 * and leave it there: 600 KB after each run, in a place that others may be able to write to, that may be mounted noexec,
 * or that may not exist. Here it becomes an unnamed file in memory, which goes with the process.
 * @throws {Error} when it cannot be loaded, or when the C library (glibc before 2.27) or the kernel has no files in
 * memory.
 */
export function loadInner(innerPath: string): unknown {
  const { memfd_create } = dlopen(libraryName(), { memfd_create: { args: ["ptr", "int"], returns: "int" } }).symbols;
  const fd = memfd_create(Buffer.from("blocksync\0"), MFD_CLOEXEC);
  if (fd < 0) throw new Error(`cannot create a file in memory (errno ${errno()})`);
  try {
    fs.writeFileSync(fd, fs.readFileSync(innerPath));
    const library: { exports: unknown } = { exports: {} };
    process.dlopen(library, `/proc/self/fd/${fd}`);
    return library.exports;
  } finally {
    fs.closeSync(fd);
  }
}

/** Size in bytes of the block device behind `fd`. @throws {Error} when it is none. */
export function deviceSize(fd: number): number {
  const size = new BigUint64Array(1);
  if (libc().ioctl(fd, BLKGETSIZE64, size) !== 0)
    throw new Error(`the kernel does not report its size (errno ${errno()})`);
  return Number(size[0]);
}

/** The number of the disk behind `fd`, a new one for each medium that comes under its name; undefined before Linux 5.15. */
export function diskSequence(fd: number): bigint | undefined {
  const sequence = new BigUint64Array(1);
  return libc().ioctl(fd, BLKGETDISKSEQ, sequence) === 0 ? sequence[0] : undefined;
}

/**
 * Has a file system whose files are elsewhere ask there for what it tells of the file behind `fd`: NFS and FUSE answer from
 * memory for up to a minute (statx(2), nfs(5)). Advice only: before Linux 4.11, and where it fails, what is known stays.
 */
export function refreshAttributes(fd: number): void {
  const flags = AT_EMPTY_PATH | AT_STATX_FORCE_SYNC;
  libc().syscall(SYS_STATX, fd, Buffer.from("\0"), flags, STATX_BASIC_STATS, new Uint8Array(STATX_SIZE));
}

/** Whether the kernel refuses writes to the block device behind `fd`. */
export function isReadOnlyDevice(fd: number): boolean {
  const flag = new Int32Array(1);
  return libc().ioctl(fd, BLKROGET, flag) === 0 && flag[0] !== 0;
}

/**
 * Finds the next data and the hole after it: [start, end) in bytes, from `offset` on; undefined when only a hole is left.
 * A file system that knows no holes answers with one piece of data.
 */
export function nextData(fd: number, offset: number, sizeBytes: number): { start: number; end: number } | undefined {
  const start = libc().lseek(fd, offset, SEEK_DATA);
  if (start < 0) return errno() === ENXIO ? undefined : { start: offset, end: sizeBytes };
  const end = libc().lseek(fd, start, SEEK_HOLE);
  return { start: Math.min(Number(start), sizeBytes), end: end < 0 ? sizeBytes : Math.min(Number(end), sizeBytes) };
}

/** Drops the clean pages of a range from the page cache; advice only, so a refusal is no failure. */
export function dropCache(fd: number, offset: number, length: number): void {
  libc().posix_fadvise(fd, offset, length, POSIX_FADV_DONTNEED);
}

/** Writes back and drops what the kernel holds of the block device behind `fd`; needs root, so a refusal is no failure. */
export function dropBuffers(fd: number): void {
  libc().ioctl(fd, BLKFLSBUF, null);
}

/** Makes a range of a block device zero, without sending zeros where it can. Returns false where that is not possible. */
export function zeroDevice(fd: number, offset: number, length: number): boolean {
  return libc().ioctl(fd, BLKZEROOUT, BigUint64Array.of(BigInt(offset), BigInt(length))) === 0;
}

/** Makes a range of a regular file a hole. Returns false where the file system cannot. */
export function punchHole(fd: number, offset: number, length: number): boolean {
  return libc().fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length) === 0;
}

/** What a lock was asked for and what came of it; "unknown" where there are no such locks, so nobody to agree with. */
export type LockOutcome = "taken" | "busy" | "unknown";

function lockOutcome(result: number): LockOutcome {
  if (result === 0) return "taken";
  return [EAGAIN, EACCES].includes(errno()) ? "busy" : "unknown";
}

/** Takes or gives back the lock of flock(2) on the whole of the open file behind `fd`, without waiting. */
export function lockFile(fd: number, take: boolean): LockOutcome {
  return lockOutcome(libc().flock(fd, take ? LOCK_EX | LOCK_NB : LOCK_UN));
}

/** A struct flock (asm-generic/fcntl.h, 64 bits): type, from where, first byte, length (0: all there will be), process. */
function flockOf(type: number, start = 0, length = 0): Buffer {
  const lock = Buffer.alloc(FLOCK_SIZE);
  lock.writeInt16LE(type, 0);
  lock.writeBigInt64LE(BigInt(start), 8);
  lock.writeBigInt64LE(BigInt(length), 16);
  return lock;
}

const BYTE_LOCKS = { exclusive: F_WRLCK, shared: F_RDLCK, none: F_UNLCK } as const;

/**
 * Takes or gives back the lock of all bytes behind `fd`, without waiting: the one of the open file (fcntl(2), "open file
 * description locks"), which closing another one leaves alone. For "exclusive" it has to be open for writing.
 */
export function lockBytes(fd: number, kind: keyof typeof BYTE_LOCKS): LockOutcome {
  return lockOutcome(libc().fcntl(fd, F_OFD_SETLK, ptr(flockOf(BYTE_LOCKS[kind]))));
}

/** Whether anyone but the open file behind `fd` has a lock on some of these bytes, also a POSIX one; length 0: to the end. */
export function hasLockedBytes(fd: number, start = 0, length = 0): boolean {
  const lock = flockOf(F_WRLCK, start, length);
  return libc().fcntl(fd, F_OFD_GETLK, ptr(lock)) === 0 && lock.readInt16LE(0) !== F_UNLCK;
}

/**
 * Whether anybody else has the file behind `fd` open, which itself is open read-only; with `forWriting`, whether anybody
 * can write to it, including a loop device or a process out of sight. It asks for a lease (fcntl(2)), which the kernel
 * grants only when nobody else has the file open, and returns it at once; SIGURG, which nothing here acts on, would
 * report an open() in between. Also false when nobody can tell: for other users' files unless run as root, and on file
 * systems that have no leases, or that refuse them with the same error as long as their server has promised nothing
 * (nfs4_add_lease() in fs/nfs/nfs4proc.c, cifs_setlease()).
 */
export function isOpenElsewhere(fd: number, { forWriting }: { readonly forWriting: boolean }): boolean {
  if (LEASES_OF_SERVERS.has(fs.statfsSync(`/proc/self/fd/${fd}`).type)) return false;
  libc().fcntl(fd, F_SETSIG, SIGURG);
  const granted = libc().fcntl(fd, F_SETLEASE, forWriting ? F_RDLCK : F_WRLCK);
  if (granted !== 0) return errno() === EAGAIN;
  libc().fcntl(fd, F_SETLEASE, F_UNLCK);
  return false;
}

/** Has the kernel read the partition table of a whole disk anew: "busy" while a part of it is in use. */
export function rereadPartitions(fd: number): "done" | "busy" | "impossible" {
  if (libc().ioctl(fd, BLKRRPART, null) === 0) return "done";
  return errno() === EBUSY ? "busy" : "impossible";
}

/** What lies under a loop device. */
export interface LoopStatus {
  /** As st_dev, st_ino and st_rdev tell it of the file or node that was attached; st_rdev is 0 for a regular file. */
  readonly dev: bigint;
  readonly ino: bigint;
  readonly rdev: bigint;
  /** The part of it that the device shows: from here on, so many bytes or, with 0, all. */
  readonly offset: number;
  readonly sizeLimit: number;
}

/** Of the loop device behind `fd`; undefined for any other, and for one with nothing attached (struct loop_info64). */
export function loopStatus(fd: number): LoopStatus | undefined {
  const info = Buffer.alloc(LOOP_INFO64_SIZE);
  if (libc().ioctl(fd, LOOP_GET_STATUS64, info) !== 0) return undefined;
  const [dev, ino, rdev] = [0, 8, 16].map((offset) => info.readBigUInt64LE(offset));
  if (dev === undefined || ino === undefined || rdev === undefined) return undefined;
  return { dev, ino, rdev, offset: Number(info.readBigUInt64LE(24)), sizeLimit: Number(info.readBigUInt64LE(32)) };
}

/** The UUID by which /sys/fs/btrfs knows the file system of the file behind `fd`; undefined for any other one. */
export function btrfsUuid(fd: number): string | undefined {
  const info = Buffer.alloc(BTRFS_FS_INFO_SIZE);
  if (libc().ioctl(fd, BTRFS_IOC_FS_INFO, info) !== 0) return undefined;
  return info.toString("hex", 16, 32).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
