/**
 * `make dist`: one executable for each target, dist/blocksync-TARGET, each checked to be what it claims, and their sums in
 * dist/SHA256SUMS. Needs the npm registry once and nothing else of the network: `bun install` brings the Bun and the hash
 * addon of every target, at the versions and with the integrity that bun.lock says, into .bun/targets. Two builds of one
 * commit are equal byte by byte.
 */
import fs from "node:fs";
import { join } from "node:path";
import { programMark, TARGETS, type Target } from "../src/remote/target.ts";
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

/** A package whose integrity is not that of bun.lock is left out by Bun without a word, so each is looked for. */
function installPackages(): void {
  fs.mkdirSync(packages, { recursive: true });
  for (const name of ["package.json", "bun.lock"]) fs.copyFileSync(join(root, name), join(packages, name));
  const every = ["--cpu=*", "--os=linux", "--libc=*"];
  const install = [process.execPath, "install", "--frozen-lockfile", "--ignore-scripts", "--silent", ...every];
  const { exitCode, stderr } = Bun.spawnSync(install, { cwd: packages, stdin: "ignore" });
  const missing = TARGETS.flatMap((target) => [bunPath(target), addonPath(modules, target)]).filter(
    (path) => !fs.existsSync(path),
  );
  if (exitCode === 0 && missing.length === 0) return;
  throw new Error(
    `Cannot install the packages of every target: bun install ended with ${exitCode}: ${stderr.toString().trim()}; missing: ${missing.join(" ")}`,
  );
}

installPackages();
fs.mkdirSync(dist, { recursive: true });
const sums: string[] = [];
for (const target of TARGETS) {
  const name = `blocksync-${target.name}`;
  const path = join(dist, name);
  await compile(target, bunPath(target), modules, path);
  const bytes = fs.readFileSync(path);
  const addons = TARGETS.map((one) => ({ target: one, bytes: fs.readFileSync(addonPath(modules, one)) }));
  const { needed, glibc } = checkArtifact(bytes, target, programMark(buildId(), target.name), addons);
  sums.push(`${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}  ${name}\n`);
  process.stdout.write(
    `dist/${name}: ${(bytes.length / 1e6).toFixed(1)} MB, ${target.interpreter}, ${needed.join(" ")}${glibc === undefined ? "" : `, GLIBC ${glibc}`}\n`,
  );
}
fs.writeFileSync(join(dist, "SHA256SUMS"), sums.join(""));
