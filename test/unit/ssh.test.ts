import { expect, test } from "bun:test";
import { ExitCode, UsageError } from "../../src/errors.ts";
import {
  checkHost,
  loginByHand,
  type RemoteHost,
  type ShellOptions,
  shellCommand,
  shownCommand,
} from "../../src/remote/host/ssh.ts";

const OURS = [
  "-T",
  "-o",
  "IgnoreUnknown=*",
  "-o",
  "RemoteCommand=none",
  "-o",
  "SessionType=default",
  "-o",
  "StdinNull=no",
  "-o",
  "ForkAfterAuthentication=no",
  "-o",
  "RequestTTY=no",
  "-o",
  "ClearAllForwardings=yes",
  "-o",
  "ServerAliveInterval=15",
  "-o",
  "ServerAliveCountMax=4",
];

function remote(changes: Partial<RemoteHost> = {}): RemoteHost {
  return { user: undefined, host: "box", port: undefined, ...changes };
}

function command(host: Partial<RemoteHost>, options: Partial<ShellOptions> = {}): string[] {
  const none = { rsh: undefined, identityFile: undefined, cipher: undefined, extraParameters: [], password: false };
  return shellCommand(remote(host), { ...none, ...options }, "sh -c 'x y'");
}

function refusal(host: Partial<RemoteHost>): { message: string; exitCode: number } | undefined {
  try {
    checkHost(remote(host));
  } catch (error) {
    if (error instanceof UsageError) return { message: error.message, exitCode: error.exitCode };
    throw error;
  }
  return undefined;
}

test("shellCommand() is ssh, our options, the host and the command as one word", () => {
  expect(command({})).toEqual(["ssh", ...OURS, "box", "sh -c 'x y'"]);
});

test("shellCommand() names the user and the port", () => {
  expect(command({ user: "root", port: 2222 })).toEqual(["ssh", "-p", "2222", ...OURS, "root@box", "sh -c 'x y'"]);
});

test("shellCommand() gives an IPv6 address without brackets", () => {
  expect(command({ user: "root", host: "fe80::1%eth0" }).slice(-2)).toEqual(["root@fe80::1%eth0", "sh -c 'x y'"]);
});

test("shellCommand() puts the user's own options before ours, because the first one wins", () => {
  const options = {
    identityFile: "/k e y",
    cipher: "aes128-ctr",
    extraParameters: ["-o", "RequestTTY=yes", "-p", "1"],
  };
  expect(command({ port: 2 }, options)).toEqual([
    "ssh",
    "-i",
    "/k e y",
    "-c",
    "aes128-ctr",
    "-o",
    "RequestTTY=yes",
    "-p",
    "1",
    "-p",
    "2",
    ...OURS,
    "box",
    "sh -c 'x y'",
  ]);
});

test("shellCommand() sets no cipher, key or password prompt unless asked", () => {
  const words = command({});
  expect(words.filter((word) => word === "-c" || word === "-i" || word.includes("Password"))).toEqual([]);
});

test("shellCommand() lets ssh ask for a password once only, when blocksync answers", () => {
  expect(command({}, { password: true })).toEqual([
    "ssh",
    ...OURS,
    "-o",
    "NumberOfPasswordPrompts=1",
    "box",
    "sh -c 'x y'",
  ]);
});

test("shellCommand() gives ssh's options to an ssh of another path too", () => {
  expect(command({}, { rsh: ["/opt/bin/ssh", "-F", "none"] })).toEqual([
    "/opt/bin/ssh",
    "-F",
    "none",
    ...OURS,
    "box",
    "sh -c 'x y'",
  ]);
});

test("shellCommand() gives a program that is no ssh only what every such program takes", () => {
  const words = command({ user: "u", port: 7 }, { rsh: ["podman-sh", "x"], extraParameters: ["-v"], password: true });
  expect(words).toEqual(["podman-sh", "x", "-v", "-p", "7", "u@box", "sh -c 'x y'"]);
  expect(command({}, { rsh: ["sshpass", "ssh"] })).toEqual(["sshpass", "ssh", "box", "sh -c 'x y'"]);
});

