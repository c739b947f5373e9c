import { expect, test } from "bun:test";
import { noticesOfPause, parseLocation, parseLocations } from "../../src/cli/location.ts";
import { ExitCode, UsageError } from "../../src/errors.ts";
import type { Location } from "../../src/run/location.ts";

const nothingExists = () => false;

interface Seen {
  readonly user?: string;
  readonly host?: string;
  readonly port?: number;
  readonly path: string;
  readonly label: string;
}

/** A location without what is undefined. */
function seen({ remote, path, label }: Location): Seen {
  if (remote === undefined) return { path, label };
  const { user, host, port } = remote;
  return {
    ...(user === undefined ? {} : { user }),
    host,
    ...(port === undefined ? {} : { port }),
    path,
    label,
  };
}

/** Message and hint of the UsageError that `run` throws. */
function refusal(run: () => unknown): { message: string; hint?: string } {
  try {
    run();
  } catch (error) {
    if (!(error instanceof UsageError) || error.exitCode !== ExitCode.usage) throw error;
    return error.hint === undefined ? { message: error.message } : { message: error.message, hint: error.hint };
  }
  return { message: "nothing thrown" };
}

function said(run: () => unknown): string {
  return refusal(run).message;
}

function pair(...words: string[]): { source: Seen; destination: Seen } {
  const { source, destination } = parseLocations(words, { exists: nothingExists, forHost: false });
  return { source: seen(source), destination: seen(destination) };
}

test("parseLocation() takes what has no colon before its first slash as a file", () => {
  for (const path of [
    "disk.img",
    "/dev/sda",
    "./a:b",
    "../a:b",
    "/a:b",
    "dir/a:b",
    "user@host",
    "/mnt/ssh://x",
    "-x",
    "~/disk.img",
    " ",
    "größe.img",
    "a\nb",
    "/srv/[::1]:x",
  ]) {
    expect(seen(parseLocation(path))).toEqual({ path, label: path });
  }
});

test("parseLocation() reads HOST:PATH and USER@HOST:PATH", () => {
  const cases: [text: string, expected: Omit<Seen, "label">][] = [
    ["box:/dev/sdb", { host: "box", path: "/dev/sdb" }],
    ["box:disk.img", { host: "box", path: "disk.img" }],
    ["box:a:b", { host: "box", path: "a:b" }],
    ["box:~/disk.img", { host: "box", path: "~/disk.img" }],
    ["box: ", { host: "box", path: " " }],
    ["box:a@b", { host: "box", path: "a@b" }],
    ["box:a\nb", { host: "box", path: "a\nb" }],
    ["box:/a/[b]:c", { host: "box", path: "/a/[b]:c" }],
    ["localhost:/x", { host: "localhost", path: "/x" }],
    ["192.0.2.1:/x", { host: "192.0.2.1", path: "/x" }],
    ["root@box:/dev/sdb", { user: "root", host: "box", path: "/dev/sdb" }],
    ["me@corp@box:/x", { user: "me@corp", host: "box", path: "/x" }],
    ["root@box:x@y:z", { user: "root", host: "box", path: "x@y:z" }],
  ];
  for (const [text, expected] of cases) expect(seen(parseLocation(text))).toEqual({ ...expected, label: text });
});

test("parseLocation() reads [IPV6]:PATH and USER@[IPV6]:PATH and drops the brackets for ssh", () => {
  const cases: [text: string, expected: Omit<Seen, "label">][] = [
    ["[::1]:/dev/sdb", { host: "::1", path: "/dev/sdb" }],
    ["[2001:db8::7]:disk.img", { host: "2001:db8::7", path: "disk.img" }],
    ["[fe80::1%eth0]:/x", { host: "fe80::1%eth0", path: "/x" }],
    ["root@[::1]:/dev/sdb", { user: "root", host: "::1", path: "/dev/sdb" }],
    ["root@[::1]:a:b", { user: "root", host: "::1", path: "a:b" }],
  ];
  for (const [text, expected] of cases) expect(seen(parseLocation(text))).toEqual({ ...expected, label: text });
});

