/**
 * The platforms there is a blocksync for, and which of them a far side is. What it is made of, Bun 1.4.5, decides both: its
 * x86-64 build needs SSE4.2 and no more (it runs as qemu's Nehalem, not as Penryn; there is no other build for older
 * processors), its glibc builds use symbols up to GLIBC_2.17, its musl builds need libstdc++ besides. Pure.
 */

import { ProtocolError, UnreachableError } from "../../errors.ts";
import { quote } from "../../name.ts";

export interface Target {
  /** As in the name of its file: "blocksync-linux-x64-musl". */
  readonly name: string;
  /** As `uname -m` prints it. */
  readonly machine: string;
  readonly libc: "glibc" | "musl";
  /** e_machine of elf(5). */
  readonly elfMachine: number;
  /** The program that starts it, which must exist where it runs. */
  readonly interpreter: string;
}

const X64 = { machine: "x86_64", elfMachine: 62 };
const ARM64 = { machine: "aarch64", elfMachine: 183 };

export const TARGETS: readonly Target[] = [
  { name: "linux-x64", ...X64, libc: "glibc", interpreter: "/lib64/ld-linux-x86-64.so.2" },
  { name: "linux-x64-musl", ...X64, libc: "musl", interpreter: "/lib/ld-musl-x86_64.so.1" },
  { name: "linux-arm64", ...ARM64, libc: "glibc", interpreter: "/lib/ld-linux-aarch64.so.1" },
  { name: "linux-arm64-musl", ...ARM64, libc: "musl", interpreter: "/lib/ld-musl-aarch64.so.1" },
];

/** The name by which the loader of a target knows the C library that a program runs with. */
export function libraryOf({ machine, libc }: Target): string {
  return libc === "glibc" ? "libc.so.6" : `libc.musl-${machine}.so.1`;
}

/** The highest symbol version of glibc that a program for glibc may use, and so the oldest glibc it runs with. */
export const OLDEST_GLIBC = "2.17";

/** @throws {RangeError} for a name that is none. */
export function targetNamed(name: string): Target {
  const target = TARGETS.find((one) => one.name === name);
  if (target === undefined) throw new RangeError(`Unknown target ${name}`);
  return target;
}

/** What a program says of itself without being run: a text that scripts/compile.ts puts into it. */
export function programMark(build: string, target: string): string {
  return `blocksync-build ${build} ${target}.`;
}

/**
 * The mark is within so many bytes of a program's end: there Bun puts what it compiled, 1.2 MB of 113 MB with hash addon and
 * bytecode.
 */
export const MARK_WITHIN = 16 << 20;

/** What PROBE calls the platform of a target. */
export function platformOf({ machine, libc }: Target): string {
  return `Linux ${machine} ${libc}`;
}

/** Words of a far script, as PROBE, that set $j alone. Under emulation /proc/cpuinfo tells of another processor. */
export const PROBE_AES = [
  'j=; i=" $(grep -E "^(flags|Features)" /proc/cpuinfo 2>/dev/null | head -n 1) "',
  'case "$(uname -m)$i" in x86_64*" aes "*) case $i in *" pclmulqdq "*) j=" aes";; esac;; aarch64*" aes "*) case $i in *" pmull "*) j=" aes";; esac;; esac',
].join("; ");

/**
 * Words of a far script, for POSIX sh as bootstrap.ts wants it, that set $w to SYSTEM, MACHINE and LIBC (glibc, musl, or
 * none where what starts a program of that machine is missing, as in a 32-bit system on a 64-bit kernel), $y to the version
 * of glibc or "-", $j to " aes" where the processor has the instructions that AES-GCM is fast with (proc_cpuinfo(5)), and $x
 * to what is lacking: "sse4_2", or libraries. Where both kinds of libc are installed, ldd says
 * which is the system's own.
 */
