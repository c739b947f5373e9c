/** The rules about which part of src may know which, checked on the text of every file. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import path from "node:path";

const ROOT = path.join(import.meta.dir, "../../src");
const MAX_LINES = 400;

interface SourceFile {
  /** Relative to src: "sync/copy.ts". */
  readonly name: string;
  /** The folder in src: "sync", "" for src itself. */
  readonly room: string;
  readonly text: string;
  /** What it imports, types included: files relative to src, packages as they are written. */
  readonly imports: readonly string[];
}

const IMPORT = /^(?:import|export)\s(?:[^;"']*?\sfrom\s*)?["']([^"']+)["']|\bimport\(\s*["'`]([^"'`]+)["'`]/gm;

function importsOf(text: string): string[] {
  return [...text.matchAll(IMPORT)].map((match) => match[1] ?? match[2] ?? "");
}

function readSources(): SourceFile[] {
  const names = fs.readdirSync(ROOT, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
  return names.toSorted().map((name) => {
    const text = fs.readFileSync(path.join(ROOT, name), "utf8");
    const imports = importsOf(text).map((word) => (word.startsWith(".") ? path.join(path.dirname(name), word) : word));
    return { name, room: name.includes("/") ? (name.split("/")[0] ?? "") : "", text, imports };
  });
}

const SOURCES = readSources();
/** What any room may know besides. */
const NAMES = ["builtin.ts", "errors.ts", "format.ts", "name.ts", "paths.ts"];

function inRoom(room: string): SourceFile[] {
  const files = SOURCES.filter((file) => file.room === room);
  expect(files.length).toBeGreaterThan(0);
  return files;
}

/** Whether an import is a file of one of the rooms; a name with a dot is that one file. */
function isOneOf(imported: string, allowed: readonly string[]): boolean {
  return allowed.some((one) => (one.endsWith("/") || one.endsWith(":") ? imported.startsWith(one) : imported === one));
}

/** Imports of a room's files that are not allowed, as "file imports what". */
function violations(room: string, allowed: readonly string[], exceptions: Record<string, string[]> = {}): string[] {
  return inRoom(room).flatMap((file) =>
    file.imports
      .filter((imported) => !isOneOf(imported, [...allowed, ...(exceptions[file.name] ?? [])]))
      .map((imported) => `${file.name} imports ${imported}`),
  );
}

/** Names of the files that import something of which `matches` is true. */
function importersOf(matches: (imported: string) => boolean): string[] {
  return SOURCES.filter((file) => file.imports.some(matches)).map((file) => file.name);
}

/** Names of the files whose text, comments apart from code or not, matches. */
function mentioning(pattern: RegExp, files: readonly SourceFile[] = SOURCES): string[] {
  return files.filter((file) => pattern.test(file.text)).map((file) => file.name);
}

function isPackage(imported: string, name: string): boolean {
  return imported === name || imported.startsWith(`${name}/`);
}

test("importsOf() finds every way to import", () => {
  const text = [
    'import a from "a";',
    'import { type B,\n  C } from "./b.ts";',
    'import type { D } from "d";',
    'import "e";',
    'export { f } from "./f.ts";',
    'export * from "g";',
    'const h = await import("h");',
    'import i from "./i.json" with { type: "json" };',
    'const text = "import nothing";',
    'export const from = "nowhere";',
  ].join("\n");
  expect(importsOf(text)).toEqual(["a", "./b.ts", "d", "e", "./f.ts", "g", "h", "./i.json"]);
});

test("importsOf() sees at least what Bun's own parser sees in every file", () => {
  const transpiler = new Bun.Transpiler({ loader: "ts" });
  let count = 0;
  for (const file of SOURCES) {
    const found = new Set(importsOf(file.text));
    for (const { path: imported } of transpiler.scanImports(file.text)) {
      count++;
      expect({ file: file.name, imported, found: found.has(imported) }).toEqual({
        file: file.name,
        imported,
        found: true,
      });
    }
  }
  expect(count).toBeGreaterThan(100);
});

test("every import of a file names one that exists, with its extension", () => {
  const missing = SOURCES.flatMap((file) =>
    file.imports
      .filter((imported) => imported.endsWith(".ts") && !SOURCES.some((other) => other.name === imported))
      .map((imported) => `${file.name} imports ${imported}`),
  );
  expect(missing).toEqual([]);
});

test("src has the nine rooms and few files outside", () => {
  expect([...new Set(SOURCES.map((file) => file.room))].toSorted()).toEqual([
    "",
    "cli",
    "local",
    "remote",
    "report",
    "run",
    "stream",
    "sync",
    "tree",
    "web",
  ]);
  expect(SOURCES.filter((file) => file.room === "").map((file) => file.name)).toEqual([
    "builtin.ts",
    "errors.ts",
    "format.ts",
    "given.ts",
    "main.ts",
    "name.ts",
    "paths.ts",
    "version.ts",
  ]);
});

test("outside the rooms each file imports only those named before it, version.ts only the manifest", () => {
  const imports = (name: string) => SOURCES.find((file) => file.name === name)?.imports;
  expect(imports("name.ts")).toEqual([]);
  expect(imports("format.ts")).toEqual([]);
  expect(imports("errors.ts")).toEqual(["format.ts", "name.ts"]);
  expect(imports("paths.ts")).toEqual(["node:fs", "name.ts"]);
  expect(imports("given.ts")).toEqual(["node:fs", "errors.ts", "name.ts", "paths.ts"]);
  expect(imports("version.ts")).toEqual(["../package.json"]);
});

test("sync/ imports only sync/, errors.ts, format.ts and name.ts", () => {
  expect(violations("sync", ["sync/", "errors.ts", "format.ts", "name.ts"])).toEqual([]);
});

test("sync/ does not know where it runs: no process, no Bun, no node modules", () => {
  expect(mentioning(/\bprocess\.|\bBun\.|\bnode:|\bbun:|\brequire\(/, inRoom("sync"))).toEqual([]);
});

test("local/ imports only local/, sync/, errors.ts, its two packages, bun:ffi and node modules", () => {
  const packages = ["@node-rs/xxhash", "hash-wasm"];
  expect(violations("local", ["local/", "sync/", ...NAMES, ...packages, "bun:ffi", "node:"])).toEqual([]);
});

test("web/ imports only web/, sync/ and errors.ts, and asks in request.ts alone", () => {
  expect(violations("web", ["web/", "sync/", ...NAMES])).toEqual([]);
  expect(mentioning(/(?<![\w.#])fetch\(|\bXMLHttpRequest\b|\bnode:https?"/)).toEqual(["web/request.ts"]);
});

test("tree/ imports only tree/, local/ and sync/, errors.ts and node modules", () => {
  expect(violations("tree", ["tree/", "local/", "sync/", ...NAMES, "node:"])).toEqual([]);
});

test("remote/ imports only remote/, sync/, errors.ts and node modules, and local/ from serve.ts alone", () => {
  const exceptions = { "remote/serve.ts": ["local/"] };
  expect(violations("remote", ["remote/", "sync/", ...NAMES, "given.ts", "node:"], exceptions)).toEqual([]);
});

test("report/ imports only report/, sync/, errors.ts, consola/core and node modules", () => {
  expect(violations("report", ["report/", "sync/", ...NAMES, "version.ts", "consola/core", "node:"])).toEqual([]);
});

test("stream/ imports only stream/, local/, sync/, the byte streams and child processes of remote/, and node modules", () => {
  const streams = ["remote/wire/streams.ts", "remote/wire/descriptors.ts", "remote/host/process.ts"];
  expect(violations("stream", ["stream/", "local/", "sync/", ...NAMES, ...streams, "node:"])).toEqual([]);
});

test("run/ imports only the rooms below it and node modules", () => {
  const rooms = [
    "run/",
    "stream/",
    "local/",
    "remote/",
    "report/",
    "sync/",
    "tree/",
    "web/",
    ...NAMES,
    "given.ts",
    "version.ts",
  ];
  expect(violations("run", [...rooms, "node:"])).toEqual([]);
});

test("cli/ imports only the rooms, citty and node modules", () => {
  const rooms = [
    "cli/",
    "run/",
    "local/",
    "remote/",
    "report/",
    "sync/",
    "tree/",
    "web/",
    ...NAMES,
    "given.ts",
    "version.ts",
  ];
  expect(violations("cli", [...rooms, "citty", "node:"])).toEqual([]);
});

/** The floors of two rooms, upper ones first: a file imports from its own floor and those below. */
const FLOORS: Record<string, string[]> = {
  local: ["", "undo", "guard", "work", "medium", "system", "kernel"],
  remote: ["", "host", "wire"],
};

for (const [room, floors] of Object.entries(FLOORS)) {
  test(`the floors of ${room}/ are ${floors.filter((floor) => floor !== "").join(", ")}, and imports point down`, () => {
    const floorOf = (name: string) => name.split("/").slice(1, -1).join("/");
    const files = inRoom(room);
    expect([...new Set(files.map((file) => floorOf(file.name)))].toSorted()).toEqual(floors.toSorted());
    const height = (name: string) => -floors.indexOf(floorOf(name));
    const up = files.flatMap((file) =>
      file.imports
        .filter((one) => one.startsWith(`${room}/`) && height(one) > height(file.name))
        .map((one) => `${file.name} imports ${one}`),
    );
    expect(up).toEqual([]);
  });
}

test("local/system/ is entered by picture.ts alone, and knows of local/ nothing but libc.ts", () => {
  const inside = SOURCES.filter((file) => file.name.startsWith("local/system/"));
  expect(inside.length).toBeGreaterThan(1);
  const entries = SOURCES.filter((file) => !inside.includes(file)).flatMap((file) =>
    file.imports.filter((one) => one.startsWith("local/system/")),
  );
  expect([...new Set(entries)]).toEqual(["local/system/picture.ts"]);
  const leaving = inside.flatMap((file) => file.imports.filter((one) => one.startsWith("local/")));
  expect(leaving.filter((one) => !one.startsWith("local/system/") && one !== "local/kernel/libc.ts")).toEqual([]);
});

test("main.ts is imported by nobody, cli/ by main.ts alone", () => {
  expect(importersOf((imported) => imported === "main.ts")).toEqual([]);
  const outside = SOURCES.filter((file) => file.room !== "cli");
  expect(outside.filter((file) => file.imports.some((one) => one.startsWith("cli/"))).map((file) => file.name)).toEqual(
    ["main.ts"],
  );
});

test("citty is imported in cli/ only, consola in report/ only", () => {
  const citty = importersOf((imported) => isPackage(imported, "citty"));
  expect(citty.length).toBeGreaterThan(0);
  expect(citty.filter((name) => !name.startsWith("cli/"))).toEqual([]);
  const consola = importersOf((imported) => isPackage(imported, "consola"));
  expect(consola.length).toBeGreaterThan(0);
  expect(consola.filter((name) => !name.startsWith("report/"))).toEqual([]);
});

test("bun:ffi is imported in local/kernel/libc.ts only", () => {
  expect(importersOf((imported) => imported === "bun:ffi")).toEqual(["local/kernel/libc.ts"]);
  expect(mentioning(/bun:ffi|\bdlopen\b/)).toEqual(["local/kernel/libc.ts"]);
});

test("what Bun takes long to load is loaded through builtin.ts, late", () => {
  const slow = /^import (?!type )[^;]*"node:(crypto|net|readline|tty|zlib|stream|child_process|worker_threads)";/m;
  expect(mentioning(slow)).toEqual([]);
  expect(mentioning(/\bgetBuiltinModule\b/)).toEqual(["builtin.ts"]);
});

test("@node-rs/xxhash is imported in local/work/hash.ts only", () => {
  expect(importersOf((imported) => isPackage(imported, "@node-rs/xxhash"))).toEqual(["local/work/hash.ts"]);
});

test("hash-wasm is imported in local/work/xxh128-wasm.ts only, and that in hash.ts only, late", () => {
  expect(importersOf((imported) => isPackage(imported, "hash-wasm"))).toEqual(["local/work/xxh128-wasm.ts"]);
  expect(importersOf((imported) => imported === "local/work/xxh128-wasm.ts")).toEqual(["local/work/hash.ts"]);
  const { text } = SOURCES.find(({ name }) => name === "local/work/hash.ts") ?? { text: "" };
  expect(text).not.toMatch(/from "(@node-rs|\.\/xxh128-wasm)/);
});

test("packages are those of package.json, and Bun's own modules only where a rule says so", () => {
  const packages = new Set(
    SOURCES.flatMap((file) => file.imports).filter(
      (imported) => !imported.endsWith(".ts") && !imported.startsWith("node:") && imported !== "../package.json",
    ),
  );
  expect([...packages].toSorted()).toEqual(["@node-rs/xxhash", "bun:ffi", "citty", "consola/core", "hash-wasm"]);
});

test("the process is listened to by main.ts, for as long as it lives, and through what is disposed of", () => {
  expect(mentioning(/\bprocess\.(on|once|addListener|prependListener)\(/)).toEqual(["main.ts", "report/hear.ts"]);
  // A thread's own end is the business of who started it.
  expect(mentioning(/\baddEventListener\(/)).toEqual(["local/kernel/threads.ts", "sync/abort.ts"]);
});

test("child processes are started in remote/host/process.ts only", () => {
  expect(mentioning(/\bBun\.spawn(Sync)?\b|\bchild_process\b|\bBun\.\$|\bspawn(Sync)?\(|\bexecFile\b/)).toEqual([
    "remote/host/process.ts",
  ]);
});

/** Calls that take a path, of node:fs and its promises. */
const BY_NAME =
  /\bfs(?:\.promises)?\.(access|appendFile|chmod|chown|copyFile|cp|createReadStream|createWriteStream|exists|lchown|link|lstat|lutimes|mkdir|mkdtemp|open|openAsBlob|opendir|readdir|readFile|readlink|realpath|rename|rm|rmdir|stat|statfs|symlink|truncate|unlink|utimes|watch|writeFile)(?:Sync)?\b(\.native)?([^,]*)/g;

/** Calls whose path is neither bytes nor written there as text; each with the beginning of its arguments. */
function textualCalls(text: string): string[] {
  return (
    [...text.matchAll(BY_NAME)]
      .filter(([, , , rest = ""]) => !/^\((?:bytesOf\(|"\/(?:proc|sys|dev)\/|`\/(?:proc|sys)\/)/.test(rest))
      // A descriptor.
      .filter(([, name, , rest = ""]) => !(/File$/.test(name ?? "") && /^\((?:fd|file)\b/.test(rest)))
      .filter(([call]) => !call.startsWith('fs.createReadStream(""'))
      // A file inside the program, which only Bun knows, by its text.
      .filter(([call]) => !call.startsWith("fs.readFileSync(innerPath)"))
      .map(([call]) => call.slice(0, 40))
  );
}

test("textualCalls() finds a path that is handed over as text, and that alone", () => {
  const right = [
    "fs.statSync(bytesOf(path), { bigint: true })",
    'fs.readFileSync("/proc/self/status", "latin1")',
    "fs.writeFileSync(file, text)",
    "fs.fstatSync(fd)",
    "fs.BigIntStats",
  ];
  expect(right.flatMap(textualCalls)).toEqual([]);
  const wrong = [
    "fs.statSync(path, { bigint: true })",
    "fs.promises.readFile(path)",
    "fs.existsSync",
    "fs.open(`/tmp/x`)",
    "fs.realpathSync.native(path)",
  ];
  expect(wrong.flatMap(textualCalls)).toEqual(wrong.map((call) => call.split(",")[0] ?? ""));
});

test("a path reaches the file system as bytes: fs.…(bytesOf(path))", () => {
  const others = SOURCES.flatMap(({ name, text }) => textualCalls(text).map((call) => `${name}: ${call}`));
  expect(others).toEqual([]);
  // Bun's own take text alone.
  expect(mentioning(/\bBun\.(file|write)\(|"node:fs\/promises"|import \{[^}]*\} from "node:fs"/)).toEqual([]);
});

test("names that the kernel tells come through paths.ts, and what the process was given through given.ts", () => {
  expect(mentioning(/\bfs\.(promises\.)?(realpath|readlink|readdir|opendir)/)).toEqual(["paths.ts"]);
  expect(mentioning(/\bprocess\.(cwd|chdir|execPath)\b|\bhomedir\(|\btmpdir\(/)).toEqual(["given.ts"]);
  expect(mentioning(/\bprocess\.argv\b/)).toEqual(["main.ts"]);
  // These ask process.cwd() about a path that is not absolute.
  expect(
    mentioning(/import \{[^}]*\b(resolve|relative)\b[^}]*\} from "node:path"|\bpath\.(resolve|relative)\(/),
  ).toEqual([]);
  // Values that hold a path.
  expect(mentioning(/process\.env\["(HOME|TMPDIR|XDG_\w+|BLOCKSYNC_(?!DEBUG)\w+)"\]/)).toEqual([]);
});

test("no file imports itself by way of others", () => {
  const byName = new Map(SOURCES.map((file) => [file.name, file]));
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (name: string, trail: readonly string[]) => {
    const start = trail.indexOf(name);
    if (start !== -1) {
      cycles.push([...trail.slice(start), name].join(" > "));
      return;
    }
    if (done.has(name)) return;
    for (const imported of byName.get(name)?.imports ?? []) {
      if (byName.has(imported)) visit(imported, [...trail, name]);
    }
    done.add(name);
  };
  for (const file of SOURCES) visit(file.name, []);
  expect(cycles).toEqual([]);
  expect(done.size).toBe(SOURCES.length);
});

test(`no file in src is longer than ${MAX_LINES} lines`, () => {
  const lines = (text: string) => text.replace(/\n$/, "").split("\n").length;
  expect(SOURCES.filter((file) => lines(file.text) > MAX_LINES).map((file) => file.name)).toEqual([]);
});
