/** The matrix of ways in which a far side can be strange, each a cell that works or is refused by name. Root only. */
import fs from "node:fs";
import { BINARY } from "./binary.ts";
import { startDropbear } from "./dropbear.ts";
import { type Attempt, type Bench, COPY } from "./matrix.ts";
import type { User } from "./user.ts";

export interface Cell {
  /** Row of the fault matrix. */
  readonly row: string;
  readonly name: string;
  /** Too slow for `make test`, or shown there by another. */
  readonly slow?: boolean;
  /** Resolves with "" when it worked, with the sentence when it was refused as it has to be. */
  run(bench: Bench): Promise<string>;
}

const BUSYBOX = Bun.which("busybox") ?? "/bin/busybox";

function asUser(
  shell: string,
  {
    fresh = false,
    files = {},
    ...attempt
  }: Attempt & { fresh?: boolean; files?: Readonly<Record<string, string>> } = {},
): Cell["run"] {
  return (bench) =>
    bench.withUser(shell, async (user: User) => {
      for (const [name, text] of Object.entries(files)) user.write(name, text);
      if (!fresh) bench.prepare(user.home, user.uid);
      return await bench.works({ ...attempt, host: `${user.name}@127.0.0.1` }, fresh ? "Copying blocksync" : "");
    });
}

function shellCells(name: string, shell: string): Cell[] {
  return [
    { row: "D6.26", name: `login shell ${name}`, run: asUser(shell) },
    { row: "D6.26", name: `login shell ${name}, first run`, slow: true, run: asUser(shell, { fresh: true }) },
  ];
}

/** A login shell that needs words of its own, as a file that sshd can start. */
function wrapped(line: string, fresh: boolean): Cell["run"] {
  return async (bench) => {
    fs.writeFileSync(`${bench.dir}/shell`, `#!/bin/sh\n${line}\n`, { mode: 0o755 });
    return await asUser(`${bench.dir}/shell`, { fresh })(bench);
  };
}

/** A name with whatever a shell, or its history, takes for more than itself. */
const EVERY_CHARACTER = "a!b 'c' \"d\" $e `f` \\g\\\\ *?[h] ~i;&|<>(){j,k}#%l^=!!";

/** Needs no copy of its own in the home: the program stands at a path that every login shell has to be told. */
function namedCell(name: string, shell: string, files: Readonly<Record<string, string>> = {}): Cell {
  return {
    row: "D6.26",
    name: `login shell ${name}, --script and BLOCKSYNC_REMOTE_DIR with every character`,
    run: async (bench) => {
      const path = `${bench.dir}/${EVERY_CHARACTER}`;
      if (!fs.existsSync(path)) fs.copyFileSync(BINARY, path);
      fs.chmodSync(path, 0o755);
      return await bench.withUser(shell, async (user) => {
        for (const [file, text] of Object.entries(files)) user.write(file, text);
        const host = `${user.name}@127.0.0.1`;
        const directory = `${user.home}/${EVERY_CHARACTER}`;
        await bench.works({ host, words: ["-S", path] });
        bench.prepareIn(directory, user.uid);
        return await bench.works({ host, env: { BLOCKSYNC_REMOTE_DIR: directory } });
      });
    },
  };
}

const FORGED = "blocksync-00112233445566778899aabbccddeeff";
const NOISE = {
  "1 MiB of text on both streams": "yes noise of a login file | head -c 1048576; yes noise | head -c 1048576 >&2",
  "NULs and control characters": 'head -c 100000 /dev/zero; printf "\\033]0;x\\007\\r\\n"; head -c 1000 /dev/zero >&2',
  "a forged marker": `echo ${FORGED} ready; echo ${FORGED} failed no; echo ${FORGED} probe Linux riscv64; echo ${FORGED} send none /`,
  "words like a password's prompt, without a line break": 'printf "root@host password: "; printf "Passphrase: " >&2',
};

