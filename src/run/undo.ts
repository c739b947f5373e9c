/** What is said of the undo file of a run. With -d qemu-img leaves it as it is, which it cannot empty on a full disk anyway. */
import { shownName } from "../name.ts";
import { quoteWord } from "../remote/host/quote.ts";
import type { Undo } from "../report/summary.ts";
import type { Description } from "../sync/endpoint.ts";
import type { Location } from "./location.ts";

/** The disk that an overlay shows has whole sectors. */
const SECTOR = 512;

/** The undo file of a run. */
export interface UndoChoice {
  readonly path: string;
  /** See UndoSpec.chain. */
  readonly chain: boolean;
}

/** What --undo means for a run that begins at `time`: a file, or behind a slash a folder, in which each run has one named by its time. */
export function undoChosen(option: string | undefined, time: Date): UndoChoice | undefined {
  if (option === undefined) return undefined;
  if (!option.endsWith("/")) return { path: option, chain: false };
  // Without colons, which QEMU takes for a protocol in a name without a slash.
  const name = time.toISOString().replaceAll(":", "-");
  return { path: `${option}${name}.qcow2`, chain: true };
}

/** The file at `path`, for a destination as it was `before` and a source of `sizeBytes`, where that is known; undefined where there is nothing to undo. */
export function undoOf(
  path: string,
  destination: Location,
  before: Description,
  sizeBytes: number | undefined,
): Undo | undefined {
  if (before.kind === "missing" || before.sizeBytes === 0) return undefined;
  const commands = [`qemu-img commit -d ${word(path)}`];
  const keepsSize =
    before.kind === "device" ||
    (sizeBytes !== undefined && before.sizeBytes >= sizeBytes && before.sizeBytes % SECTOR === 0);
  if (!keepsSize) commands.push(`truncate -s ${before.sizeBytes} ${word(destination.path)}`);
  const where = destination.remote === undefined ? "" : ` (on ${destination.remote.host})`;
  return { path, restore: `${commands.join(" && ")}${where}` };
}

/** As a shell takes it, where a terminal can show that. */
function word(path: string): string {
  const shown = shownName(path);
  return shown === path ? quoteWord(path) : shown;
}
