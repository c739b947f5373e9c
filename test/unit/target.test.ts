/** Which program a far side needs, from what its shell says of it. */
import { describe, expect, test } from "bun:test";
import { ProtocolError, UnreachableError } from "../../src/errors.ts";
import { hasAes } from "../../src/local/kernel/processor.ts";
import { hasAesThere, PROBE, platformOf, TARGETS, targetNamed, targetOf } from "../../src/remote/host/target.ts";
import { testWith } from "../helpers/requirements.ts";

describe("targetOf()", () => {
  test("knows every target by what its platform says", () => {
    for (const target of TARGETS) {
      const version = target.libc === "glibc" ? "2.17" : "-";
      expect(targetOf(`probe ${platformOf(target)} ${version}`, "h")).toBe(target);
      expect(targetNamed(target.name)).toBe(target);
    }
    // Without getconf nobody knows the version; the attempt will tell.
    expect(targetOf("probe Linux aarch64 glibc -", "h").name).toBe("linux-arm64");
    expect(targetOf("probe Linux x86_64 glibc 3.0", "h").name).toBe("linux-x64");
  });

  for (const [line, sentence, hint] of [
    ["Linux armv7l none -", "blocksync does not run on Linux armv7l", /x86-64 and arm64/],
    ["Linux i686 none -", "blocksync does not run on Linux i686", /x86-64 and arm64/],
    ["Linux riscv64 glibc 2.39", "blocksync does not run on Linux riscv64", /x86-64 and arm64/],
    ["Darwin arm64 none -", "blocksync does not run on Darwin arm64", /x86-64 and arm64/],
    ["Darwin x86_64 none -", "blocksync does not run on Darwin x86_64", /x86-64 and arm64/],
    ["FreeBSD amd64 none -", "blocksync does not run on FreeBSD amd64", /x86-64 and arm64/],
    [
      "Linux aarch64 none 2.36",
      "it is Linux aarch64, but has neither /lib/ld-linux-aarch64.so.1 nor /lib/ld-musl-aarch64.so.1",
      /not 64-bit/,
    ],
    ["Linux x86_64 glibc 2.12", "its glibc is 2.12, but blocksync needs 2.17 or newer", /newer system/],
    ["Linux x86_64 glibc 2.9", "its glibc is 2.9, but blocksync needs 2.17 or newer", /newer system/],
    ["Linux x86_64 glibc 2.36 sse4_2", "its processor has no SSE4.2, which blocksync needs", /another|such a machine/],
    [
      "Linux x86_64 musl - libstdc++.so.6 libgcc_s.so.1",
      "its libc is musl, and libstdc++.so.6 and libgcc_s.so.1 are missing",
      /apk add libstdc\+\+/,
    ],
    ["Linux aarch64 musl - libgcc_s.so.1", "its libc is musl, and libgcc_s.so.1 is missing", /apk add libstdc\+\+/],
  ] as const) {
    test(`D6.30 refuses ${line}`, () => {
      let thrown: unknown;
      try {
        targetOf(`probe ${line}`, "h");
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toBeInstanceOf(UnreachableError);
      expect(thrown).toMatchObject({ message: `Cannot start blocksync on "h": ${sentence}` });
      expect(thrown).toMatchObject({ hint: expect.stringMatching(hint) });
    });
  }

  test("is not misled by what a processor can do, which hasAesThere() tells", () => {
    for (const [lacks, hasAes] of [
      ["", false],
      [" aes", true],
    ] as const) {
      const line = `probe Linux x86_64 glibc 2.36${lacks}`;
      expect({ line, target: targetOf(line, "h").name, hasAes: hasAesThere(line) }).toEqual({
        line,
        target: "linux-x64",
        hasAes,
      });
    }
    expect(() => targetOf("probe Linux x86_64 glibc 2.36 aes sse4_2", "h")).toThrow("its processor has no SSE4.2");
  });

  test("takes nothing else for an answer", () => {
    for (const line of ["", "probe", "probe Linux", "send none /", "probe Linux x86_64", "probe Linux x86_64 uclibc -"])
      expect(() => targetOf(line, "h")).toThrow(ProtocolError);
    expect(() => targetOf("probe Linux x86_64 glibc 2.36 \x1b[2J", "h")).toThrow(ProtocolError);
  });
});

const onShells = testWith("shells");
for (const shell of [["sh"], ["dash"], ["bash", "--posix"], ["busybox", "sh"]]) {
  onShells(`the probe of this machine, by ${shell.join(" ")}, is the platform of the program`, async () => {
    const { stdout, stderr } = Bun.spawnSync([...shell, "-uc", `${PROBE}; echo "probe $w $y$j$x"`]);
    expect(stderr.toString()).toBe("");
    const target = targetOf(stdout.toString().trimEnd(), "h");
    expect(hasAesThere(stdout.toString().trimEnd())).toBe(hasAes());
    expect(target.machine).toBe(process.arch === "x64" ? "x86_64" : "aarch64");
    expect(stdout.toString()).toStartWith(`probe ${platformOf(target)} `);
  });
}