/** The same commands for the login file of each shell. */
const RC: Readonly<Record<string, readonly [shell: string, file: string]>> = {
  bash: ["/bin/bash", ".bashrc"],
  zsh: ["/usr/bin/zsh", ".zshenv"],
  tcsh: ["/usr/bin/tcsh", ".tcshrc"],
};

function noiseCells(): Cell[] {
  return Object.entries(RC).flatMap(([name, [shell, file]]) =>
    Object.entries(NOISE).map(([what, commands]) => ({
      row: "D6.27",
      name: `${file} prints ${what}`,
      slow: name !== "bash",
      run: asUser(shell, { files: { [file]: name === "tcsh" ? `sh -c '${commands}'\n` : `${commands}\n` } }),
    })),
  );
}

const endless: Cell = {
  row: "D6.27",
  name: ".bashrc prints without end",
  slow: true,
  run: (bench) =>
    bench.withUser("/bin/bash", async (user) => {
      user.write(".bashrc", "yes\n");
      return await bench.refuses({ host: `${user.name}@127.0.0.1` }, /its output does not end/);
    }),
};

const MOUNT = "mount -t tmpfs -o mode=700";

function placeCells(): Cell[] {
  const places = 'mkdir -p "$HOME/.cache"; for d in "$HOME" /var/tmp /dev/shm /tmp; do';
  const elsewhere = (name: string, setup: string, slow = false): Cell => ({
    row: "D6.28",
    name,
    slow,
    run: (bench) =>
      bench.works({ setup: `${MOUNT} none /var/tmp; mkdir -p "$HOME/.cache"; ${setup}` }, /into \/var\/tmp\/?/),
  });
  return [
    elsewhere("home on a read-only file system", 'mount --bind "$HOME" "$HOME"; mount -o remount,ro,bind "$HOME"'),
    elsewhere("no HOME", "unset HOME", true),
    elsewhere("cache with no room for the program", `${MOUNT},size=50m none "$HOME/.cache"`),
    elsewhere("cache on a noexec file system", `${MOUNT},noexec none "$HOME/.cache"`),
    {
      row: "D6.28",
      name: "a HOME that does not exist is not made",
      run: async (bench) => {
        const home = `${bench.dir}/nowhere`;
        const said = await bench.works({ setup: `${MOUNT} none /var/tmp; HOME=${home}` }, /into \/var\/tmp\/?/);
        if (fs.existsSync(home)) throw new Error(`${home} was made`);
        return said;
      },
    },
    {
      row: "D6.28",
      name: "nothing is made in another user's home, whichever variables name it",
      run: async (bench) => {
        const home = `${bench.dir}/somebody`;
        fs.mkdirSync(`${home}/run`, { recursive: true });
        for (const one of [home, `${home}/run`]) fs.chownSync(one, 65_534, 65_534);
        const setup = `cd /; ${MOUNT} none /var/tmp; export HOME=${home} BLOCKSYNC_REMOTE_DIR=${home}/bs/x XDG_RUNTIME_DIR=${home}/run`;
        const env = { BLOCKSYNC_REMOTE_DIR: `${home}/sent` };
        const said = await bench.works({ setup, env }, /into \/var\/tmp\n/);
        const made = fs.readdirSync(home, { recursive: true }).join(" ");
        if (made !== "run") throw new Error(`was made: ${made}`);
        return said;
      },
    },
    {
      row: "D6.28",
      name: "a user whose home is missing",
      slow: true,
      run: (bench) =>
        bench.withUser("/bin/sh", async (user) => {
          fs.rmSync(user.home, { recursive: true });
          return await bench.works({ host: `${user.name}@127.0.0.1` }, /Copying blocksync to/);
        }),
    },
    {
      row: "D6.28",
      name: "every directory on a noexec file system",
      run: (bench) =>
        bench.refuses(
          { setup: `${places} ${MOUNT},noexec none "$d"; done` },
          /no directory can hold and execute a program/,
        ),
    },
    {
      row: "D6.28",
      name: "every directory read-only",
      slow: true,
      run: (bench) =>
        bench.refuses({ setup: `${places} ${MOUNT},ro none "$d"; done` }, /no directory can hold and execute/),
    },
  ];
}

