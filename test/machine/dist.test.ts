/** What make dist builds, and how a far side of another platform gets its program. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fs from "node:fs";
import { dirname, join } from "node:path";
import { buildId } from "../../scripts/build-id.ts";
import { hasAes } from "../../src/local/kernel/processor.ts";
import { quoteWord } from "../../src/remote/host/quote.ts";
import { TARGETS } from "../../src/remote/host/target.ts";
import { arm64Ssh, ON_ARM64 } from "../helpers/arm64.ts";
import { BINARY, fakeSsh, run, summaryOf } from "../helpers/binary.ts";
import { bytes, changeLeaves } from "../helpers/bytes.ts";
import { testWith } from "../helpers/requirements.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const root = join(import.meta.dir, "../..");
const dist = join(root, "dist");
const ARM64 = join(dist, "blocksync-linux-arm64");
const DATA = bytes(81, 3 * (1 << 20) + 77);

let sums: string;
let dir: TempDir;

function build(): string {
  const { exitCode, stderr } = Bun.spawnSync([process.execPath, "scripts/dist.ts"], { cwd: root });
  expect({ exitCode, stderr: stderr.toString() }).toEqual({ exitCode: 0, stderr: "" });
  return fs.readFileSync(join(dist, "SHA256SUMS"), "utf8");
}

beforeAll(() => {
  dir = tempDir();
  fs.writeFileSync(dir.file("s"), DATA);
  sums = build();
});
afterAll(() => dir[Symbol.dispose]());

describe("make dist", () => {
  test("builds a program for every target, with its sum", () => {
    const lines = sums.trimEnd().split("\n");
    expect(lines.map((line) => line.slice(66))).toEqual(TARGETS.map(({ name }) => `blocksync-${name}`));
    for (const line of lines) {
      const file = fs.readFileSync(join(dist, line.slice(66)));
      expect(new Bun.CryptoHasher("sha256").update(file).digest("hex")).toBe(line.slice(0, 64));
    }
  });

  test("builds the same bytes again: the program that make built is one of them", () => {
    const digest = new Bun.CryptoHasher("sha256").update(fs.readFileSync(BINARY)).digest("hex");
    expect(sums).toContain(`${digest}  blocksync-linux-`);
  });
});

const onArm64 = testWith("qemu");
describe("the arm64 program", () => {
  onArm64("starts and says what it is", async () => {
    const { exitCode, stdout } = await run(["--version"], { argv0: ON_ARM64, binary: ARM64 });
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: (await run(["--version"])).stdout });
  });

  onArm64("makes a file equal, and has its hash addon", async () => {
    for (const words of [[], ["-1", "xxh128"]]) {
      const to = dir.file(`arm64${words.length}`);
      const result = await run([...words, "--json", dir.file("s"), to], { argv0: ON_ARM64, binary: ARM64 });
      expect(summaryOf(result)).toMatchObject({ exitCode: 0, sizeBytes: DATA.length });
      expect(fs.readFileSync(to).equals(DATA)).toBe(true);
    }
  });

  testWith("qemu", "strace")("has the xxh128 of this machine's addon where its own does not load", async () => {
    const strace = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=memfd_create"];
    const argv = [...strace, "-e", "inject=memfd_create:error=ENOSYS", ...ON_ARM64, ARM64];
    fs.writeFileSync(dir.file("far"), `#!/bin/sh\nexec ${argv.map(quoteWord).join(" ")} "$@"\n`, { mode: 0o755 });
    const words = ["--json", "-1", "xxh128", ...fakeSsh(dir.file("rsh")), "-S", dir.file("far"), dir.file("s")];
    fs.writeFileSync(dir.file("other"), changeLeaves(DATA, [300]));
    const summary = summaryOf(await run(["compare", ...words, `h:${dir.file("other")}`]));
    expect(summary).toMatchObject({ exitCode: 1, blocksMatching: 3, blocksDiffering: 1 });
  });
});

describe("D6.30 an arm64 far side of an x86-64 machine", () => {
  const onFar = testWith("binfmt");

  onFar("gets its program from beside the running one, once, and push and pull make equal", async () => {
    using far = tempDir();
    const words = [...arm64Ssh(far), "--json"];
    // Its own home: the note of the digest goes there.
    const env = { HOME: far.file("near") };
    fs.mkdirSync(env.HOME);
    const first = await run([...words, dir.file("s"), `h:${far.file("pushed")}`], { env });
    expect(first.stderr).toContain("Copying blocksync to h, into ");
    expect(first.exitCode).toBe(0);
    expect(fs.readFileSync(far.file("pushed")).equals(DATA)).toBe(true);
    const digest = /^([0-9a-f]{64}) {2}blocksync-linux-arm64$/m.exec(sums)?.[1];
    const copies = fs.readdirSync(far.file("home/.cache/blocksync"));
    expect(copies.toSorted()).toEqual([`blocksync-${digest}`, `blocksync-${digest}.checked`]);
    // The emulated processor shows no AES instructions.
    expect(fs.readdirSync(far.file("near/.cache/blocksync")).toSorted()).toEqual([
      ...(hasAes() ? ["hosts-without-aes"] : []),
      "program-linux-arm64.checked",
      "program.checked",
    ]);
    const second = await run([...words, `h:${far.file("pushed")}`, far.file("pulled")], { env });
    expect(summaryOf(second)).toMatchObject({ exitCode: 0, bytesBootstrapped: 0 });
    expect(fs.readFileSync(far.file("pulled")).equals(DATA)).toBe(true);
  });

  onFar("gets it from $BLOCKSYNC_BINARIES, and from ~/.cache/blocksync", async () => {
    using far = tempDir();
    const words = arm64Ssh(far);
    fs.copyFileSync(BINARY, far.file("blocksync"));
    for (const [place, env] of [
      ["binaries", { BLOCKSYNC_BINARIES: far.file("binaries"), HOME: "" }],
      ["near/.cache/blocksync", { HOME: far.file("near") }],
    ] as const) {
      fs.mkdirSync(far.file(place), { recursive: true });
      fs.copyFileSync(ARM64, far.file(`${place}/blocksync-linux-arm64`));
      const to = far.file("d");
      const result = await run(["-q", ...words, dir.file("s"), `h:${to}`], { env, binary: far.file("blocksync") });
      expect(result).toEqual({ exitCode: 0, stdout: "", stderr: "" });
      expect(fs.readFileSync(to).equals(DATA)).toBe(true);
      fs.rmSync(to);
    }
  });
});

describe("D6.30 the program of another platform", () => {
  /** A run from a directory of its own to a far side that says it is arm64, and says "sent" to a second digest. */
  const attempt = async (place: (path: string) => void) => {
    using far = tempDir();
    fs.copyFileSync(BINARY, far.file("blocksync"));
    place(far.file("blocksync-linux-arm64"));
    const ssh = far.file("shell");
    const script = [
      'm=$(echo "$2" | grep -o "blocksync-[0-9a-f]\\{32\\}" | head -n 1); echo "$m probe Linux aarch64 glibc 2.36"',
      'read -r own; read -r other && echo "$m failed sent"',
    ];
    fs.writeFileSync(ssh, `#!/bin/sh\n${script.join("\n")}\n`, { mode: 0o755 });
    const env = { HOME: far.file("near"), BLOCKSYNC_BINARIES: far.file("binaries") };
    const words = ["-e", JSON.stringify(ssh), dir.file("s"), `h:${far.file("d")}`];
    const { exitCode, stderr } = await run(words, { env, binary: far.file("blocksync") });
    return { exitCode, stderr: stderr.replaceAll(far.path, "DIR") };
  };
  const hint = `put blocksync-linux-arm64 of build ${buildId()} (make dist builds it) into "DIR" or "DIR/binaries" or "DIR/near/.cache/blocksync"; BLOCKSYNC_BINARIES names another directory`;
  const refusal = (why: string) => ({
    exitCode: 5,
    stderr: `blocksync: Cannot start blocksync on "h": it is Linux aarch64 with glibc and needs blocksync-linux-arm64${why}\nblocksync: hint: ${hint}\n`,
  });

  test("is sent when it is there", async () => {
    const { exitCode, stderr } = await attempt((path) => fs.copyFileSync(ARM64, path));
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 5, stderr: expect.stringContaining('on "h": sent\n') });
  });

  test("is named when it is missing, with where to put it", async () => {
    expect(await attempt(() => undefined)).toEqual(refusal(", which is not on this machine"));
  });

  test("is not used when it is for another target, of another build, or no program", async () => {
    const path = '"DIR/blocksync-linux-arm64"';
    const unlike = `: ${path} is not for linux-arm64, or not of this build (${buildId()})`;
    expect(await attempt((to) => fs.copyFileSync(join(dist, "blocksync-linux-arm64-musl"), to))).toEqual(
      refusal(unlike),
    );
    const older = (to: string) => {
      const program = fs.readFileSync(ARM64);
      const mark = `blocksync-build ${buildId()} `;
      for (let at = program.indexOf(mark); at !== -1; at = program.indexOf(mark, at))
        program.write("blocksync-build 000000000000 ", at);
      fs.writeFileSync(to, program);
    };
    expect(await attempt(older)).toEqual(refusal(unlike));
    const notOne = refusal(`: ${path} is not a program for aarch64`);
    expect(await attempt((to) => fs.copyFileSync(BINARY, to))).toEqual(notOne);
    expect(await attempt((to) => fs.writeFileSync(to, ""))).toEqual(notOne);
    expect(await attempt((to) => fs.mkdirSync(to))).toEqual(refusal(`: ${path} is not a regular file`));
  });

  test("is not used when another user could have changed it", async () => {
    const writable = (to: string) => {
      fs.copyFileSync(ARM64, to);
      fs.chmodSync(to, 0o775);
    };
    const why = ': "DIR/blocksync-linux-arm64" could have been changed by another user';
    expect(await attempt(writable)).toEqual(refusal(why));
    const replaceable = (to: string) => {
      fs.copyFileSync(ARM64, to);
      fs.chmodSync(to, 0o755);
      fs.chmodSync(dirname(to), 0o777);
    };
    expect(await attempt(replaceable)).toEqual(refusal(why));
  });
});

