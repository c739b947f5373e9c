/** Compiles one executable of blocksync. The reasons for the options are beside them. */
import fs from "node:fs";
import { join } from "node:path";
import { libraryOf, programMark, TARGETS, type Target } from "../src/remote/host/target.ts";
import { buildId } from "./build-id.ts";
import { readElf } from "./elf.ts";

const root = join(import.meta.dir, "..");

/** The target that a Bun executable is, such as the one that runs this. @throws {RangeError} when it is none of ours. */
export function targetOfBun(path: string): Target {
  const { machine, interpreter } = readElf(fs.readFileSync(path));
  const libc = interpreter?.includes("musl") === true ? "musl" : "glibc";
  const target = TARGETS.find((one) => one.elfMachine === machine && one.libc === libc);
  if (target === undefined) throw new RangeError(`${path} is for a platform that blocksync is not built for`);
  return target;
}

/** The hash addon for a target, below the packages in `modules`. */
export function addonPath(modules: string, { name, libc }: Target): string {
  const suffix = libc === "glibc" ? `${name}-gnu` : name;
  return join(modules, `@node-rs/xxhash-${suffix}/xxhash.${suffix}.node`);
}

/** What stands for the package of the hash addon in a program. */
const ADDON = [
  'import path from "addon:file";',
  `import { loadInner } from ${JSON.stringify(join(root, "src/local/kernel/libc.ts"))};`,
  "export const { xxh3 } = loadInner(path);",
].join("\n");

/**
 * Writes the executable `outfile` for a target, from the Bun executable `bun` and the packages in `modules`. Equal sources
 * and packages give equal bytes, whatever the folder and the name: those of the file Bun writes go into it, so it is always
 * called "blocksync" first. @throws {AggregateError} with what is wrong in the sources.
 */
export async function compile(target: Target, bun: string, modules: string, outfile: string): Promise<void> {
  const folder = `${outfile}.part-${process.pid}`;
  fs.mkdirSync(folder, { recursive: true });
  try {
    await Bun.build({
      // A thread starts with a file of its own, which must be an entry point, and is looked for beside main's.
      entrypoints: ["main.ts", "local/work/job-thread.ts", "local/kernel/aside-thread.ts"].map((file) =>
        join(root, "src", file),
      ),
      naming: { entry: "[name].[ext]" },
      minify: true,
      // Start-up 24 ms instead of 40; bytecode needs the module format named.
      bytecode: true,
      format: "esm",
      define: {
        BLOCKSYNC_MARK: JSON.stringify(programMark(buildId(), target.name)),
        BLOCKSYNC_LIBRARY: JSON.stringify(libraryOf(target)),
        // Otherwise that of whoever builds goes into the program.
        "process.env.NODE_ENV": '"production"',
      },
      loader: { ".node": "file" },
      plugins: [
        {
          name: "addon",
          // Not the package's own search, which takes the first addon that is installed, or one that a variable of the
          // environment names; and loaded from memory, where Bun would leave a file behind.
          setup: (build) => {
            build.onResolve({ filter: /^@node-rs\/xxhash$/ }, ({ path }) => ({ path, namespace: "addon" }));
            build.onLoad({ filter: /./, namespace: "addon" }, () => ({ contents: ADDON, loader: "ts" }));
            build.onResolve({ filter: /^addon:file$/ }, () => ({ path: addonPath(modules, target) }));
          },
        },
      ],
      compile: {
        target: `bun-${target.name}` as Bun.Build.CompileTarget,
        // Without it Bun would fetch the target's executable from another place than the registry.
        executablePath: bun,
        outfile: join(folder, "blocksync"),
        // Whoever owns the folder blocksync is started in must not get to run code in it.
        autoloadDotenv: false,
        autoloadBunfig: false,
        // Any option does: without one Bun ends before main when the current folder was deleted, with exit code 1, which
        // of compare and a dry run means "differs" (1.4.5, measured). There is nothing to install, so this one changes nothing.
        execArgv: ["--no-install"],
      },
    });
    fs.renameSync(join(folder, "blocksync"), outfile);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}
