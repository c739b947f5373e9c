/** Which machine and which versions the figures are of. */
import os from "node:os";
import { run } from "./process.ts";

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly kernel: string;
  readonly memoryBytes: number;
  /** Others' work at the start, which no alternation removes altogether. */
  readonly loadAverage: number;
  readonly blocksync: string;
  readonly bun: string;
  readonly openssh: string;
  readonly rsync: string;
}

/** The first match in what a program says of itself. */
async function version(argv: readonly string[], pattern: RegExp, signal: AbortSignal): Promise<string> {
  const { stdout, stderr } = await run({ argv }, signal);
  return pattern.exec(stdout + stderr)?.[1] ?? "none";
}

export async function describeMachine(program: string, signal: AbortSignal): Promise<Machine> {
  return {
    cpu: os.cpus()[0]?.model.trim() ?? "unknown CPU",
    cores: os.availableParallelism(),
    kernel: os.release(),
    memoryBytes: os.totalmem(),
    loadAverage: os.loadavg()[0] ?? 0,
    blocksync: await version([program, "--version"], /^blocksync (.*)$/m, signal),
    bun: Bun.version,
    openssh: await version(["ssh", "-V"], /^OpenSSH_([^\s,]+)/m, signal),
    rsync: await version(["rsync", "--version"], /^rsync +version (\S+)/m, signal),
  };
}

export function machineLine(machine: Machine): string {
  const { cpu, cores, kernel, memoryBytes, loadAverage, blocksync, bun, openssh, rsync } = machine;
  const memory = `${(memoryBytes / 2 ** 30).toFixed(1)} GiB`;
  const versions = `blocksync ${blocksync}, Bun ${bun}, OpenSSH ${openssh}, rsync ${rsync}`;
  return `${cpu}, ${cores} cores, Linux ${kernel}, ${memory}, load ${loadAverage.toFixed(2)}; ${versions}`;
}