function fullCells(): Cell[] {
  const length = fs.statSync(BINARY).size;
  return [1, 10, 30, 50, 70, 90, 99].map((percent) => ({
    row: "D6.28",
    name: `disk full after ${percent} % of the program`,
    slow: percent !== 50,
    run: (bench) =>
      bench.refuses(
        {
          setup: `mkdir -p "$HOME/.cache"; for d in "$HOME/.cache" /var/tmp /dev/shm /tmp; do ${MOUNT},size=${Math.floor((length * percent) / 102400)}k none "$d"; done`,
        },
        /the copy in \S+ is incomplete or damaged \(\d+ KiB free\)/,
      ),
  }));
}

function cutCells(): Cell[] {
  // Of 54 MB packed; a little more or less does not matter.
  return [0.1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 99].map((percent) => ({
    row: "D6.28",
    name: `connection cut after ${percent} % of the upload`,
    slow: percent !== 30,
    run: async (bench) => {
      const bytes = Math.floor(520_000 * percent);
      fs.writeFileSync(`${bench.dir}/cut`, `#!/bin/sh\nstdbuf -o0 head -c ${bytes} | ssh "$@"\n`, { mode: 0o755 });
      const sentence = await bench.refuses(
        { words: ["-e", `${bench.dir}/cut`] },
        /Cannot start blocksync on "127.0.0.1": .*/,
      );
      const left = fs.readdirSync(bench.cache());
      if (left.length > 0) throw new Error(`left behind: ${left.join(" ")}`);
      return sentence;
    },
  }));
}

