import { expect, test } from "bun:test";
import { hasAesIn } from "../../src/local/kernel/processor.ts";

const X64 = "processor\t: 0\nflags\t\t: fpu vme aes pclmulqdq avx\nbugs\t\t: aes\n";
const ARM64 = "processor\t: 0\nFeatures\t: fp asimd aes pmull sha1\nCPU part\t: 0xd0c\n";

test("hasAesIn() wants all that AES-GCM is fast with, of its own architecture", () => {
  expect(hasAesIn(X64, "x64")).toBe(true);
  expect(hasAesIn(ARM64, "arm64")).toBe(true);
  // An emulator shows the processor it runs on.
  expect(hasAesIn(X64, "arm64")).toBe(false);
  expect(hasAesIn(ARM64, "x64")).toBe(false);
  for (const word of ["aes", "pclmulqdq"]) expect(hasAesIn(X64.replace(` ${word} `, " "), "x64")).toBe(false);
  for (const word of ["aes", "pmull"]) expect(hasAesIn(ARM64.replace(` ${word} `, " "), "arm64")).toBe(false);
  // Not a part of another word, nor a line cut off.
  expect(hasAesIn("flags : vaes vpclmulqdq", "x64")).toBe(false);
  expect(hasAesIn("", "x64")).toBe(false);
});
