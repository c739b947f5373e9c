/** Over ssh, to a server on this machine: both ends and the encryption of both share its cores. */

import { quoteWord } from "../../../src/remote/host/quote.ts";
import type { Sshd } from "../../../test/helpers/sshd.ts";
import type { Case, Contender } from "../case.ts";
import { blocksync, furtherPeer, RSYNC, shell, throughSsh } from "../contenders.ts";
import { secondsAbove, sentAtMost, sparse, timesAsFastAs, timesAsLongAs, writesOnly } from "../goals.ts";
import { choosePages, pageBytes } from "../images.ts";
import type { Workspace } from "../workspace.ts";

const CHANGED_PAGES = 5000;
const WITH_GCM = "ssh cat, aes128-gcm";

/** The cases share how each contender reaches the far side. */
export class SshCases {
  readonly #program: string;
  readonly #workspace: Workspace;
  readonly #ssh: Sshd;

  constructor(program: string, workspace: Workspace, ssh: Sshd) {
    this.#program = program;
    this.#workspace = workspace;
    this.#ssh = ssh;
  }

  #blocksync(source: string): Contender {
    const route = throughSsh(this.#workspace, this.#ssh);
    return blocksync(this.#program, route, source, this.#workspace.destination);
  }

  /** With `lanes` connections, all started at once. */
  #lanes(lanes: number): Contender {
    const { smallImage, destination } = this.#workspace;
    return blocksync(this.#program, throughSsh(this.#workspace, this.#ssh), smallImage, destination, {
      name: `blocksync -w ${lanes}`,
      words: ["-w", String(lanes), "-l", "0"],
    });
  }

  #rsync(source: string): Contender {
    const rsh = `ssh -F ${quoteWord(this.#ssh.configFile)}`;
    const target = `${this.#ssh.host}:${this.#workspace.destination}`;
    return { name: "rsync", argv: [...RSYNC, "-e", rsh, source, target] };
  }

  #cat(source: string, name = "ssh cat", ...words: string[]): Contender {
    const file = quoteWord(this.#workspace.destination);
    const remote = `cat > ${file} && sync ${file}`;
    const script = 'file=$1 && shift && exec ssh "$@" < "$file"';
    return shell(name, "ssh", script, source, "-F", this.#ssh.configFile, ...words, this.#ssh.host, remote);
  }

  identical(): Case {
    const workspace = this.#workspace;
    const { configFile, host } = this.#ssh;
    const { randomImage: source, destination } = workspace;
    return {
      name: "ssh-identical",
      title: "Two equal files, one of them over ssh",
      setup: () => workspace.needEqualPair(),
      contenders: [
        this.#blocksync(source),
        this.#rsync(source),
        { name: "ssh true", argv: ["ssh", "-F", configFile, host, "true"], compareBy: "difference" },
        ...furtherPeer("blocksync.py", {
          SOURCE: source,
          DESTINATION: destination,
          HOST: host,
          SSH_CONFIG: configFile,
        }),
      ],
      goals: [timesAsFastAs("rsync", 2.2), timesAsFastAs("blocksync.py", 5), secondsAbove("ssh true", 0.55)],
    };
  }

  pages(): Case {
    const workspace = this.#workspace;
    const source = workspace.randomImage;
    const pages = choosePages(workspace.sizeMib, CHANGED_PAGES);
    const changedBytes = pageBytes(pages);
    return {
      name: "ssh-pages",
      title: `${pages.length} scattered 4 KiB pages differ, over ssh`,
      setup: () => workspace.needEqualPair(),
      prepare: () => workspace.changeDestination(pages),
      expected: source,
      contenders: [this.#blocksync(source), this.#rsync(source)],
      goals: [
        timesAsFastAs("rsync", 4),
        sentAtMost(
          "1.05 × the changed bytes and 0.1 % of the image",
          1.05 * changedBytes + 0.001 * workspace.sizeBytes,
        ),
        writesOnly(changedBytes),
      ],
      changedBytes,
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
      contenders: [
        this.#blocksync(source),
        this.#cat(source),
        this.#cat(source, WITH_GCM, "-c", "aes128-gcm@openssh.com"),
      ],
      goals: [timesAsFastAs("ssh cat", 1.4), timesAsLongAs(WITH_GCM, 1.1)],
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
      // Half of the image is zeros; the rest is for the file system's own tables.
      goals: [timesAsFastAs("ssh cat", 2.5), sparse(workspace.sizeBytes, 0.51)],
      reportSparseness: true,
    };
  }

  lanes(): Case {
    const workspace = this.#workspace;
    return {
      name: "lanes-ssh",
      title: `A new file of ${workspace.smallMib} MiB over 1 and 2 ssh connections, random data`,
      setup: () => workspace.needSmallImage(),
      prepare: async () => workspace.removeDestination(),
      expected: workspace.smallImage,
      contenders: [this.#lanes(1), { ...this.#lanes(2), compareBy: "speedup" }],
    };
  }
}
