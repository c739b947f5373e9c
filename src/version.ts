/** What this build is: the version from package.json and a digest of the sources, put in by scripts/build.ts. */
import manifest from "../package.json" with { type: "json" };

declare const BLOCKSYNC_BUILD: string | undefined;

export const VERSION: string = manifest.version;
/** Twelve hexadecimal digits; equal for all platforms built from the same sources. */
export const BUILD: string = typeof BLOCKSYNC_BUILD === "string" ? BLOCKSYNC_BUILD : "development";
