/** Reads what `perf script` prints, one sample a line, and counts it by process and symbol. Pure. */
import { basename } from "node:path";

export interface ProcessSamples {
  readonly name: string;
  readonly samples: number;
  /** The most frequent first. */
  readonly symbols: readonly { readonly symbol: string; readonly samples: number }[];
}

/** The kernel keeps this much of a program's name. */
const NAME_LENGTH = 15;

/** THREAD'S NAME PROCESS/THREAD ADDRESS SYMBOL (FILE) */
const SAMPLE = /^\s*(\S.*?)\s+(\d+)\/(\d+)\s+[0-9a-f]+ (.*) \((.*)\)$/;

interface Sample {
  readonly thread: string;
  readonly process: string;
  readonly isMain: boolean;
  readonly symbol: string;
}

/** Code that was compiled while it ran is in no file, or as perf puts it in one that was never written. */
function isCompiledAtRunTime(file: string): boolean {
  return /anon|JIT|perf-\d+\.map$/.test(file);
}

function symbolName(symbol: string, file: string): string {
  if (file.startsWith("[kernel")) return `kernel: ${symbol}`;
  if (symbol === "[unknown]" && isCompiledAtRunTime(file)) return "JavaScript, compiled";
  const place = basename(file).slice(0, NAME_LENGTH);
  // Bun's binaries have none for their own functions.
  return symbol === "[unknown]" ? `${place}, no symbol` : `${place}: ${symbol}`;
}

function parse(line: string): Sample[] {
  const found = SAMPLE.exec(line);
  if (found === null) return [];
  const [, thread = "", process = "", id = "", symbol = "", file = ""] = found;
  // Process 0 is the idle processor.
  if (process === "0") return [];
  return [{ thread, process, isMain: process === id, symbol: symbolName(symbol, file) }];
}

/** What takes part in a run is told by name; all else is one. */
function role(name: string | undefined, program: string): string {
  if (name === program.slice(0, NAME_LENGTH)) return "blocksync here";
  if (name?.startsWith("blocksync-")) return "blocksync there";
  if (name === "ssh" || name?.startsWith("sshd")) return name;
  return "everything else";
}

function increment(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

/** `program` is the file name of blocksync at this end; at the other it has its digest at the end. */
export function countByProcess(text: string, program: string): ProcessSamples[] {
  const samples = text.split("\n").flatMap(parse);
  // A process has the name its main thread had last: before that it was the one that started it.
  const names = new Map(samples.filter(({ isMain }) => isMain).map(({ process, thread }) => [process, thread]));
  const roles = new Map<string, Map<string, number>>();
  for (const { process, symbol } of samples) {
    const name = role(names.get(process), program);
    const counts = roles.get(name) ?? new Map<string, number>();
    roles.set(name, counts);
    increment(counts, symbol);
  }
  const counted = [...roles].map(([name, counts]) => ({
    name,
    samples: [...counts.values()].reduce((sum, count) => sum + count, 0),
    symbols: [...counts]
      .map(([symbol, count]) => ({ symbol, samples: count }))
      .sort((first, second) => second.samples - first.samples),
  }));
  return counted.sort((first, second) => second.samples - first.samples);
}