test("parseLocation() reads ssh://[USER@]HOST[:PORT]/PATH", () => {
  const cases: [text: string, expected: Seen][] = [
    ["ssh://box/dev/sdb", { host: "box", path: "/dev/sdb", label: "box:/dev/sdb" }],
    ["ssh://root@box/x", { user: "root", host: "box", path: "/x", label: "root@box:/x" }],
    ["ssh://box:2222/x", { host: "box", port: 2222, path: "/x", label: "ssh://box:2222/x" }],
    [
      "ssh://root@box:65535/srv/a:b@c",
      { user: "root", host: "box", port: 65535, path: "/srv/a:b@c", label: "ssh://root@box:65535/srv/a:b@c" },
    ],
    ["ssh://[::1]/x", { host: "::1", path: "/x", label: "[::1]:/x" }],
    ["ssh://[::1]:1/x", { host: "::1", port: 1, path: "/x", label: "ssh://[::1]:1/x" }],
    [
      "ssh://root@[fe80::1%eth0]:22/x y",
      { user: "root", host: "fe80::1%eth0", port: 22, path: "/x y", label: "ssh://root@[fe80::1%eth0]:22/x y" },
    ],
  ];
  for (const [text, expected] of cases) expect(seen(parseLocation(text))).toEqual(expected);
});

test("parseLocation() gives labels that mean the same location again", () => {
  for (const text of ["a", "./a:b", "u@box:/x", "[::1]:x", "ssh://u@box:7/x/y", "ssh://[::1]:7/x", "ssh://box/x"]) {
    const first = parseLocation(text);
    expect(seen(parseLocation(first.label))).toEqual(seen(first));
  }
});

test("parseLocation() gives a host without a path the default path", () => {
  for (const text of ["box:", "ssh://box", "ssh://box/"]) {
    expect(seen(parseLocation(text, "/dev/sda"))).toEqual({ host: "box", path: "/dev/sda", label: "box:/dev/sda" });
  }
  expect(seen(parseLocation("ssh://u@box:7", "/dev/sda"))).toEqual({
    user: "u",
    host: "box",
    port: 7,
    path: "/dev/sda",
    label: "ssh://u@box:7/dev/sda",
  });
  expect(seen(parseLocation("[::1]:", "x"))).toEqual({ host: "::1", path: "x", label: "[::1]:x" });
  expect(seen(parseLocation("box:y", "x")).path).toBe("y");
});

test("parseLocation() refuses a host without a path where there is no default", () => {
  for (const text of ["box:", "root@box:", "[::1]:", "ssh://box", "ssh://box/", "ssh://box:22"]) {
    expect(said(() => parseLocation(text))).toBe(`${JSON.stringify(text)} names no path`);
  }
});

test("parseLocation() refuses empty names and NUL bytes", () => {
  expect(said(() => parseLocation(""))).toBe("The name of a file or device is empty");
  expect(said(() => parseLocation("", "/default"))).toBe("The name of a file or device is empty");
  for (const text of ["a\0b", "box:a\0", "ssh://box/\0"]) {
    expect(said(() => parseLocation(text))).toBe("The name of a file or device contains a NUL byte");
  }
});

test("parseLocation() refuses an empty host or user", () => {
  const cases: [text: string, part: string][] = [
    ["@box:/x", "@box"],
    ["root@:/x", "root@"],
    ["@:/x", "@"],
    ["[]:/x", "[]"],
    ["root@[]:/x", "root@[]"],
    ["ssh://@box/x", "@box"],
    ["ssh://root@/x", "root@"],
    ["ssh://[]/x", "[]"],
  ];
  for (const [text, part] of cases) {
    expect(said(() => parseLocation(text))).toBe(`Cannot read ${JSON.stringify(part)} as [USER@]HOST`);
  }
  expect(said(() => parseLocation(":/x"))).toBe('Cannot read ":/x" as [USER@]HOST:PATH');
  expect(said(() => parseLocation("ssh:///x"))).toBe('Cannot read "ssh:///x" as ssh://[USER@]HOST[:PORT]/PATH');
});

test("parseLocation() refuses hosts and users that ssh would take for an option", () => {
  const cases: [text: string, word: string][] = [
    ["-oProxyCommand=x:/y", "-oProxyCommand=x"],
    ["-x:y", "-x"],
    ["root@-x:/y", "-x"],
    ["-l@box:/y", "-l"],
    ["[-x]:/y", "-x"],
    ["ssh://-x/y", "-x"],
    ["ssh://-l@box/y", "-l"],
    ["ssh://root@-x:22/y", "-x"],
  ];
  for (const [text, word] of cases) {
    expect(said(() => parseLocation(text))).toBe(
      `The host ${JSON.stringify(word)} begins with "-", which ssh would take for an option`,
    );
  }
});

