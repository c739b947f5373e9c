/** Bugs of what saves the destination's old contents (--undo). */
import type { Mutant } from "./mutant.ts";

export const UNDO: readonly Mutant[] = [
  {
    bug: "what is overwritten is saved meanwhile, not before",
    file: "local/endpoint.ts",
    from: "await this.#as?.undo?.save(leavesIn(",
    to: "void this.#as?.undo?.save(leavesIn(",
    tests: ["machine/undo.test.ts: D16.1"],
  },
  {
    bug: "sectors of a failing source overwrite what was not saved",
    file: "local/endpoint.ts",
    from: "    await this.#as?.undo?.save(sectorsIn(place, salvage.sectors));\n",
    to: "",
    tests: ["machine/undo.test.ts: what is patched"],
  },
  {
    bug: "the tail that is cut off is not saved",
    file: "local/fitting.ts",
    from: "    if (cut) await undo?.saveTail(sizeBytes);\n",
    to: "",
    tests: ["machine/undo.test.ts: a destination that grows"],
  },
  {
    bug: "entries lead to data that is not durable yet",
    file: "local/undo/saver.ts",
    from: "        const entries = await this.#store(taken, staged?.entries ?? new Map());\n",
    to: "        const entries = await this.#store(taken, staged?.entries ?? new Map());\n        await this.#overlay.enter(entries);\n",
    tests: ["unit/undo-overlay.test.ts"],
  },
  {
    bug: "who waits goes on before the entries are durable",
    file: "local/undo/saver.ts",
    from: "        await this.#overlay.sync();\n        for (const { done } of staged?.requests ?? []) done.resolve();\n",
    to: "        for (const { done } of staged?.requests ?? []) done.resolve();\n        await this.#overlay.sync();\n",
    tests: ["unit/undo-overlay.test.ts"],
  },
  {
    bug: "what lies behind the old end is saved with the last leaf",
    file: "local/undo/saver.ts",
    from: "Math.min(bytes.length, sizeBytes - offset)",
    to: "bytes.length",
    tests: ["unit/undo-overlay.test.ts"],
  },
  {
    bug: "refcounts are found before they are durable",
    file: "local/undo/overlay.ts",
    from: "    this.#end += count * clusterSize;\n    await settle();\n",
    to: "    this.#end += count * clusterSize;\n",
    tests: ["unit/undo-overlay.test.ts"],
  },
  {
    bug: "a run that starts over forgets where the file ends",
    file: "local/undo/overlay.ts",
    from: "overlay.#end = Math.max(tablesEnd, Math.ceil(size / clusterSize) * clusterSize);",
    to: "overlay.#end = Math.max(tablesEnd, 0 * size);",
    tests: ["machine/undo.test.ts: goes on with its own undo file"],
  },
  {
    bug: "any file of --undo is gone on with",
    file: "local/undo/undo.ts",
    from: "head !== undefined && Buffer.from(run).equals(head.run) && head.backing === absolute(target.path)",
    to: "head !== undefined && run.length > 0 && head.backing === absolute(target.path)",
    tests: ["machine/undo.test.ts: goes on with its own undo file"],
  },
  {
    bug: "older days go on with the destination, which is overwritten",
    file: "local/undo/chain.ts",
    from: "if (head?.backing !== backing) continue;",
    to: "if (head?.backing !== backing || count === 0) continue;",
    tests: ["machine/undo-chain.test.ts: D16.2 a folder keeps"],
  },
  {
    bug: "an overlay is taken for a raw disk by the older one",
    file: "local/undo/qcow2.ts",
    from: 'backing.startsWith("/") ? "raw" : "qcow2"',
    to: 'backing.startsWith("/") ? "raw" : "raw"',
    tests: ["machine/undo-chain.test.ts: D16.2 a folder keeps"],
  },
];