export const PROBE = [
  'w="$(uname -s) $(uname -m)"; x=; y=-; a=; f=',
  PROBE_AES,
  `case $w in ${TARGETS.filter(({ libc }) => libc === "glibc")
    .map(({ machine, interpreter }) => `"Linux ${machine}") a=${machine}; f=${interpreter};;`)
    .join(" ")} esac`,
  'c=none; [ -e "/lib/ld-musl-$a.so.1" ] && c=musl',
  "v=$(getconf GNU_LIBC_VERSION 2>/dev/null || ldd --version </dev/null 2>&1)",
  'case $v in *musl*) true;; *) [ -e "$f" ] && c=glibc;; esac',
  `case $v in "glibc "*) y=\${v#glibc };; esac`,
  '[ "$a" = x86_64 ] && grep -q ^flags /proc/cpuinfo 2>/dev/null && { grep -q sse4_2 /proc/cpuinfo || x=" sse4_2"; }',
  'if [ "$c" = musl ]; then p=$(cat "/etc/ld-musl-$a.path" 2>/dev/null || echo /lib:/usr/local/lib:/usr/lib); for l in libstdc++.so.6 libgcc_s.so.1; do z=1; for d in $(echo "$p" | tr : " "); do [ -e "$d/$l" ] && z=; done; [ -z "$z" ] || x="$x $l"; done; fi',
  'w="$w $c"',
].join("; ");

const PROBED = /^probe ([!-~]+) ([!-~]+) (glibc|musl|none) ([!-~]+)( aes)?((?: [!-~]+)*)$/;

const ELSEWHERE = "blocksync runs on Linux on x86-64 and arm64: run it on such a machine that reaches the disk";

function isOlder(version: string, than: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [thanMajor = 0, thanMinor = 0] = than.split(".").map(Number);
  return major < thanMajor || (major === thanMajor && minor < thanMinor);
}

/**
 * The target for the far side that answered with `line`, "probe " and what PROBE found; `host` is named in what is thrown.
 * @throws {UnreachableError} when no blocksync can run there, with the reason.
 * @throws {ProtocolError} when the line is none.
 */
export function targetOf(line: string, host: string): Target {
  const what = `Cannot start blocksync on ${quote(host)}`;
  const [, system, machine, libc, version = "", , rest = ""] = PROBED.exec(line) ?? [];
  if (system === undefined) throw new ProtocolError(`${what}: it answered ${quote(line.slice(0, 200))}`);
  const refuse = (why: string, hint: string) => new UnreachableError(`${what}: ${why}`, { hint });
  const builds = TARGETS.filter((target) => system === "Linux" && target.machine === machine);
  if (builds.length === 0) throw refuse(`blocksync does not run on ${system} ${machine}`, ELSEWHERE);
  const target = builds.find((one) => one.libc === libc);
  if (target === undefined) {
    const interpreters = builds.map(({ interpreter }) => interpreter).join(" nor ");
    throw refuse(
      `it is Linux ${machine}, but has neither ${interpreters}`,
      `the system is not 64-bit, or keeps its libc elsewhere (NixOS: nix-ld). ${ELSEWHERE}`,
    );
  }
  if (libc === "glibc" && isOlder(version, OLDEST_GLIBC)) {
    throw refuse(
      `its glibc is ${version}, but blocksync needs ${OLDEST_GLIBC} or newer`,
      "boot it into a newer system, such as a rescue system, or run blocksync on another machine that reaches the disk",
    );
  }
  const lacks = rest.split(" ").filter((word) => word !== "");
  if (lacks.includes("sse4_2")) throw refuse("its processor has no SSE4.2, which blocksync needs", ELSEWHERE);
  if (lacks.length > 0) {
    throw refuse(
      `its libc is musl, and ${lacks.join(" and ")} ${lacks.length === 1 ? "is" : "are"} missing`,
      "install libstdc++ on it (Alpine: apk add libstdc++)",
    );
  }
  return target;
}

/** Whether the far side that answered with `line`, as targetOf() takes it, has AES instructions. */
export function hasAesThere(line: string): boolean {
  return PROBED.exec(line)?.[5] !== undefined;
}