test("parseLocation() refuses white space in a host", () => {
  for (const text of ["a b:/x", "ssh://a b/x"]) {
    expect(said(() => parseLocation(text))).toBe('The host "a b" contains white space');
  }
});

test("parseLocation() refuses ports that are none", () => {
  for (const port of ["", "0", "65536", "99999", "123456", "-1", "22x", "0x16", " 22", "2.5"]) {
    expect(said(() => parseLocation(`ssh://box:${port}/x`))).toBe(`${JSON.stringify(port)} is not a port number`);
  }
});

test("parseLocation() refuses an ssh:// address that is none", () => {
  for (const text of ["ssh://[::1/x", "ssh://[::1]22/x", "ssh://a]b/x", "ssh://::1/x"]) {
    expect(said(() => parseLocation(text))).toBe(
      `Cannot read ${JSON.stringify(text)} as ssh://[USER@]HOST[:PORT]/PATH`,
    );
  }
  expect(said(() => parseLocation("ssh://a:1:2/x"))).toBe('"1:2" is not a port number');
});

test("parseLocations() reads SOURCE DESTINATION with any of the two remote", () => {
  expect(pair("a", "b")).toEqual({ source: { path: "a", label: "a" }, destination: { path: "b", label: "b" } });
  expect(pair("u@one:/x", "ssh://two:7/y")).toEqual({
    source: { user: "u", host: "one", path: "/x", label: "u@one:/x" },
    destination: { host: "two", port: 7, path: "/y", label: "ssh://two:7/y" },
  });
  expect(pair("[::1]:/x", "./b:c").destination).toEqual({ path: "./b:c", label: "./b:c" });
});

test("parseLocations() lets HOST: take the source's path", () => {
  expect(pair("/dev/sda", "box:").destination).toEqual({ host: "box", path: "/dev/sda", label: "box:/dev/sda" });
  expect(pair("one:/dev/sda", "u@two:").destination).toEqual({
    user: "u",
    host: "two",
    path: "/dev/sda",
    label: "u@two:/dev/sda",
  });
  expect(pair("/x", "ssh://box:7").destination.path).toBe("/x");
  expect(said(() => pair("box:", "/x"))).toBe('"box:" names no path');
});

test("parseLocations() reads blocksync.py's SOURCE [USER@]HOST PATH", () => {
  expect(pair("/dev/sda", "root@box", "/dev/sdb")).toEqual({
    source: { path: "/dev/sda", label: "/dev/sda" },
    destination: { user: "root", host: "box", path: "/dev/sdb", label: "root@box:/dev/sdb" },
  });
  expect(pair("/dev/sda", "box", "a:b").destination).toEqual({ host: "box", path: "a:b", label: "box:a:b" });
  expect(pair("/dev/sda", "box:", "/x").destination).toEqual({ host: "box", path: "/x", label: "box:/x" });
  expect(pair("/dev/sda", "[::1]", "/x").destination).toEqual({ host: "::1", path: "/x", label: "[::1]:/x" });
  expect(pair("one:/x", "two", "/y").source).toEqual({ host: "one", path: "/x", label: "one:/x" });
});

test("parseLocations() takes localhost with a PATH as this machine", () => {
  for (const host of ["localhost", "localhost:"]) {
    expect(pair("/dev/sda", host, "/x").destination).toEqual({ path: "/x", label: "/x" });
  }
  expect(pair("/dev/sda", "localhost", "a:b").destination).toEqual({ path: "a:b", label: "a:b" });
  expect(pair("/dev/sda", "root@localhost", "/x").destination).toEqual({
    user: "root",
    host: "localhost",
    path: "/x",
    label: "root@localhost:/x",
  });
});

test("parseLocations() refuses a destination that could be a host as well as a file", () => {
  for (const text of ["root@box", "a@b.c", "192.0.2.1"]) {
    expect(refusal(() => pair("/srv/disk.img", text))).toEqual({
      message: `"${text}" could be a host or a file`,
      hint: `write "${text}:/srv/disk.img" for the host, "./${text}" for a file`,
    });
  }
  expect(refusal(() => pair("/srv/disk.img", "localhost"))).toEqual({
    message: '"localhost" could be a host or a file',
    hint: 'for this machine write the path alone, for a file of that name "./localhost"',
  });
});

