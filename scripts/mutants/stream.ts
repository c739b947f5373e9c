/** Bugs of sources that are read once. */
import type { Mutant } from "./mutant.ts";

export const STREAM: readonly Mutant[] = [
  {
    bug: "a zstd file that was cut short is taken for whole",
    file: "stream/zstd-frames.ts",
    from: "if (!this.#isBetween || this.#frames === 0 || this.#passing > 0) throw",
    to: "if (this.#frames === 0) throw",
    tests: ["unit/unpack.test.ts"],
  },
  {
    bug: "the checksum in a zip file is not looked at",
    file: "stream/zip.ts",
    from: "if (this.#crc !== header.crc)",
    to: "if (this.#crc === undefined)",
    tests: ["unit/zip.test.ts"],
  },
  {
    bug: "a zip file of several is taken for its first file",
    file: "stream/zip.ts",
    from: "if (!(await this.#reader.peek(LIST.length)).equals(LIST))",
    to: "if ((await this.#reader.peek(LIST.length)).length === 0)",
    tests: ["unit/zip.test.ts"],
  },
  {
    bug: "what follows a bzip2 file is left unread without a word",
    file: "stream/program.ts",
    from: "if (child.lastLines.some((line) => LEFT_UNREAD.test(line)))",
    to: "if (child.lastLines.length > 99)",
    tests: ["unit/unpack.test.ts"],
  },
  {
    bug: "a command that writes nothing empties the destination",
    file: "run/source.ts",
    from: 'if (head.length === 0)\n    throw new IoError("Cannot read standard input',
    to: 'if (head.length < 0)\n    throw new IoError("Cannot read standard input',
    tests: ["program/stream.test.ts: that ends before its first byte"],
  },
  {
    bug: "the next part overwrites the one that is being copied",
    file: "stream/endpoint.ts",
    from: "this.#next = this.#fill(other);",
    to: "this.#next = this.#fill(memory);",
    tests: ["contract/stream.test.ts"],
  },
  {
    bug: "a stream's destination is not cut at its end",
    file: "sync/stream.ts",
    from: "if (exact) await prepareLane(lane, layout, { exact });",
    to: "",
    tests: ["contract/stream.test.ts"],
  },
  {
    bug: "the verification of a stream believes what it reads",
    file: "sync/verify.ts",
    from: "if (there === undefined || !record.holds(index, there)) findings",
    to: "if (there === undefined) findings",
    tests: ["contract/stream.test.ts"],
  },
  {
    bug: "a stream that goes on beyond its size is written all the same",
    file: "stream/endpoint.ts",
    from: "(isLast ? doneBytes === due : doneBytes <= due)",
    to: "(!isLast || doneBytes === due)",
    tests: ["contract/stream.test.ts"],
  },
];
