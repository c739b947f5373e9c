/** Asks before a block device is overwritten. */
import { createInterface } from "node:readline";
import { RefusedError } from "../errors.ts";
import { formatBytes } from "../report/format.ts";
import type { Description } from "../sync/endpoint.ts";

/**
 * Returns once the user typed "yes" on the terminal.
 * @throws {RefusedError} for any other answer, and without a terminal.
 */
export async function confirmOverwrite(source: Description, destination: Description): Promise<void> {
  const name = JSON.stringify(destination.label);
  if (!process.stdin.isTTY) {
    throw new RefusedError(
      `Refused to write to ${name}: it is a block device and there is no terminal to ask on (unconfirmed)`,
      {
        hint: "--force overwrites a device without asking",
      },
    );
  }
  const question = [
    `The block device ${name} (${formatBytes(destination.sizeBytes)}) WILL BE PERMANENTLY CHANGED`,
    `to equal ${JSON.stringify(source.label)} (${formatBytes(source.sizeBytes)}).`,
    'Type "yes" to go on: ',
  ].join("\n");
  if ((await ask(question)) !== "yes") {
    throw new RefusedError(`Refused to write to ${name}: not confirmed (unconfirmed)`, { hint: "nothing was written" });
  }
}

function ask(question: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  return new Promise((resolve) => {
    let answer = "";
    // In raw mode the terminal sends Ctrl-C as a character; hand it on as the signal it stands for.
    terminal.on("SIGINT", () => process.kill(process.pid, "SIGINT"));
    terminal.on("close", () => resolve(answer));
    terminal.question(question, (line) => {
      answer = line.trim();
      terminal.close();
    });
  });
}