test("parseLocations() refuses dd's words, which would be names, unless a file has that name", () => {
  const bs = "\nbs= is -b SIZE here, and the default suits nearly everything";
  const cases: readonly (readonly [words: readonly string[], write: string, more: string])[] = [
    [["disk.img", "of=/dev/sdb"], "disk.img /dev/sdb", ""],
    [["if=disk.img", "of=copy.img"], "disk.img copy.img", ""],
    [["if=my disk.img"], '"my disk.img" DESTINATION', ""],
    [["disk.img", "copy.img", "bs=1M"], "disk.img copy.img", bs],
    [
      ["of=/dev/sdb", "bs=1M", "if=disk.img", "ibs=4K", "obs=4K"],
      "disk.img /dev/sdb",
      `${bs}\nblocksync sizes its own buffers`,
    ],
  ];
  for (const [words, write, more] of cases) {
    const word = words.find((one) => one.includes("="));
    expect(refusal(() => pair(...words))).toEqual({
      message: `"${word}" is dd's syntax`,
      hint: `write blocksync ${write}${more}\nfor a file of that name write "./${word}"`,
    });
  }
  expect(pair("disk.img", "./of=copy.img").destination.path).toBe("./of=copy.img");
  const existing = parseLocations(["a", "of=b"], { exists: (path) => path === "of=b", forHost: false });
  expect(seen(existing.destination).path).toBe("of=b");
});

test("parseLocations() refuses such a destination even when a file of that name exists", () => {
  for (const text of ["root@box", "localhost", "192.0.2.1"]) {
    expect(said(() => parseLocations(["/x", text], { exists: () => true, forHost: false }))).toBe(
      `"${text}" could be a host or a file`,
    );
  }
});

test("parseLocations() refuses to copy a device into a new file that is named like a host", () => {
  expect(said(() => pair("/dev/sda", "backuphost"))).toBe('"backuphost" could be a host or a file');
  expect(said(() => pair("box:/dev/sda", "backuphost"))).toBe('"backuphost" could be a host or a file');
  const asked: string[] = [];
  const existing = parseLocations(["/dev/sda", "backup"], { exists: (path) => asked.push(path) > 0, forHost: false });
  expect(seen(existing.destination)).toEqual({ path: "backup", label: "backup" });
  expect(asked).toEqual(["backup"]);
});

test("parseLocations() refuses a new file without a slash where options are about a host", () => {
  const about = (exists: boolean, ...words: string[]) =>
    said(() => parseLocations(words, { exists: () => exists, forHost: true }));
  expect(about(false, "disk.img", "backup.lan")).toBe('"backup.lan" could be a host or a file');
  expect(about(true, "disk.img", "copy.img")).toBe("nothing thrown");
  expect(about(false, "disk.img", "./copy.img")).toBe("nothing thrown");
  expect(about(false, "box:disk.img", "copy.img")).toBe("nothing thrown");
  expect(about(false, "disk.img", "localhost", "copy.img")).toBe("nothing thrown");
});

test("a dash is standard input, and that only as the source of a sync", () => {
  const both = (...words: string[]) => parseLocations(words, { exists: nothingExists, forHost: false });
  expect(seen(both("-", "host:disk.img").source)).toEqual({ path: "-", label: "-" });
  expect(refusal(() => both("-", "host:")).message).toBe('"host:" names no path');
  expect(refusal(() => both("disk.img", "-")).message).toContain("Only the source of a sync");
  expect(refusal(() => parseLocation("-"))).toEqual({
    message: "Only the source of a sync can be standard input: everything else is read or written at its offsets",
    hint: 'for a file named "-" write "./-"',
  });
  expect(seen(parseLocation("./-"))).toEqual({ path: "./-", label: "./-" });
});

test("parseLocations() takes destinations that are clearly files", () => {
  for (const text of ["./root@box", "./localhost", "./192.0.2.1", "dir/a@b", "/x@y", "1.2.3", "1.2.3.4.img"]) {
    expect(pair("/dev/sda", text).destination).toEqual({ path: text, label: text });
  }
  expect(pair("disk.img", "copy").destination).toEqual({ path: "copy", label: "copy" });
});

