/**
 * `make dist`: one executable for each target, dist/blocksync-TARGET, each checked to be what it claims, and their sums in
 * dist/SHA256SUMS. Needs the npm registry once and nothing else of the network: `bun install` brings the Bun and the hash
 * addon of every target, at the versions and with the integrity that bun.lock says, into .bun/targets. Two builds of one
 * commit are equal byte by byte.
 */
import fs from "node:fs";
import { join } from "node:path";
import { programMark, TARGETS, type Target } from "../src/remote/host/target.ts";
import { buildId } from "./build-id.ts";
import { checkArtifact } from "./check-dist.ts";
import { addonPath, compile } from "./compile.ts";

const root = join(import.meta.dir, "..");
const dist = join(root, "dist");
const packages = join(root, ".bun/targets");
const modules = join(packages, "node_modules");

function bunPath({ machine, libc }: Target): string {
  const name = `bun-linux-${machine === "x86_64" ? "x64" : machine}${libc === "musl" ? "-musl" : ""}`;
  return join(modules, "@oven", name, "bin/bun");
}

/** @throws {Error} when one cannot be had, or is not what bun.lock says. */
function installPackages(): void {
  fs.mkdirSync(packages, { recursive: true });
  for (const name of ["package.json", "bun.lock"]) fs.copyFileSync(join(root, name), join(packages, name));
  const every = ["--cpu=*", "--os=linux", "--libc=*"];
  const install = [process.execPath, "install", "--frozen-lockfile", "--ignore-scripts", "--no-progress", ...every];
  const { exitCode, stderr } = Bun.spawnSync(install, { cwd: packages, stdin: "ignore" });
  if (exitCode !== 0) throw new Error(`bun install ended with ${exitCode}: ${stderr.toString().trim()}`);
}

async function buildAll(): Promise<void> {
  const addons = TARGETS.map((target) => ({ target, bytes: fs.readFileSync(addonPath(modules, target)) }));
  const sums: string[] = [];
  for (const target of TARGETS) {
    const name = `blocksync-${target.name}`;
    const path = join(dist, name);
    await compile(target, bunPath(target), modules, path);
    const bytes = fs.readFileSync(path);
    const { needed, glibc } = checkArtifact(bytes, target, programMark(buildId(), target.name), addons);
    sums.push(`${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}  ${name}\n`);
    const words = [`${(bytes.length / 1e6).toFixed(1)} MB`, `started by ${target.interpreter}`, needed.join(" ")];
    if (glibc !== undefined) words.push(`glibc ${glibc}`);
    process.stdout.write(`dist/${name}: ${words.join(", ")}\n`);
  }
  fs.writeFileSync(join(dist, "SHA256SUMS"), sums.join(""));
}

fs.mkdirSync(dist, { recursive: true });
// Sums of what is no longer there would be worse than none.
fs.rmSync(join(dist, "SHA256SUMS"), { force: true });
try {
  installPackages();
  await buildAll();
} catch (error) {
  process.stderr.write(`dist: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
