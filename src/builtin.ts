/**
 * Modules of Bun that take long to load, only where they are used: node:net, node:tty and node:zlib 15 to 25 ms of processor
 * time each, node:crypto 25, where all else of a start takes 30 (1.4.5, 2-core x86-64, measured). process.stdin, stdout and stderr
 * load node:tty, too.
 */
import fs from "node:fs";

export const loadCrypto = () => process.getBuiltinModule("node:crypto");
export const loadNet = () => process.getBuiltinModule("node:net");
export const loadReadline = () => process.getBuiltinModule("node:readline");
export const loadTty = () => process.getBuiltinModule("node:tty");
export const loadZlib = () => process.getBuiltinModule("node:zlib");

/** /dev/null and its like (Documentation/admin-guide/devices.txt of Linux). */
const MEMORY_DEVICES = 1;

/** Whether a stream of this process is a terminal. */
export function isTerminal(fd: 0 | 1 | 2): boolean {
  try {
    const stat = fs.fstatSync(fd);
    return stat.isCharacterDevice() && stat.rdev >>> 8 !== MEMORY_DEVICES && loadTty().isatty(fd);
  } catch {
    return false;
  }
}
