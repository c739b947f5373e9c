/** What is measured: every case and its contenders, as data. */
import { choosePages, pageBytes } from "./images.ts";
import { type Command, quoteWord } from "./process.ts";
import type { SshServer } from "./sshd.ts";
import type { Workspace } from "./workspace.ts";

export interface Contender extends Command {
  readonly name: string;
  /** The program that must be on PATH, when it is not the first word. */
  readonly needs?: string;
  /** Set for what does only part of the work: seconds apart say more than a ratio. */
  readonly compareBy?: "difference";
}

/** The other's median must be at least `ratio` times blocksync's. */
export interface Goal {
  readonly against: string;
  readonly ratio: number;
}

export interface Case {
  readonly name: string;
  readonly title: string;
  /** Once, before the first run. */
  setup(): Promise<void>;
  /** Before every run, not timed. */
  prepare(): Promise<void>;
  /** The image the destination must equal after a run; undefined when nothing is written. */
  readonly expected?: string;
  /** blocksync is the first. */
  readonly contenders: readonly [Contender, ...Contender[]];
  readonly goal?: Goal;
  /** How many bytes differ before a run, to set what was sent and written against. */
  readonly changedBytes?: number;
  /** Report how much of the destination is on the disk. */
  readonly reportSparseness?: boolean;
}

export const CASE_NAMES = [
  "local-identical",
  "ssh-identical",
  "ssh-pages",
  "ssh-fresh",
  "local-fresh",
  "ssh-fresh-compressible",
] as const;

export type CaseName = (typeof CASE_NAMES)[number];

export function needsSsh(name: CaseName): boolean {
  return name.startsWith("ssh-");
}

const CHANGED_PAGES = 5000;

/** -I: the files' times and sizes agree, so without it rsync would not look inside. */
const RSYNC = ["rsync", "-I", "--inplace", "--no-whole-file"] as const;

const DD_PAIR = 'dd if="$1" of=/dev/null bs=1M & first=$!; dd if="$2" of=/dev/null bs=1M && wait "$first"';

const FURTHER_PEERS = { "blocksync-fast": "BLOCKSYNC_FAST", bdsync: "BDSYNC", "blocksync.py": "BLOCKSYNC_PY" } as const;

/** Contenders the user describes, since their options differ from version to version. */
function furtherPeers(source: string, destination: string): Contender[] {
  return Object.entries(FURTHER_PEERS).flatMap(([name, variable]) => {
    const script = process.env[variable];
    if (script === undefined || script === "") return [];
    return [{ name, argv: ["sh", "-c", script], env: { SOURCE: source, DESTINATION: destination } }];
  });
}

/** A command of one shell line whose $1, $2, … are `words`. */
function shell(name: string, needs: string, script: string, ...words: string[]): Contender {
  return { name, needs, argv: ["sh", "-c", script, "sh", ...words] };
}

/** The page cache is kept warm (-d 0), as the peers keep it. */
function blocksync(program: string, words: readonly string[], env: Readonly<Record<string, string>> = {}): Contender {
  return { name: "blocksync", argv: [program, "-q", "-f", "-d", "0", "--json", ...words], env };
}

function localIdentical(program: string, workspace: Workspace): Case {
  const { randomImage: source, destination } = workspace;
  return {
    name: "local-identical",
    title: "Two equal files on this machine",
    setup: async () => {
      await workspace.needRandomImage();
      await workspace.copyToDestination(source);
    },
    prepare: () => Promise.resolve(),
    contenders: [
      blocksync(program, [source, destination]),
      { name: "cmp", argv: ["cmp", source, destination] },
      shell("2 × dd", "dd", DD_PAIR, source, destination),
      { name: "rsync", argv: [...RSYNC, source, destination] },
      ...furtherPeers(source, destination),
    ],
    goal: { against: "cmp", ratio: 2.5 },
  };
}

function localFresh(program: string, workspace: Workspace): Case {
  const { randomImage: source, destination } = workspace;
  return {
    name: "local-fresh",
    title: "A new file on this machine, random data, flushed",
    setup: () => workspace.needRandomImage(),
    prepare: async () => workspace.removeDestination(),
    expected: source,
    contenders: [
      blocksync(program, [source, destination]),
      shell("cp + sync", "cp", 'cp --sparse=never --reflink=never "$1" "$2" && sync "$2"', source, destination),
    ],
  };
}

