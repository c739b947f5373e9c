/** What this build is: the version from package.json, and a digest of the sources and a target put in by scripts/compile.ts. */
import manifest from "../package.json" with { type: "json" };

/** programMark() of remote/host/target.ts, in one piece, so that it is found in the executable. */
declare const BLOCKSYNC_MARK: string | undefined;

const [, build, target] = /^\S+ (\S+) (\S+)\.$/.exec(typeof BLOCKSYNC_MARK === "string" ? BLOCKSYNC_MARK : "") ?? [];

export const VERSION: string = manifest.version;
/** Twelve hexadecimal digits; equal for all platforms built from the same sources. */
export const BUILD: string = build ?? "development";
/** The name of a target of remote/host/target.ts. */
export const TARGET: string = target ?? "none";