function plantCells(): Cell[] {
  const planted = (name: string, plant: (bench: Bench, path: string) => void, slow = false): Cell => ({
    row: "D6.29",
    name,
    slow,
    run: (bench) => {
      plant(bench, `${bench.cache()}/${COPY}`);
      return bench.works({}, "Copying blocksync");
    },
  });
  const directory = (name: string, setup: string, slow = false): Cell => ({
    row: "D6.29",
    name,
    slow,
    run: (bench) => {
      bench.plant(`${bench.dir}/evil`);
      const evil = `cp ${bench.dir}/evil`;
      return bench.works(
        {
          setup: `${MOUNT} none "$HOME"; ${MOUNT} none /dev/shm; mount -t tmpfs -o mode=1777 none /var/tmp; ${setup.replaceAll("EVIL", evil)}`,
        },
        "Copying blocksync to \\S+, into /dev/shm",
      );
    },
  });
  return [
    planted("right name, wrong contents", (bench, path) => bench.plant(path)),
    planted(
      "right name, wrong contents, a note that it was checked",
      (bench, path) => {
        bench.plant(path);
        fs.writeFileSync(`${path}.checked`, Bun.spawnSync(["stat", "-c", "%d %i %s %y", path]).stdout);
      },
      true,
    ),
    planted(
      "right name, not ours, wrong contents",
      (bench, path) => {
        bench.plant(path);
        fs.chownSync(path, 65534, 65534);
      },
      true,
    ),
    planted(
      "right name and contents, not ours",
      (_bench, path) => {
        fs.copyFileSync(BINARY, path);
        fs.chownSync(path, 65534, 65534);
      },
      true,
    ),
    planted("a link to another program", (bench, path) => {
      bench.plant(`${bench.dir}/evil`);
      fs.symlinkSync(`${bench.dir}/evil`, path);
    }),
    planted("a link to the right contents", (_bench, path) => fs.symlinkSync(BINARY, path), true),
    planted("a link to a directory", (bench, path) => fs.symlinkSync(bench.dir, path), true),
    planted("a link to nothing", (_bench, path) => fs.symlinkSync("/nonexistent", path), true),
    {
      row: "D6.29",
      name: "a directory in the place of the copy",
      run: async (bench) => {
        fs.mkdirSync(`${bench.cache()}/${COPY}`);
        return await bench.refuses({}, /\S+ is a directory/);
      },
    },
    {
      row: "D6.29",
      name: "a cache that is another user's",
      slow: true,
      run: (bench) => {
        bench.plant(`${bench.cache()}/${COPY}`);
        for (const one of [bench.cache(), `${bench.cache()}/${COPY}`]) fs.chownSync(one, 65534, 65534);
        return bench.works({ setup: `${MOUNT} none /var/tmp` }, /into \/var\/tmp\n/);
      },
    },
    {
      row: "D6.29",
      name: "a PATH that begins with the current folder, and tools planted in it",
      run: (bench) => {
        for (const name of [
          "id",
          "ls",
          "env",
          "cut",
          "mkdir",
          "uname",
          "rm",
          "stat",
          "tr",
          "sha256sum",
          "openssl",
          "zstd",
        ])
          bench.plant(`${bench.cache()}/../../${name}`);
        bench.prepare(bench.home);
        return bench.works({ setup: "PATH=.::$PATH:; export PATH" });
      },
    },
    {
      row: "D6.29",
      name: "a LD_LIBRARY_PATH with an empty part, and libraries planted where anybody may write",
      run: (bench) =>
        bench.works(
          {
            setup: `mount -t tmpfs -o mode=1777 none /var/tmp; for n in c selinux pthread; do echo junk >/var/tmp/lib$n.so.6; done; unset HOME; export LD_LIBRARY_PATH=:`,
          },
          /into \/var\/tmp\/blocksync-0\n/,
        ),
    },
    directory(
      "a private directory that is another user's",
      `touch "$HOME/.cache"; mkdir -m 700 /var/tmp/blocksync-0; EVIL /var/tmp/blocksync-0/${COPY}; chown -R 65534:65534 /var/tmp/blocksync-0`,
    ),
    directory(
      "a link in a shared directory in the place of the private one",
      `touch "$HOME/.cache"; mkdir -m 700 "$HOME/x"; EVIL "$HOME/x/${COPY}"; ln -s "$HOME/x" /var/tmp/blocksync-0`,
      true,
    ),
    directory(
      "a private directory that others may write to",
      `touch "$HOME/.cache"; mkdir /var/tmp/blocksync-0; EVIL /var/tmp/blocksync-0/${COPY}; chmod 777 /var/tmp/blocksync-0`,
      true,
    ),
  ];
}

function toolCells(): Cell[] {
  const only = (missing: string, then = 'exec "$P/sh" -c "$SSH_ORIGINAL_COMMAND"') =>
    `P=$HOME/bin; mkdir -p $P; ${BUSYBOX} --install -s $P; cd $P; rm -f ${missing} x; cd; export PATH=$P; ${then}`;
  return [
    { row: "D6.31", name: "busybox only", run: (bench) => bench.works({ setup: only("") }, "Copying") },
    {
      row: "D6.31",
      name: "busybox without gzip, mktemp, stat, df, find",
      slow: true,
      run: (bench) => bench.works({ setup: only("gzip gunzip zcat mktemp stat df find") }, "Copying"),
    },
    {
      row: "D6.31",
      name: "nothing that computes SHA-256",
      slow: true,
      run: (bench) =>
        bench.refuses({ setup: only("sha256sum openssl shasum") }, /there is no openssl, sha256sum or shasum/),
    },
  ];
}

