/** What an endpoint of this machine is opened with. */
import type { HashChoice, Opening } from "../sync/spec.ts";

/** How it is opened here; with which hash may be settled while it is claimed. */
export type LocalSpec = Opening & { readonly hash: HashChoice | (() => Promise<HashChoice>) };

/** What only this process has to do with. */
export interface Surroundings {
  /** Tells what is worth knowing under -v. */
  readonly onNote: (text: string) => void;
  /** Endpoints in this process that share the memory of one. */
  readonly sharers: number;
  /** Ends scans, waits for memory and long looks at bad places when it is aborted; what is written by then can still be flushed. */
  readonly signal: AbortSignal;
}
