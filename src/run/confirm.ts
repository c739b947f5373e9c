/** Asks before a block device, or what looks like another file, is overwritten, and shows what that is; and about a doubtful name. */

import { createInterface } from "node:readline";
import { refused, refusedDestination } from "../errors.ts";
import { formatBytes } from "../format.ts";
import { quote } from "../name.ts";
import { onAbort } from "../sync/abort.ts";
import type { Description } from "../sync/endpoint.ts";
import type { Content, Facts, Signature } from "../sync/facts.ts";
import { foreignContents, isAnother } from "../sync/pair.ts";

/** Whether there is a terminal to ask on, where the question is seen and the answer read. */
export function canAsk(): boolean {
  return process.stdin.isTTY && process.stderr.isTTY;
}

/**
 * Whether a question comes first: before a device is overwritten, and on a terminal before a file that looks like another's
 * is, or one is created whose name is `doubtful`.
 */
export function asksAbout(source: Description, destination: Description, doubtful: boolean): boolean {
  const { kind } = destination;
  return kind === "device" || (canAsk() && (kind === "missing" ? doubtful : isAnother(source, destination)));
}

/**
 * Returns once the user agreed on the terminal: by typing "yes", or the device's short name when it carries something
 * that is not the source's. The question says the `notices` too, and nothing else of a file that is to be created.
 * @throws {RefusedError} for any other answer, and for a device without a terminal.
 */
export async function confirm(
  source: Description,
  destination: Description,
  notices: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const { label } = destination;
  if (!canAsk()) {
    const why = "it is a block device and there is no terminal to ask on";
    throw refusedDestination(label, "unconfirmed", why, "--force overwrites a device without asking");
  }
  const said = notices.map((notice) => (notice.endsWith("?") ? notice : `${notice}.`));
  if (destination.kind === "missing") {
    if ((await ask([...said, 'Type "yes" to create it: '].join("\n"), signal)) === "yes") return;
    throw refused("create", label, "unconfirmed", "not confirmed", "nothing was written");
  }
  const { facts } = destination;
  const isDevice = destination.kind === "device";
  const isForeign = foreignContents(source.facts, facts).length > 0;
  const name = facts?.name ?? "";
  const answer = isForeign && name !== "" ? name : "yes";
  const question = [
    `The ${isDevice ? "block device" : "file"} ${quote(label)} (${formatBytes(destination.sizeBytes)}) WILL BE PERMANENTLY CHANGED`,
    `to equal ${quote(source.label)} (${formatBytes(source.sizeBytes)}).`,
    ...(isDevice
      ? factLines(facts)
      : [`    source: ${looks(source.facts?.contents[0])}`, `    destination: ${looks(facts?.contents[0])}`]),
    ...said,
    ...(isDevice ? [] : ["It does not look like an earlier copy of the source."]),
    ...(answer === "yes" ? [] : ["What it carries is not the source's and will be lost."]),
    `Type "${answer}" to go on: `,
  ].join("\n");
  if ((await ask(question, signal)) !== answer) {
    throw refusedDestination(label, "unconfirmed", "not confirmed", "nothing was written");
  }
}

/** What is known of a device, a line for itself and one for each thing on it. */
export function factLines(facts: Facts | undefined): string[] {
  if (facts === undefined) return [];
  const { name, model, serial, transport, contents } = facts;
  const hardware = [model, serial === "" ? "" : `serial ${serial}`, transport].filter((text) => text !== "").join(", ");
  const own = [name, hardware].filter((text) => text !== "").join(": ");
  return [...(own === "" ? [] : [`    ${own}`]), ...contents.map(contentLine)];
}

function contentLine(content: Content): string {
  const { name, sizeBytes } = content;
  return `    ${name === "" ? "" : `${name} (${formatBytes(sizeBytes)}): `}${looks(content)}`;
}

function looks(content: Content | undefined): string {
  if (content?.signatures === undefined) return "unknown, since it cannot be read";
  return content.signatures.map(signatureText).join("; ") || "no known file system, partition table or format";
}

function signatureText({ type, label, uuid, note }: Signature): string {
  const identity = label === "" ? uuid : quote(label);
  return [identity === "" ? type : `${type} ${identity}`, note].filter((text) => text !== "").join(", ");
}

/** "" for no answer, and as soon as `signal` is aborted. */
async function ask(question: string, signal: AbortSignal): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  using _ = onAbort(signal, () => terminal.close());
  return await new Promise((resolve) => {
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
