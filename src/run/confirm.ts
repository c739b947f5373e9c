/** Asks before a block device, or what looks like another file, is overwritten, and shows what that is. */

import { createInterface } from "node:readline";
import { refusedDestination } from "../errors.ts";
import { formatBytes } from "../format.ts";
import { quote } from "../name.ts";
import type { Description } from "../sync/endpoint.ts";
import { type Content, type Facts, foreignContents, type Signature } from "../sync/facts.ts";
import { isAnother } from "../sync/pair.ts";

/** Whether there is a terminal to ask on, where the question is seen and the answer read. */
export function canAsk(): boolean {
  return process.stdin.isTTY && process.stderr.isTTY;
}

/** Whether the destination is overwritten only after a question: a device, and on a terminal a file that is another's. */
export function asksAbout(source: Description, destination: Description): boolean {
  return destination.kind === "device" || (canAsk() && isAnother(source, destination));
}

/**
 * Returns once the user agreed on the terminal: by typing "yes", or the device's short name when it carries something
 * that is not the source's. The question says the `notices` too.
 * @throws {RefusedError} for any other answer, and without a terminal.
 */
export async function confirmOverwrite(
  source: Description,
  destination: Description,
  notices: readonly string[],
): Promise<void> {
  const { label } = destination;
  if (!canAsk()) {
    const why = "it is a block device and there is no terminal to ask on";
    throw refusedDestination(label, "unconfirmed", why, "--force overwrites a device without asking");
  }
  const { facts } = destination;
  const isForeign = foreignContents(source.facts, facts).length > 0;
  const name = facts?.name ?? "";
  const answer = isForeign && name !== "" ? name : "yes";
  const question = [
    `The ${destination.kind === "device" ? "block device" : "file"} ${quote(label)} (${formatBytes(destination.sizeBytes)}) WILL BE PERMANENTLY CHANGED`,
    `to equal ${quote(source.label)} (${formatBytes(source.sizeBytes)}).`,
    ...(facts === undefined ? [] : factLines(facts)),
    ...notices.map((notice) => (notice.endsWith("?") ? notice : `${notice}.`)),
    ...(destination.kind === "device" ? [] : ["It does not look like an earlier copy of the source."]),
    ...(answer === "yes" ? [] : ["What it carries is not the source's and will be lost."]),
    `Type "${answer}" to go on: `,
  ].join("\n");
  if ((await ask(question)) !== answer) {
    throw refusedDestination(label, "unconfirmed", "not confirmed", "nothing was written");
  }
}

/** What is known of a device, a line for itself and one for each thing on it. */
export function factLines(facts: Facts): string[] {
  const { name, model, serial, transport, contents } = facts;
  const hardware = [model, serial === "" ? "" : `serial ${serial}`, transport].filter((text) => text !== "").join(", ");
  const own = [name, hardware].filter((text) => text !== "").join(": ");
  return [...(own === "" ? [] : [`    ${own}`]), ...contents.map(contentLine)];
}

function contentLine({ name, sizeBytes, signatures }: Content): string {
  const carried =
    signatures === undefined
      ? "unknown, it cannot be read"
      : signatures.map(signatureText).join("; ") || "nothing that is known";
  return `    ${name === "" ? "it carries" : `${name} (${formatBytes(sizeBytes)}):`} ${carried}`;
}

function signatureText({ type, label, uuid, note }: Signature): string {
  const identity = label === "" ? uuid : quote(label);
  return [identity === "" ? type : `${type} ${identity}`, note].filter((text) => text !== "").join(", ");
}

function ask(question: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  return new Promise((resolve) => {
    let answer = "";
    // In raw mode the terminal sends Ctrl-C as a character; hand it on as the signal it stands for.
    terminal.on("SIGINT", () => process.kill(process.pid, "SIGINT"));
    // After Ctrl-Z and fg nobody would read any more, and the terminal stays in raw mode (readline pauses its input).
    terminal.on("SIGCONT", () => terminal.resume());
    terminal.on("close", () => resolve(answer));
    terminal.question(question, (line) => {
      answer = line.trim();
      terminal.close();
    });
  });
}