test("parseLocations() refuses missing, empty and too many arguments", () => {
  const hint = "usage: blocksync SOURCE DESTINATION; blocksync help shows everything";
  expect(refusal(() => pair())).toEqual({ message: "SOURCE and DESTINATION are missing", hint });
  expect(refusal(() => pair("a"))).toEqual({ message: "DESTINATION is missing", hint });
  expect(said(() => pair("a", "b", "c", "d"))).toBe('Too many arguments: "d"');
  expect(said(() => pair("a", "b", "c", "", "e"))).toBe('Too many arguments: ""');
  expect(said(() => pair("", "b"))).toBe("The name of a file or device is empty");
  expect(said(() => pair("a", ""))).toBe("The name of a file or device is empty");
  expect(said(() => pair("a", "box", ""))).toBe("The destination's PATH is empty");
  expect(said(() => pair("", "box", "c"))).toBe("The name of a file or device is empty");
  expect(said(() => pair("a", "", "c"))).toBe('Cannot read "" as [USER@]HOST');
});

test("parseLocations() refuses a HOST of three arguments that is none", () => {
  for (const text of ["/dev/sdb", "./b", "ssh://box", "box:/x"]) {
    expect(said(() => pair("a", text, "c"))).toBe(`"${text}" is not a host: three arguments are SOURCE HOST PATH`);
  }
  expect(said(() => pair("a", "-oProxyCommand=x", "c"))).toContain('begins with "-"');
  expect(said(() => pair("a", "root@-x", "c"))).toContain('begins with "-"');
  expect(said(() => pair("a", "b c", "d"))).toBe('The host "b c" contains white space');
  expect(said(() => pair("a", "root@", "c"))).toBe('Cannot read "root@" as [USER@]HOST');
});

test("parseLocation() never takes for a local file what has a colon before its first slash", () => {
  for (const text of ["a@b@[::1]:/x", "[::1]x:/y", "[::1]", "a[b:/x"]) {
    expect(() => parseLocation(text)).toThrow(UsageError);
    expect(parseLocation(`./${text}`)).toEqual({ remote: undefined, path: `./${text}`, label: `./${text}` });
  }
});

test("parseLocation() refuses a password in a location and does not repeat it", () => {
  let message = "";
  try {
    parseLocation("ssh://user:hunter2@host/x");
  } catch (error) {
    message = String(error);
  }
  expect(message).toContain("a password does not belong on the command line");
  expect(message).not.toContain("hunter2");
});

test("parseLocation() tells what a location of another kind is to be written as", () => {
  const cases: readonly (readonly [text: string, hint: string])[] = [
    ["file:///srv/disk.img", 'write "/srv/disk.img"'],
    ["file://localhost/srv/disk.img", 'write "/srv/disk.img"'],
    ["sftp://root@box:2222/x", 'blocksync goes over ssh: "ssh://root@box:2222/x"'],
    ["rsync://box/x", 'blocksync goes over ssh: "ssh://box/x"'],
    ["https://box/x.img", "a URL can only be the source of a sync, or one side of compare"],
    ["ftp://box/x.img", "download it first (curl -O), then use the file"],
    ["nbd://box/x", "blocksync reads paths, HOST:PATH and ssh://HOST/PATH"],
    ["box::module/x", 'there is no rsync daemon here: write "box:/module/x"'],
    ["C:\\disk.img", "this is a Windows path; in WSL C:\\disk.img is /mnt/c/disk.img"],
    ["\\\\.\\PhysicalDrive0", "this is a Windows path; lsblk lists the disks of this machine"],
  ];
  for (const [text, hint] of cases)
    expect(refusal(() => parseLocation(text))).toEqual({
      message: `Cannot read ${JSON.stringify(text)} as PATH or HOST:PATH`,
      hint,
    });
  for (const text of ["./file://x", "/srv/a::b", "box:a::b"])
    expect(said(() => parseLocation(text))).toBe("nothing thrown");
});

test("parseLocation() asks for brackets around an IPv6 address", () => {
  const cases: readonly (readonly [text: string, meant: string])[] = [
    ["::1", "[::1]:PATH"],
    ["fe80::1%eth0:/dev/sdb", "[fe80::1%eth0]:/dev/sdb"],
    ["root@2001:db8:0:0:0:0:0:7:/x", "root@[2001:db8:0:0:0:0:0:7]:/x"],
  ];
  for (const [text, meant] of cases)
    expect(refusal(() => parseLocation(text))).toEqual({
      message: `Cannot read "${text}" as HOST:PATH`,
      hint: `put an IPv6 address into brackets: "${meant}"`,
    });
  for (const text of ["a:b:c", "cafe:1:2", "dead:/beef::1"])
    expect(said(() => parseLocation(text))).toBe("nothing thrown");
});

