/** Whether an executable is what it claims to be: for its target, with the libraries and the addon of it. Pure. */
import { MARK_WITHIN, OLDEST_GLIBC, type Target } from "../src/remote/host/target.ts";
import { readElf } from "./elf.ts";

/** Libraries that a far side may be asked for: of glibc itself, or of musl with libstdc++ (which brings libgcc_s). */
const LIBRARIES: Readonly<Record<Target["libc"], RegExp>> = {
  glibc: /^(libc\.so\.6|libm\.so\.6|libdl\.so\.2|libpthread\.so\.0|ld-linux-(x86-64|aarch64)\.so\.[12])$/,
  musl: /^(libc\.musl-(x86_64|aarch64)\.so\.1|libstdc\+\+\.so\.6|libgcc_s\.so\.1)$/,
};

export interface Addon {
  readonly target: Target;
  readonly bytes: Uint8Array;
}

export interface Artifact {
  readonly needed: readonly string[];
  /** The highest version of a glibc symbol, such as "2.17"; undefined for musl. */
  readonly glibc: string | undefined;
}

function highest(versions: readonly string[]): string | undefined {
  return versions
    .flatMap((version) => /^GLIBC_([\d.]+)$/.exec(version)?.[1] ?? [])
    .sort((a, b) => a.localeCompare(b, "en", { numeric: true }))
    .at(-1);
}

/** `mark` is what the program must say of itself, `addons` those of all targets. @throws {Error} with what is wrong. */
export function checkArtifact(bytes: Uint8Array, target: Target, mark: string, addons: readonly Addon[]): Artifact {
  const wrong = (what: string) => new Error(`blocksync-${target.name} is not what it claims: ${what}`);
  const { machine, interpreter, needed, versions } = readElf(bytes);
  if (machine !== target.elfMachine) throw wrong(`its machine is ${machine}, not ${target.elfMachine}`);
  if (interpreter !== target.interpreter) throw wrong(`it is started by ${interpreter}, not ${target.interpreter}`);
  const surplus = needed.filter((name) => !LIBRARIES[target.libc].test(name));
  if (surplus.length > 0) throw wrong(`it needs ${surplus.join(" ")}`);
  const glibc = highest(versions);
  if ((glibc === undefined) !== (target.libc === "musl")) throw wrong(`its symbols are of glibc ${glibc}`);
  if (glibc !== undefined && glibc.localeCompare(OLDEST_GLIBC, "en", { numeric: true }) > 0)
    throw wrong(`it needs glibc ${glibc}, more than ${OLDEST_GLIBC}`);
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (!buffer.subarray(-MARK_WITHIN).includes(mark, 0, "latin1"))
    throw wrong(`it does not say ${JSON.stringify(mark)}`);
  for (const addon of addons) {
    if (buffer.includes(addon.bytes) !== (addon.target === target))
      throw wrong(`the hash addon for ${addon.target.name} is ${addon.target === target ? "not " : ""}in it`);
  }
  return { needed, glibc };
}