test("shellCommand() does not change the words of --rsh that it was given", () => {
  const rsh = ["ssh", "-v"];
  command({ port: 1 }, { rsh, password: true });
  expect(rsh).toEqual(["ssh", "-v"]);
});

test("checkHost() accepts names and addresses", () => {
  const hosts: Partial<RemoteHost>[] = [
    {},
    { host: "a-b.c" },
    { host: "::1" },
    { user: "o'neil@corp", host: "192.0.2.1" },
  ];
  for (const host of hosts) expect(refusal(host)).toBeUndefined();
});

test("checkHost() refuses what ssh would take for an option", () => {
  const exitCode = ExitCode.usage;
  const message = (word: string) => `The host "${word}" begins with "-", which ssh would take for an option`;
  expect(refusal({ host: "-oProxyCommand=x" })).toEqual({ message: message("-oProxyCommand=x"), exitCode });
  expect(refusal({ host: "-" })).toEqual({ message: message("-"), exitCode });
  expect(refusal({ user: "-l", host: "box" })).toEqual({ message: message("-l"), exitCode });
});

test("checkHost() refuses an empty host and white space", () => {
  const exitCode = ExitCode.usage;
  expect(refusal({ host: "" })).toEqual({ message: "The name of the host is empty", exitCode });
  for (const word of ["a b", " a", "a\t", "a\nb", "a\0"]) {
    const message = `The host ${JSON.stringify(word)} contains white space`;
    expect(refusal({ host: word })).toEqual({ message, exitCode });
    expect(refusal({ user: word })).toEqual({ message, exitCode });
  }
});

test("shellCommand() checks the host before anything is started", () => {
  expect(() => command({ host: "-oProxyCommand=x" })).toThrow(UsageError);
  expect(() => command({ user: "-x" }, { rsh: ["rsh"] })).toThrow(UsageError);
});

test("shownCommand() can be pasted into a shell, and leaves passwords out", () => {
  expect(shownCommand(["ssh", "-F", "my config", "-o", "User='x' y", "root@box"])).toBe(
    "ssh -F 'my config' -o 'User='\\''x'\\'' y' root@box",
  );
  expect(shownCommand(["env", "SSHPASS=secret", "plink", "-pw", "secret", "-o", "ProxyCommand nc -P u:secret x"])).toBe(
    "env 'SSHPASS=…' plink -pw … -o 'ProxyCommand …'",
  );
  for (const words of [["-p", "secret"], ["-psecret"]]) {
    const shown = shownCommand(["/usr/bin/sshpass", ...words, "ssh", "-p", "2222", "root@box"]);
    expect(shown).toBe(`/usr/bin/sshpass ${words.length === 2 ? "-p …" : "-p…"} ssh -p 2222 root@box`);
  }
  const proxy = "X=connect http://me:secret@proxy:80 %h %p";
  expect(shownCommand(["ssh", "-o", proxy, "box"])).toBe("ssh -o 'X=connect http://me:…@proxy:80 %h %p' box");
  expect(shownCommand(["ssh", "a\nb"])).toBe("ssh 'a b'");
  expect(shownCommand(["ssh", "-o", "SetEnv=PASSWORD=secret", "-o", "NumberOfPasswordPrompts=1", "box"])).toBe(
    "ssh -o 'SetEnv=PASSWORD=…' -o NumberOfPasswordPrompts=1 box",
  );
  expect(shownCommand(["env", "token=abc", "API_SECRET=x y", "DB_PASS_1=z", "tunnel", "box"])).toBe(
    "env 'token=…' 'API_SECRET=…' 'DB_PASS_1=…' tunnel box",
  );
});

test("loginByHand() is the user's own part of the command", () => {
  const options = { identityFile: "/k", cipher: "c", extraParameters: ["-4"], password: true };
  const far = remote({ user: "root", port: 2222 });
  expect(loginByHand(far, { rsh: undefined, ...options })).toBe("ssh -i /k -c c -4 -p 2222 root@box true");
  expect(loginByHand(far, { rsh: ["my ssh"], ...options })).toBe("the --rsh command followed by the host and true");
});