test("noticesOfPause() speaks up where a pause looks like a port", () => {
  const seen = (pauseMs: number, ...texts: string[]) =>
    noticesOfPause(
      pauseMs,
      texts.map((text) => parseLocation(text)),
    );
  expect(seen(2222, "/dev/sda", "root@box:/x")).toEqual([
    '-p 2222 rests 2222 ms after each block; for port 2222 write "ssh://root@box:2222/x"',
  ]);
  expect(seen(22, "box:x", "y")).toEqual(["-p 22 rests 22 ms after each block; for port 22 write ssh://HOST:22/PATH"]);
  for (const pauseMs of [0, 10, 50, 1000, 65_536]) expect(seen(pauseMs, "a", "box:/x")).toEqual([]);
  expect([seen(2222, "a", "b"), seen(2222, "a", "ssh://box:7/b")]).toEqual([[], []]);
});

test("parseLocations() refuses what a shell would have expanded, unless a file has that name", () => {
  for (const word of ["~/x.img", "~", "~me/x", "$HOME/x.img", "$\u007bDISK}", "$1"]) {
    const expected = {
      message: `The shell did not expand "${word}"`,
      hint: `leave "${word[0]}" outside the quotes; for a file of that name write "./${word}"`,
    };
    expect(refusal(() => pair(word, "b"))).toEqual(expected);
    expect(refusal(() => pair("a", word))).toEqual(expected);
    const exists = (path: string) => path === word;
    expect(said(() => parseLocations([word, "b"], { exists, forHost: false }))).toBe("nothing thrown");
    for (const name of [`./${word}`, `dir/${word}`, `/srv/${word}`])
      expect(said(() => pair("a", name))).toBe("nothing thrown");
  }
  for (const name of ["$", "$(x)", "a~", "a$b"]) expect(said(() => pair("a", name))).toBe("nothing thrown");
});

test("parseLocation() refuses what nobody expands on the far side, where only ~/ is", () => {
  for (const path of ["~me/x", "$HOME/x.img"]) {
    const expected = {
      message: `Cannot expand "${path}" on the far side`,
      hint: `only ~/ is; write the path in full, or for a file of that name "box:./${path}"`,
    };
    expect(refusal(() => parseLocation(`box:${path}`))).toEqual(expected);
    expect(refusal(() => pair("a", "box", path))).toEqual(expected);
    expect(said(() => parseLocation(`box:./${path}`))).toBe("nothing thrown");
  }
  for (const path of ["~", "~/x", "x~", "$"]) expect(said(() => parseLocation(`box:${path}`))).toBe("nothing thrown");
});

test("parseLocation() refuses a port in the path's place", () => {
  expect(refusal(() => parseLocation("root@box:2222:/dev/sdb"))).toEqual({
    message: 'Cannot read "root@box:2222:/dev/sdb" as HOST:PATH',
    hint: 'for port 2222 write "ssh://root@box:2222/dev/sdb"',
  });
  for (const text of ["box:22:x", "box:./22:/x", "box:2222/x"])
    expect(said(() => parseLocation(text))).toBe("nothing thrown");
});

test("parseLocations() asks for the slash of /dev and the colon of a host that were left out", () => {
  const cases: readonly (readonly [word: string, first: string, meant: string])[] = [
    ["dev/sdb", "dev", "/dev/sdb"],
    ["root@box/srv/x", "root@box", "root@box:/srv/x"],
    ["192.0.2.1/srv/x", "192.0.2.1", "192.0.2.1:/srv/x"],
    ["box/dev/sdb", "box", "box:/dev/sdb"],
  ];
  for (const [word, first, meant] of cases) {
    const expected = { message: `There is no directory "${first}" for "${word}"`, hint: `did you mean "${meant}"?` };
    expect(refusal(() => pair("a", word))).toEqual(expected);
    expect(refusal(() => pair(word, "b"))).toEqual(expected);
    const exists = (path: string) => path === first;
    expect(said(() => parseLocations(["a", word], { exists, forHost: false }))).toBe("nothing thrown");
    expect(said(() => pair("a", "box", word))).toBe("nothing thrown");
  }
  for (const word of ["dir/x", "/dev/sdb", "./dev/sdb", "box:dev/sdb", "a/b@c/d"])
    expect(said(() => pair("a", word))).toBe("nothing thrown");
});
