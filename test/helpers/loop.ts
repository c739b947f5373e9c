/** Real block devices: loop devices over files of the test, detached with their `using` scope. */
import { dlopen } from "bun:ffi";
import fs from "node:fs";

function losetup(...words: string[]): string {
  const result = Bun.spawnSync(["losetup", ...words]);
  if (result.exitCode !== 0) throw new Error(`losetup ${words.join(" ")}: ${result.stderr.toString()}`);
  return result.stdout.toString().trim();
}

export interface Loop extends Disposable {
  readonly path: string;
}

/** Attaches `file`; `words` are further options of losetup (--read-only, --sector-size 4096). */
export function attachLoop(file: string, ...words: string[]): Loop {
  const path = losetup("--show", "-f", ...words, file);
  return { path, [Symbol.dispose]: () => void losetup("-d", path) };
}

/** Detaches the loop devices over files of a directory: what a shell that ended early has left. */
export function detachBelow(directory: string): void {
  const listed = losetup("--list", "--noheadings", "--raw", "--output", "NAME,BACK-FILE").replaceAll("\\x20", " ");
  for (const line of listed.split("\n")) {
    const [name = ""] = line.split(" ");
    if (line.slice(name.length + 1).startsWith(`${directory}/`)) losetup("--detach", name);
  }
}

const LOOP_CHANGE_FD = 0x4c06; // linux/loop.h

/** Has a read-only loop device lie over another file of the same length, as a drive gets another medium. */
export function changeMedium(loop: Loop, file: string): void {
  const libc = dlopen("libc.so.6", { ioctl: { args: ["int", "u64", "int"], returns: "int" } });
  const [device, other] = [fs.openSync(loop.path, "r"), fs.openSync(file, "r")];
  try {
    if (libc.symbols.ioctl(device, LOOP_CHANGE_FD, other) !== 0) throw new Error(`${loop.path} keeps its file`);
  } finally {
    for (const fd of [device, other]) fs.closeSync(fd);
    libc.close();
  }
}
