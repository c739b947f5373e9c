/** What README.md shows of real runs, and its commands, as they stand there. */
import fs from "node:fs";
import type { FreshMachine } from "../test/helpers/fresh-machine.ts";
import type { Typed, Typist } from "../test/helpers/typist.ts";

const MIB = 1 << 20;
const SYNC = "blocksync --bwlimit 2M laptop.img backup:laptop.img";
const QUESTION = "to go on:";

/** The commands in the code of the README's section of that title, without remarks and transcripts. */
export function commandsOf(readme: string, title: string): string[] {
  const section = readme.split(`\n## ${title}\n`)[1]?.split("\n## ")[0] ?? "";
  const code = section.replaceAll(/<!-- (\w+) -->[\s\S]*?<!-- \/\1 -->/g, "").matchAll(/^ {4}(\S.*?)(?: +# .*)?$/gm);
  return [...code].map(([, command = ""]) => command);
}

/** What stands between the marks of that name in the README, as lines of a terminal. */
export function transcriptOf(readme: string, mark: string): string[] {
  const text = readme.split(`<!-- ${mark} -->\n\n`)[1]?.split(`\n\n<!-- /${mark} -->`)[0] ?? "";
  return text.split("\n").map((line) => line.replace(/^ {4}/, ""));
}

/** Types each of the commands, and "yes" where the last of them that may overwrite a device asks. */
export async function typeAll(typist: Typist, commands: readonly string[]): Promise<(Typed & { command: string })[]> {
  const results: (Typed & { command: string })[] = [];
  for (const command of commands) {
    const asks = /^sudo blocksync [^-].* "\$disk"$/.test(command);
    results.push({ command, ...(await (asks ? typist.run(command, QUESTION, "yes") : typist.run(command))) });
  }
  return results;
}

/** The question of a command before it overwrites a loop device, with the answer. */
export function questionTranscript({ command, asked }: { command: string; asked: readonly string[] }): string[] {
  const shown = asked.slice(asked.findIndex((line) => line.startsWith("The block device")));
  return [`$ ${command}`, ...shown.slice(0, -1), `${shown.at(-1)} yes`].map((line) =>
    line.replaceAll(/\bloop\d+/g, "loop0"),
  );
}

function words(...argv: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(argv);
  if (exitCode !== 0) throw new Error(`${argv.join(" ")}: ${stderr.toString()}`);
}

/** A quarter of the image is a hole, the rest random. */
function makeImage(path: string, sizeMib: number): void {
  words("sh", "-c", `head -c ${(sizeMib * 3) / 4}M /dev/urandom > "$1" && truncate -s ${sizeMib}M "$1"`, "sh", path);
}

/** Changes an image as a day's use does: a few pages anywhere in the first half, a file rewritten, another erased. */
function useImage(path: string, sizeMib: number): void {
  const fd = fs.openSync(path, "r+");
  const at = (share: number) => Math.floor(share * sizeMib) * MIB;
  for (let i = 0; i < 30; i++) fs.writeSync(fd, "changed", at(0.5 * ((i * 0.618) % 1) ** 2));
  const piece = Buffer.alloc(65536);
  for (let offset = 0; offset < at(1 / 64); offset += piece.length)
    fs.writeSync(fd, crypto.getRandomValues(piece), 0, piece.length, at(0.4) + offset);
  fs.writeSync(fd, Buffer.alloc(at(1 / 64)), 0, at(1 / 64), at(0.68));
  fs.closeSync(fd);
}

/** A sync over ssh as a terminal shows it: the bar as it was on the way, then what stays on the screen. */
export async function syncTranscript(machine: FreshMachine, typist: Typist, sizeMib: number): Promise<string[]> {
  const { terminal, dir, enter } = machine;
  await typist.run("mkdir day && cd day");
  const image = dir.file("home/day/laptop.img");
  makeImage(image, sizeMib);
  words(...enter, "cp", "--sparse=always", image, "/root/laptop.img");
  useImage(image, sizeMib);
  let bar: readonly string[] = [];
  let ended = false;
  const watch = terminal.see("the bar", (lines) => {
    const at = lines.findIndex((line) => /^ *\d+% \[/.test(line));
    const seen = Number.parseInt(lines[at] ?? "", 10);
    if (seen <= 70 || bar.length === 0) bar = at < 0 ? bar : lines.slice(at, at + 2);
    return ended;
  });
  const { lines } = await typist.run(SYNC);
  ended = true;
  await watch;
  return [`$ ${SYNC}`, ...bar, ...lines.slice(lines.findIndex((line) => line.startsWith("Completed")))];
}

/** The words of a transcript without its numbers and bars: what is the same in every such run. */
export function shapeOf(lines: readonly string[]): string[] {
  return (
    lines
      .map((line) => line.replace(/\[[=> ]+\]/, "[bar]").replace(/(?<=^ {2}fingerprint +)[\da-f]+/, "N"))
      .map((line) =>
        /[·░▒▓█]/.test(line) ? "map" : line.replaceAll(/-:--:--|[\d.:-]*\d(?: (?:bytes|[KMGT]iB)\b)?/g, "N"),
      )
      // The bar was seen before anything was written, or after.
      .map((line) => line.replaceAll(/ {2,}/g, " ").replace(", N written, wire", ", wire"))
  );
}
