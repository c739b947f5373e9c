/** What a run is asked to do, converted and checked: what cli/ makes of the command line. */

import type { Overridable } from "../errors.ts";
import type { ShellOptions } from "../remote/host/ssh.ts";
import type { ProgressMode } from "../report/progress.ts";
import type { ListMeaning } from "../sync/block-list.ts";
import type { HashName } from "../sync/spec.ts";
import type { ChangeMapChoice } from "./change-map.ts";
import type { StreamOptions } from "./source.ts";

/** How a far side is reached, and what is said of it: what all commands with a HOST have in common. */
export interface HostOptions {
  readonly shell: ShellOptions;
  /** Name of the environment variable that holds the ssh password. */
  readonly passwordVariable: string | undefined;
  /** --reconnect: how long another connection is tried where one was lost, and waited for on the far side; 0 for not at all. */
  readonly reconnectMs: number;
  /** --timeout: how long the far side may be silent. */
  readonly timeoutSeconds: number;
  /** Where a remote keeps its copy of the program, before the usual places; "" for none. */
  readonly remoteDirectory: string;
  readonly quiet: boolean;
  readonly verbose: boolean;
}

/** Where a run says what it has to say, and how much. */
export interface MessageOptions {
  readonly outputFile: string | undefined;
  readonly quiet: boolean;
  readonly verbose: boolean;
}

/** What sync and compare have in common. */
export interface CommonOptions extends HostOptions, MessageOptions {
  readonly blockSize: number;
  /** "auto" is the fastest that both sides can be fast with. */
  readonly hash: HashName | "auto";
  readonly additionalHash: HashName | undefined;
  /** Whether anything was given that is about reaching a host. */
  readonly forHost: boolean;
  /** --fadvise as two answers. */
  readonly dropCacheHere: boolean;
  readonly dropCacheThere: boolean;
  readonly pauseMs: number;
  readonly sudo: boolean;
  readonly script: string | undefined;
  /** --interval; undefined for what suits where progress goes. */
  readonly intervalMs: number | undefined;
  readonly progress: ProgressMode;
  readonly json: boolean;
  /** --map; undefined where it was not given. */
  readonly changeMap: ChangeMapChoice | undefined;
  /** Things to tell the user about the options themselves. */
  readonly notices: readonly string[];
}

export interface SyncCommandOptions extends CommonOptions {
  /** --bwlimit; undefined for none. */
  readonly bytesPerSecond: number | undefined;
  /** --workers: how many share the work. */
  readonly lanes: number;
  /** Between the starts of two lanes. */
  readonly splayMs: number;
  /** Let a device forget what becomes zero. */
  readonly discard: boolean;
  /** zstd for what is sent. */
  readonly compress: boolean;
  /** Read both sides again afterwards. */
  readonly verify: boolean;
  /** Go on where the source cannot be read. */
  readonly skip: boolean;
  /** How often bad sectors are tried again; undefined for not, and those that the rescue map calls bad not at all. */
  readonly retries: number | undefined;
  readonly rescueMap: string | undefined;
  /** --undo: a file on the destination's machine, or with a slash at its end a folder. */
  readonly undo: string | undefined;
  readonly dryRun: boolean;
  readonly createDestination: boolean;
  readonly force: boolean;
  /** Refusals that are overridden. */
  readonly allowed: readonly Overridable[];
  /** In bytes; undefined where any will do. */
  readonly expectSize: number | undefined;
  readonly expectSerial: string | undefined;
  readonly stream: StreamOptions;
  /** --used-blocks or --changed-blocks: the file of the list, and what it means. */
  readonly list: { readonly path: string; readonly meaning: ListMeaning } | undefined;
}