/** The cases over ssh share how each contender reaches the far end. */
class SshCases {
  readonly #program: string;
  readonly #workspace: Workspace;
  readonly #ssh: SshServer;

  constructor(program: string, workspace: Workspace, ssh: SshServer) {
    this.#program = program;
    this.#workspace = workspace;
    this.#ssh = ssh;
  }

  get #target(): string {
    return `${this.#ssh.host}:${this.#workspace.destination}`;
  }

  #blocksync(source: string): Contender {
    const words = ["-x", `-F ${quoteWord(this.#ssh.configFile)}`, source, this.#target];
    return blocksync(this.#program, words, { BLOCKSYNC_REMOTE_DIR: this.#workspace.remoteDirectory });
  }

  #rsync(source: string): Contender {
    const rsh = `ssh -F ${quoteWord(this.#ssh.configFile)}`;
    return { name: "rsync", argv: [...RSYNC, "-e", rsh, source, this.#target] };
  }

  #cat(source: string): Contender {
    const file = quoteWord(this.#workspace.destination);
    const remote = `cat > ${file} && sync ${file}`;
    return shell(
      "ssh cat",
      "ssh",
      'exec ssh -F "$1" "$2" "$3" < "$4"',
      this.#ssh.configFile,
      this.#ssh.host,
      remote,
      source,
    );
  }

  identical(): Case {
    const workspace = this.#workspace;
    const source = workspace.randomImage;
    return {
      name: "ssh-identical",
      title: "Two equal files, one of them over ssh",
      setup: async () => {
        await workspace.needRandomImage();
        await workspace.copyToDestination(source);
      },
      prepare: () => Promise.resolve(),
      contenders: [
        this.#blocksync(source),
        this.#rsync(source),
        {
          name: "ssh true",
          argv: ["ssh", "-F", this.#ssh.configFile, this.#ssh.host, "true"],
          compareBy: "difference",
        },
      ],
      goal: { against: "rsync", ratio: 4 },
    };
  }

  pages(): Case {
    const workspace = this.#workspace;
    const source = workspace.randomImage;
    const pages = choosePages(workspace.sizeMib, CHANGED_PAGES);
    return {
      name: "ssh-pages",
      title: `${pages.length} scattered 4 KiB pages differ, over ssh`,
      setup: async () => {
        await workspace.needRandomImage();
        await workspace.copyToDestination(source);
      },
      prepare: () => workspace.changeDestination(pages),
      expected: source,
      contenders: [this.#blocksync(source), this.#rsync(source)],
      goal: { against: "rsync", ratio: 1 },
      changedBytes: pageBytes(pages),
    };
  }

  fresh(): Case {
    const workspace = this.#workspace;
    const source = workspace.randomImage;
    return {
      name: "ssh-fresh",
      title: "A new file over ssh, random data, flushed",
      setup: () => workspace.needRandomImage(),
      prepare: async () => workspace.removeDestination(),
      expected: source,
      contenders: [this.#blocksync(source), this.#cat(source)],
      goal: { against: "ssh cat", ratio: 0.8 },
    };
  }

  freshCompressible(): Case {
    const workspace = this.#workspace;
    const source = workspace.compressibleImage;
    return {
      name: "ssh-fresh-compressible",
      title: "A new file over ssh, half zeros and half text, flushed",
      setup: () => workspace.needCompressibleImage(),
      prepare: async () => workspace.removeDestination(),
      expected: source,
      contenders: [this.#blocksync(source), this.#cat(source)],
      reportSparseness: true,
    };
  }
}

/** The cases that can run here, in the order of CASE_NAMES; those over ssh need a server. */
export function makeCases(program: string, workspace: Workspace, ssh: SshServer | undefined): Case[] {
  const remote = ssh === undefined ? undefined : new SshCases(program, workspace, ssh);
  const made: Readonly<Record<CaseName, Case | undefined>> = {
    "local-identical": localIdentical(program, workspace),
    "ssh-identical": remote?.identical(),
    "ssh-pages": remote?.pages(),
    "ssh-fresh": remote?.fresh(),
    "local-fresh": localFresh(program, workspace),
    "ssh-fresh-compressible": remote?.freshCompressible(),
  };
  return CASE_NAMES.flatMap((name) => made[name] ?? []);
}
