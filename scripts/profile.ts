/**
 * Shows where the time of one run goes: `bun scripts/profile.ts ssh-pages --size 512`. With perf (Debian: linux-perf), of
 * every process that takes part, as root also of the far side's; and always Bun's own profile of blocksync at this end,
 * which names JavaScript functions, as perf cannot.
 */
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { startSshd } from "../test/helpers/sshd.ts";
import { blocksync, HERE, type Route, throughPipe, throughSsh } from "./bench/contenders.ts";
import { choosePages } from "./bench/images.ts";
import { defaultDirectory } from "./bench/options.ts";
import { type Command, must, run } from "./bench/process.ts";
import { countByProcess } from "./bench/samples.ts";
import { Workspace } from "./bench/workspace.ts";

const USAGE = `bun scripts/profile.ts [WHERE-WHAT] [--size MIB] [--top N] [--program PATH]
    WHERE   local, pipe (a far side on this machine without ssh) or ssh [local]
    WHAT    identical, pages (1 % of the 4 KiB pages differ) or fresh [identical]
    --size MIB       size of the image [1024]
    --top N          lines for each process [12]
    --program PATH   the blocksync to look at [dist/blocksync]
`;

const SAMPLES_PER_SECOND = 999;

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Only who may watch the whole machine sees the far side of ssh, which is no child of ours. */
function mayWatchAll(): boolean {
  return process.getuid?.() === 0 || Number(readFileSync("/proc/sys/kernel/perf_event_paranoid", "utf8")) <= 0;
}

async function withPerf(command: Command, program: string, directory: string, top: number, signal: AbortSignal) {
  const data = join(directory, "perf.data");
  const scope = mayWatchAll() ? ["-a"] : [];
  const record = ["perf", "record", "-q", "-N", ...scope, "-F", String(SAMPLES_PER_SECOND), "-o", data, "--"];
  const finished = await run({ ...command, argv: [...record, ...command.argv] }, signal);
  if (finished.failure !== undefined) throw new Error(`perf record failed: ${finished.failure}`);
  const { stdout } = await must(["perf", "script", "-i", data, "-F", "comm,pid,tid,ip,sym,dso"], signal);
  for (const { name, samples, symbols } of countByProcess(stdout, basename(program))) {
    print(`## ${name}: ${(samples / SAMPLES_PER_SECOND).toFixed(2)} s of processor time\n`);
    for (const { symbol, samples: own } of symbols.slice(0, top)) {
      print(`    ${((100 * own) / samples).toFixed(1).padStart(5)} %  ${symbol}`);
    }
    print("");
  }
}

/** The rows of the profile's first table, which begins with the function that took most. */
async function withBun(command: Command, directory: string, top: number, signal: AbortSignal): Promise<void> {
  const options = `--cpu-prof --cpu-prof-md --cpu-prof-dir=${directory}`;
  const finished = await run({ ...command, env: { ...command.env, BUN_OPTIONS: options } }, signal);
  if (finished.failure !== undefined) throw new Error(`blocksync failed: ${finished.failure}`);
  const file = readdirSync(directory).find((name) => name.endsWith(".md"));
  if (file === undefined) throw new Error("Bun wrote no profile");
  const text = readFileSync(join(directory, file), "utf8");
  const table = text.slice(text.indexOf("| Self%")).split("\n");
  print(["## JavaScript of blocksync here\n", ...table.slice(0, top + 2), ""].join("\n"));
}

async function profile(words: readonly string[], signal: AbortSignal): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...words],
    allowPositionals: true,
    options: {
      size: { type: "string", default: "1024" },
      top: { type: "string", default: "12" },
      program: { type: "string", default: join(import.meta.dir, "../dist/blocksync") },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const [where, what] = (positionals[0] ?? "local-identical").split("-");
  if (values.help) return print(USAGE);
  const known = ["local", "pipe", "ssh"].includes(where ?? "") && ["identical", "pages", "fresh"].includes(what ?? "");
  if (!known) throw new Error(`${JSON.stringify(positionals[0])} is no such run\n${USAGE}`);
  const [program, top] = [values.program, Number(values.top)];
  using workspace = new Workspace(defaultDirectory(), Number(values.size), signal);
  await using server = where === "ssh" ? await startSshd({ directory: workspace.subdirectory("ssh") }) : undefined;
  const route: Route =
    server !== undefined ? throughSsh(workspace, server) : where === "pipe" ? throughPipe(workspace) : HERE;
  const { randomImage: source, destination, sizeMib } = workspace;
  await workspace.needRandomImage();
  const prepare = async () => {
    if (what === "fresh") return workspace.removeDestination();
    await workspace.copyToDestination(source);
    if (what === "pages") await workspace.changeDestination(choosePages(sizeMib, Math.round(sizeMib * 2.56)));
    await must(["sync"], signal);
  };
  const command = blocksync(program, route, source, destination);
  // The first run may have to bring the program along; it is not the one that is looked at.
  await prepare();
  await must(command.argv, signal, command.env);
  await prepare();
  if (Bun.which("perf") === null) print("There is no perf here, so the kernel and the far side are not seen.\n");
  else await withPerf(command, program, workspace.path, top, signal);
  await prepare();
  await withBun(command, workspace.subdirectory("bun"), top, signal);
}

const controller = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const)
  process.on(name, () => controller.abort(new Error(`stopped by ${name}`)));
try {
  await profile(process.argv.slice(2), controller.signal);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : "failed"}\n`);
  process.exitCode = 1;
}