describe("D6.30 a program already there that does not start", () => {
  // The words of glibc 2.12 and musl 1.2.3, with the ends that they came with.
  for (const [words, status, hint] of [
    [
      "%s: /lib64/libc.so.6: version `GLIBC_2.17' not found (required by %s)",
      1,
      /glibc is too old: blocksync needs 2.17/,
    ],
    ["Error relocating %s: _ZSt17__throw_bad_allocv: symbol not found", 127, /apk add libstdc\+\+/],
    [
      "Error loading shared library libstdc++.so.6: No such file or directory (needed by %s)",
      127,
      /apk add libstdc\+\+/,
    ],
    ["cannot execute binary file: Exec format error", 126, /another platform, a noexec mount/],
  ] as const) {
    test(`is explained: ${words.slice(0, 40)}`, async () => {
      const path = dir.file("broken");
      fs.writeFileSync(path, `#!/bin/sh\ncat >&2 <<'END'\n${words.replaceAll("%s", path)}\nEND\nexit ${status}\n`, {
        mode: 0o755,
      });
      const { exitCode, stderr } = await run([
        ...["-S", path, ...fakeSsh(dir.file("shell"))],
        ...[dir.file("s"), `h:${dir.file("never")}`],
      ]);
      expect({ exitCode, stderr }).toEqual({
        exitCode: 5,
        stderr: expect.stringContaining(`ended with exit status ${status}: `),
      });
      expect(stderr.split("\n").find((line) => line.startsWith("blocksync: hint:"))).toMatch(hint);
    });
  }
});

describe("an x86-64 processor", () => {
  const onOld = testWith("qemu");
  const old = (cpu: string) => {
    const path = dir.file(`on-${cpu}`);
    fs.writeFileSync(path, `#!/bin/sh\nexec qemu-x86_64-static -cpu ${cpu} '${BINARY}' "$@"\n`, { mode: 0o755 });
    return ["-S", path, ...fakeSsh(dir.file("shell")), dir.file("s"), `h:${dir.file(cpu)}`];
  };

  onOld("without AVX2 is enough", async () => {
    expect((await run(old("Nehalem"))).exitCode).toBe(0);
    expect(fs.readFileSync(dir.file("Nehalem")).equals(DATA)).toBe(true);
  });

  onOld("D6.30 without SSE4.2 is named at once when a program already there was tried", async () => {
    const { exitCode, stderr } = await run(old("Penryn"));
    expect(exitCode).toBe(5);
    expect(stderr).toContain('Cannot start blocksync on "h": ');
    expect(stderr).toContain("hint: the program needs a newer processor on the far side (SSE4.2)\n");
  });
});
