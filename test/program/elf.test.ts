/** What an executable is and needs, and whether an artifact is what it claims. */
import { beforeAll, describe, expect, test } from "bun:test";
import fs from "node:fs";
import { join } from "node:path";
import { buildId } from "../../scripts/build-id.ts";
import { type Addon, checkArtifact } from "../../scripts/check-dist.ts";
import { addonPath, targetOfBun } from "../../scripts/compile.ts";
import { readElf } from "../../scripts/elf.ts";
import { programMark, TARGETS, type Target } from "../../src/remote/host/target.ts";
import { BINARY } from "../helpers/binary.ts";
import { testWith } from "../helpers/requirements.ts";

const modules = join(import.meta.dir, "../../node_modules");
const target = targetOfBun(process.execPath);
const other: Target = TARGETS.find((one) => one.machine !== target.machine) ?? target;

describe("readElf()", () => {
  test("reads the Bun that runs this", () => {
    const elf = readElf(fs.readFileSync(process.execPath));
    expect(elf.machine).toBe(process.arch === "x64" ? 62 : 183);
    expect(elf.interpreter).toBe(target.interpreter);
    expect(elf.needed.some((name) => name.startsWith("libc."))).toBe(true);
  });

  test("reads a library, which nothing starts", () => {
    const elf = readElf(fs.readFileSync(addonPath(modules, target)));
    expect(elf.interpreter).toBeUndefined();
    expect(elf.needed.some((name) => name.startsWith("libc.so"))).toBe(true);
  });

  testWith("readelf")("agrees with readelf", async () => {
    const printed = Bun.spawnSync(["readelf", "-dVW", process.execPath]).stdout.toString();
    const names = (pattern: RegExp) => [...printed.matchAll(pattern)].map(([, name = ""]) => name);
    const elf = readElf(fs.readFileSync(process.execPath));
    expect(elf.needed).toEqual(names(/\(NEEDED\).*\[(.*)\]/g));
    expect(elf.versions).toEqual(names(/Name: (\S+)\s+Flags: .*Version: /g));
    expect(elf.versions.length).toBeGreaterThan(target.libc === "glibc" ? 3 : -1);
  });

  test("refuses what is none, and a damaged one, with a RangeError", () => {
    const whole = fs.readFileSync(addonPath(modules, target));
    expect(() => readElf(new Uint8Array(0))).toThrow(RangeError);
    expect(() => readElf(Buffer.from("#!/bin/sh\n".repeat(20)))).toThrow("it is no 64-bit little-endian ELF file");
    const narrow = Buffer.from(whole);
    narrow[4] = 1;
    expect(() => readElf(narrow)).toThrow("it is no 64-bit little-endian ELF file");
    // Cut before its dynamic section, or with the offsets in its headers out of the file.
    expect(() => readElf(whole.subarray(0, 200))).toThrow(RangeError);
    const wild = Buffer.from(whole);
    wild.writeBigUInt64LE(1n << 62n, 32);
    expect(() => readElf(wild)).toThrow(RangeError);
  });
});

describe("checkArtifact()", () => {
  let program: Buffer;
  let addon: Buffer;
  const mark = programMark(buildId(), target.name);
  beforeAll(() => {
    program = fs.readFileSync(BINARY);
    addon = fs.readFileSync(addonPath(modules, target));
  });
  const addons = (): Addon[] => [
    { target, bytes: addon },
    { target: other, bytes: Buffer.from("no such bytes are in it") },
  ];

  test("accepts the program for this machine", () => {
    const { needed, glibc } = checkArtifact(program, target, mark, addons());
    expect(needed.length).toBeGreaterThan(1);
    expect(glibc).toBe(target.libc === "glibc" ? "2.17" : undefined);
  });

  test("refuses another machine, libc, build or addon", () => {
    const name = `blocksync-${target.name} is not what it claims`;
    const check = (bytes: Uint8Array, expected: Target = target, said = mark, list = addons()) =>
      checkArtifact(bytes, expected, said, list);
    expect(() => check(program, { ...target, elfMachine: 40 })).toThrow(`${name}: its machine is`);
    expect(() => check(program, { ...target, interpreter: "/lib/ld.so" })).toThrow(`${name}: it is started by`);
    expect(() => check(program, { ...target, libc: target.libc === "glibc" ? "musl" : "glibc" })).toThrow(
      `${name}: it needs`,
    );
    expect(() => check(program, target, programMark("000000000000", target.name))).toThrow(`${name}: it does not say`);
    const missing = [{ target, bytes: Buffer.from("no such bytes are in it") }];
    expect(() => check(program, target, mark, missing)).toThrow(`the hash addon for ${target.name} is not in it`);
    const surplus = [...addons(), { target: other, bytes: addon }];
    expect(() => check(program, target, mark, surplus)).toThrow(`the hash addon for ${other.name} is in it`);
  });

  test.if(target.libc === "glibc")("refuses symbols of a newer glibc", () => {
    const newer = Buffer.from(program);
    let at = newer.indexOf("GLIBC_2.17\0");
    expect(at).toBeGreaterThan(0);
    for (; at !== -1; at = newer.indexOf("GLIBC_2.17\0", at)) newer.write("GLIBC_2.34", at);
    expect(() => checkArtifact(newer, target, mark, addons())).toThrow("it needs glibc 2.34, more than 2.17");
  });
});
