/** What a local endpoint is opened with. */
import type { Overridable } from "../errors.ts";
import type { EndpointRole } from "../sync/endpoint.ts";
import type { Examination } from "../sync/facts.ts";
import type { HashChoice } from "./work/hash.ts";

export interface LocalOptions {
  readonly path: string;
  /** The name in messages. */
  readonly label: string;
  readonly role: EndpointRole;
  /** Opens a destination for reading: for a dry run or a comparison. */
  readonly readOnly: boolean;
  /** One more lane of a run whose first one has claimed, created and sized the destination: this one does not. */
  readonly joins: boolean;
  readonly blockSize: number;
  readonly hash: HashChoice;
  /** Drop what was read from the page cache (--fadvise). */
  readonly dropCache: boolean;
  /** Let a device forget what becomes zero (--discard). */
  readonly discard: boolean;
  /** Refusals that the user overrides (--allow). */
  readonly allowed: readonly Overridable[];
  /** How far to look for file systems and partition tables, for Description.facts. */
  readonly examine: Examination;
  /** Tells what is worth knowing under -v. */
  readonly onNote: (text: string) => void;
  /** Endpoints in this process that share the memory of one. */
  readonly sharers: number;
}
