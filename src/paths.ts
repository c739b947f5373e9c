/**
 * Paths in the texts of name.ts, byte for byte: taken apart, put together, and as the kernel tells them. Not by node:path,
 * whose functions turn a lone surrogate into U+FFFD (Bun 1.4.5, measured); those here give the same for all other texts.
 */
import fs from "node:fs";
import { bytesOf, nameOf } from "./name.ts";

/** Where `path` leads with all links followed. @throws {Error} of the system, such as ENOENT. */
export function realPath(path: string): string {
  return nameOf(fs.realpathSync(bytesOf(path), "buffer"));
}

/** What a symbolic link says. @throws {Error} of the system: EINVAL for what is none. */
export function linkText(path: string): string {
  return nameOf(fs.readlinkSync(bytesOf(path), "buffer"));
}

/** The names in a folder, in no order. @throws {Error} of the system. */
export function entryNames(path: string): string[] {
  return fs.readdirSync(bytesOf(path), { encoding: "buffer" }).map(nameOf);
}

/** The path without its last name: "." for a name alone, "/" for one in the root. */
export function dirname(path: string): string {
  const end = endOf(path);
  const slash = path.lastIndexOf("/", end - 1);
  if (slash === -1) return path.startsWith("/") ? "/" : ".";
  return path.slice(0, endOf(path.slice(0, slash))) || "/";
}

/** The last name of a path: "" of the root. */
export function basename(path: string): string {
  const end = endOf(path);
  return path.slice(path.lastIndexOf("/", end - 1) + 1, end);
}

/** Where the slashes at the end of a path begin. */
function endOf(path: string): number {
  let end = path.length;
  while (end > 0 && path[end - 1] === "/") end--;
  return end;
}

/** The parts with slashes between them; ".." takes the name before it away, as text. */
export function join(...parts: readonly string[]): string {
  const path = parts.filter((part) => part !== "").join("/");
  const names: string[] = [];
  for (const name of path.split("/")) {
    if (name === "" || name === ".") continue;
    if (name !== "..") names.push(name);
    else if (names.length > 0 && names.at(-1) !== "..") names.pop();
    else if (!path.startsWith("/")) names.push(name);
  }
  const joined = (path.startsWith("/") ? "/" : "") + names.join("/");
  if (names.length === 0) return joined || (path.endsWith("/") ? "./" : ".");
  return path.endsWith("/") ? `${joined}/` : joined;
}