/** Programs that stand in the place of those of the far side. */
function posing(bench: Bench, programs: Readonly<Record<string, string>>): string {
  const directory = `${bench.dir}/posing`;
  fs.rmSync(directory, { recursive: true, force: true });
  fs.mkdirSync(directory);
  for (const [name, script] of Object.entries(programs))
    fs.writeFileSync(`${directory}/${name}`, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return `export PATH=${directory}:$PATH`;
}

function unameOf(system: string, machine: string): string {
  return `case $1 in -s) echo ${system};; -m) echo ${machine};; esac`;
}

function platformCells(): Cell[] {
  const row = "D6.30";
  const machine = process.arch === "x64" ? "x86_64" : "aarch64";
  const foreign = process.arch === "x64" ? "aarch64" : "x86_64";
  const refused = (name: string, programs: Record<string, string>, sentence: RegExp, slow = false): Cell => ({
    row,
    name,
    slow,
    run: (bench) => bench.refuses({ setup: posing(bench, programs) }, sentence),
  });
  const unknown = (system: string, its: string, slow = true) =>
    refused(
      `${system} on ${its}`,
      { uname: unameOf(system, its) },
      new RegExp(`blocksync does not run on ${system} ${its}`),
      slow,
    );
  // Musl's loader besides this machine's own.
  const musl = (bench: Bench) => {
    const loader = `${bench.dir}/loader`;
    fs.mkdirSync(loader, { recursive: true });
    fs.writeFileSync(`${loader}/ld-musl-${machine}.so.1`, "");
    return `lib=$(readlink -f /lib); mount -t overlay -o "lowerdir=${loader}:$lib" overlay "$lib"`;
  };
  const cpuinfo = (bench: Bench) => {
    fs.writeFileSync(`${bench.dir}/cpuinfo`, "flags\t\t: fpu sse sse2 ssse3 sse4_1\n");
    return `mount --bind ${bench.dir}/cpuinfo /proc/cpuinfo`;
  };
  return [
    {
      row,
      name: "glibc, and musl besides",
      run: (bench) => {
        bench.prepare(bench.home);
        return bench.works({ setup: musl(bench) });
      },
    },
    {
      row,
      name: "musl without libstdc++",
      run: (bench) =>
        bench.refuses(
          { setup: `${musl(bench)}; ${posing(bench, { getconf: "exit 1", ldd: "echo musl libc >&2; exit 1" })}` },
          /its libc is musl, and libstdc\+\+\.so\.6 and libgcc_s\.so\.1 are missing/,
        ),
    },
    ...(process.arch === "x64"
      ? [
          {
            row,
            name: "x86-64 without SSE4.2",
            run: (bench: Bench) => bench.refuses({ setup: cpuinfo(bench) }, /its processor has no SSE4\.2/),
          },
        ]
      : []),
    unknown("Linux", "armv7l", false),
    unknown("Linux", "i686"),
    unknown("Darwin", "arm64"),
    unknown("FreeBSD", "amd64"),
    refused(
      "a 64-bit kernel under a 32-bit system",
      { uname: unameOf("Linux", foreign) },
      /it is Linux \w+, but has neither \/\S+ nor \/\S+/,
    ),
    refused("glibc 2.12", { getconf: "echo glibc 2.12" }, /its glibc is 2.12, but blocksync needs 2.17 or newer/),
  ];
}

/** Without an upload: these are about the connection. */
function connected(attempt: Attempt): Cell["run"] {
  return (bench) => {
    bench.prepare(bench.home);
    return bench.works(attempt);
  };
}

function connectionCells(): Cell[] {
  const row = "D6.32";
  const jump = "Host jump\nHostName 127.0.0.1\nHost far\nHostName 127.0.0.1\nProxyJump jump\nHost *";
  return [
    {
      row,
      name: "RemoteCommand and RequestTTY in ssh_config",
      slow: true,
      run: connected({ config: "RemoteCommand tmux attach\nRequestTTY force" }),
    },
    { row, name: "ProxyJump", run: connected({ config: jump, host: "far" }) },
    { row, name: "IPv6", run: connected({ config: "StrictHostKeyChecking no", host: "[::1]" }) },
    {
      row,
      name: "a port in ssh://",
      slow: true,
      run: (bench) => {
        bench.prepare(bench.home);
        return bench.works({ words: ["-x", `-F ${bench.dir}/config -o Port=${bench.sshd.port}`] });
      },
    },
    { row, name: "MaxSessions 1, two lanes", slow: true, run: connected({ words: ["-w", "2", "-l", "0"] }) },
    {
      row,
      name: "ControlMaster, two runs, two lanes each, MaxSessions 1",
      run: async (bench) => {
        bench.prepare(bench.home);
        const config = `ControlMaster auto\nControlPath ${bench.dir}/%C\nControlPersist 60`;
        try {
          for (let i = 0; i < 2; i++) await bench.works({ config, words: ["-w", "2", "-l", "0"] });
          return "";
        } finally {
          Bun.spawnSync(["ssh", "-F", `${bench.dir}/config`, "-O", "exit", "127.0.0.1"]);
        }
      },
    },
    {
      row,
      name: "ControlPath longer than a socket's name may be",
      slow: true,
      run: async (bench) => {
        const config = `ControlMaster auto\nControlPath ${bench.dir}/${"x".repeat(120)}`;
        return await bench.refuses({ config }, /ControlPath.* too long.*/i);
      },
    },
    {
      row,
      name: "dropbear",
      run: (bench) =>
        bench.withUser("/bin/sh", async (user) => {
          await using dropbear = await startDropbear(bench, user);
          bench.prepare(user.home, user.uid);
          return await bench.works({ config: dropbear.config, host: `${user.name}@127.0.0.1` });
        }),
    },
    {
      row,
      name: "dropbear, first run",
      slow: true,
      run: (bench) =>
        bench.withUser("/bin/sh", async (user) => {
          await using dropbear = await startDropbear(bench, user);
          return await bench.works({ config: dropbear.config, host: `${user.name}@127.0.0.1` }, "Copying blocksync");
        }),
    },
  ];
}

export const CELLS: readonly Cell[] = [
  ...shellCells("sh", "/bin/sh"),
  ...shellCells("dash", "/bin/dash"),
  ...shellCells("bash", "/bin/bash"),
  ...shellCells("rbash", "/bin/rbash"),
  ...shellCells("zsh", "/usr/bin/zsh"),
  ...shellCells("fish", "/usr/bin/fish"),
  ...shellCells("tcsh", "/usr/bin/tcsh"),
  namedCell("sh", "/bin/sh"),
  namedCell("bash", "/bin/bash"),
  namedCell("zsh", "/usr/bin/zsh"),
  namedCell("fish", "/usr/bin/fish"),
  namedCell("tcsh", "/usr/bin/tcsh"),
  namedCell("zsh with rc_quotes", "/usr/bin/zsh", { ".zshenv": "setopt rc_quotes\n" }),
  namedCell("tcsh with backslash_quote", "/usr/bin/tcsh", { ".tcshrc": "set backslash_quote\n" }),
  { row: "D6.26", name: "login shell busybox sh", run: wrapped(`exec ${BUSYBOX} sh "$@"`, false) },
  {
    row: "D6.26",
    name: "login shell busybox sh, first run",
    slow: true,
    run: wrapped(`exec ${BUSYBOX} sh "$@"`, true),
  },
  {
    row: "D6.26",
    name: "an account without a shell",
    run: (bench) =>
      bench.withUser("/usr/sbin/nologin", (user) =>
        bench.refuses({ host: `${user.name}@127.0.0.1` }, /Cannot start blocksync on "127.0.0.1": .*/),
      ),
  },
  ...noiseCells(),
  endless,
  ...placeCells(),
  ...fullCells(),
  ...cutCells(),
  ...plantCells(),
  ...toolCells(),
  ...platformCells(),
  ...connectionCells(),
];
