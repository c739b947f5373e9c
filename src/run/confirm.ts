/** Asks before a block device, or what looks like another file, is overwritten, and shows what that is; and about a doubtful name. */

import { isTerminal, loadReadline } from "../builtin.ts";
import { refused, refusedDestination } from "../errors.ts";
import { formatBytes } from "../format.ts";
import { quote } from "../name.ts";
import { hear } from "../report/hear.ts";
import { onAbort } from "../sync/abort.ts";
import type { Description } from "../sync/endpoint.ts";
import type { Content, Facts, Signature } from "../sync/facts.ts";
import { foreignContents, isAnother } from "../sync/pair.ts";
import { hasTerminal, openTerminal, untilForeground } from "./terminal.ts";

/** Whether there is a terminal to ask on, where the question is seen and the answer read; not from standard input if that `isSource`. */
export function canAsk(isSource = false): boolean {
  return isTerminal(2) && (isSource ? hasTerminal() : isTerminal(0));
}

/**
 * Whether a question comes first: before a device is overwritten, and on a terminal before a file that looks like another's
 * is, or one is created whose name is `doubtful`.
 */
export function asksAbout(source: Description, destination: Description, doubtful: boolean, isSource = false): boolean {
  const { kind } = destination;
  return kind === "device" || (canAsk(isSource) && (kind === "missing" ? doubtful : isAnother(source, destination)));
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
  isSource = false,
): Promise<void> {
  const { label } = destination;
  const ask = (question: string) => askOn(isSource, question, signal);
  if (!canAsk(isSource)) {
    const why = "it is a block device and there is no terminal to ask on";
    throw refusedDestination(label, "unconfirmed", why, "--force overwrites a device without asking");
  }
  const said = notices.map((notice) => (notice.endsWith("?") ? notice : `${notice}.`));
  if (destination.kind === "missing") {
    if ((await ask([...said, 'Type "yes" to create it: '].join("\n"))) === "yes") return;
    throw refused("create", label, "unconfirmed", "not confirmed", "nothing was written");
  }
  const { facts } = destination;
  const isDevice = destination.kind === "device";
  const isForeign = foreignContents(source.facts, facts).length > 0;
  const name = facts?.name ?? "";
  const answer = isForeign && name !== "" ? name : "yes";
  const question = [
    `The ${isDevice ? "block device" : "file"} ${quote(label)} (${formatBytes(destination.sizeBytes)}) WILL BE PERMANENTLY CHANGED`,
    `to equal ${quote(source.label)} (${source.sizeBytes === 0 && source.kind === "stream" ? "of unknown size" : formatBytes(source.sizeBytes)}).`,
    ...(isDevice
      ? factLines(facts)
      : [`    source: ${looks(source.facts?.contents[0])}`, `    destination: ${looks(facts?.contents[0])}`]),
    ...said,
    ...(isDevice ? [] : ["It does not look like an earlier copy of the source."]),
    ...(answer === "yes" ? [] : ["Its present contents are not the source's and will be lost."]),
    `Type "${answer}" to go on: `,
  ].join("\n");
  if ((await ask(question)) !== answer) {
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

/**
 * "" for no answer, and as soon as `signal` is aborted. The terminal stays as it is, so that its keys do what they always do and
 * nothing has to be put right again.
 */
async function askOn(isSource: boolean, question: string, signal: AbortSignal): Promise<string> {
  const show = async () => {
    await untilForeground(signal);
    process.stderr.write(question);
  };
  await show();
  using owned = new DisposableStack();
  const input = isSource ? owned.adopt(openTerminal(), (terminal) => terminal.destroy()) : process.stdin;
  const lines = loadReadline().createInterface({ input, terminal: false });
  using _ = onAbort(signal, () => lines.close());
  // After Ctrl-Z, bg and fg, too: what is typed meanwhile is the shell's.
  using _again = hear("SIGCONT", () => {
    lines.pause();
    show().then(
      () => lines.resume(),
      () => undefined,
    );
  });
  return await new Promise((resolve) => {
    let answer: string | undefined;
    lines.once("line", (line) => {
      answer = line.trim();
      lines.close();
    });
    lines.once("close", () => {
      // What is said next begins a line, behind ^C and ^D too.
      if (answer === undefined) process.stderr.write("\n");
      resolve(answer ?? "");
    });
  });
}
