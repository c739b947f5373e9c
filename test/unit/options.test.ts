import { afterEach, expect, test } from "bun:test";
import { type ArgsDef, parseArgs } from "citty";
import { checkArguments } from "../../src/cli/arguments.ts";
import { commonOptions, syncCommandOptions, type Values } from "../../src/cli/options.ts";
import { compareOptions, syncOptions } from "../../src/cli/table.ts";
import { UsageError } from "../../src/errors.ts";
import type { CommonOptions, SyncCommandOptions } from "../../src/run/options.ts";
import { HASH_NAMES } from "../../src/sync/spec.ts";

const PASSWORD = "BLOCKSYNC_TEST_PASSWORD";

afterEach(() => {
  delete process.env[PASSWORD];
});

/** These words as the command line brings them to options.ts. citty gets a copy of the table, which it changes. */
function sync(...words: string[]): SyncCommandOptions {
  return syncCommandOptions(parseArgs(checkArguments(words, syncOptions), structuredClone<ArgsDef>(syncOptions)));
}

function compare(...words: string[]): CommonOptions {
  return commonOptions(parseArgs(checkArguments(words, compareOptions), structuredClone<ArgsDef>(compareOptions)));
}

/** The UsageError that these words cause. */
function refusal(...words: string[]): { message: string; hint: string | undefined } {
  try {
    sync(...words);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    expect(error.exitCode).toBe(2);
    return { message: error.message, hint: error.hint };
  }
  return { message: "nothing thrown", hint: undefined };
}

function said(...words: string[]): string {
  return refusal(...words).message;
}

test("syncCommandOptions() without options gives the defaults", () => {
  expect(sync()).toEqual({
    blockSize: 1 << 20,
    hash: "auto",
    additionalHash: undefined,
    dropCacheHere: true,
    dropCacheThere: true,
    pauseMs: 0,
    sudo: false,
    shell: { rsh: undefined, identityFile: undefined, cipher: undefined, extraParameters: [], password: false },
    passwordVariable: undefined,
    script: undefined,
    forHost: false,
    timeoutSeconds: 60,
    reconnectMs: 600_000,
    remoteDirectory: "",
    intervalMs: undefined,
    outputFile: undefined,
    progress: "bar",
    quiet: false,
    verbose: false,
    json: false,
    changeMap: undefined,
    notices: [],
    compress: true,
    bytesPerSecond: undefined,
    lanes: 1,
    splayMs: 250,
    discard: false,
    verify: false,
    skip: false,
    retries: undefined,
    rescueMap: undefined,
    undo: undefined,
    dryRun: false,
    createDestination: false,
    force: false,
    allowed: [],
    expectSize: undefined,
    expectSerial: undefined,
    stream: { decompress: "auto", sourceSize: undefined },
    list: undefined,
  });
});

test("commonOptions() gives compare the same defaults", () => {
  const {
    compress,
    bytesPerSecond,
    lanes,
    splayMs,
    discard,
    verify,
    skip,
    retries,
    rescueMap,
    undo,
    dryRun,
    createDestination,
    force,
    ...others
  } = sync();
  const { allowed, expectSize, expectSerial, stream, list, ...common } = others;
  expect([allowed, expectSize, expectSerial, undo]).toEqual([[], undefined, undefined, undefined]);
  expect([stream, list]).toEqual([{ decompress: "auto", sourceSize: undefined }, undefined]);
  expect([compress, bytesPerSecond, dryRun, createDestination, force]).toEqual([true, undefined, false, false, false]);
  expect(compare()).toEqual(common);
});

test("commonOptions() refuses values without the table's defaults", () => {
  const needed = ["block-size", "hash", "fadvise", "pause", "progress"];
  const defaults: Values = parseArgs(checkArguments([], compareOptions), structuredClone<ArgsDef>(compareOptions));
  for (const name of needed) {
    const { [name]: _left, ...values } = defaults;
    expect(() => commonOptions(values)).toThrow(new UsageError(`The option --${name} needs a value`));
  }
});

test("commonOptions() takes block sizes from 4K to 16M in steps of 4K", () => {
  expect(["4K", "4096", "12K", "1M", "1.5M", "16M"].map((size) => sync("-b", size).blockSize)).toEqual([
    4096, 4096, 12288, 1048576, 1572864, 16777216,
  ]);
  for (const text of ["0", "1", "4095", "6K", "16388K", "1G"]) {
    expect(said("-b", text)).toBe(`--block-size "${text}" is not a multiple of 4K from 4K to 16M`);
  }
  expect(said("-b", "many")).toBe('--block-size "many" is not a size such as 4096, 64K or 1M');
});

test("commonOptions() takes every hash as the first and as the additional one, and no other", () => {
  for (const name of HASH_NAMES) {
    expect(sync("--hash", name).hash).toBe(name);
    expect(sync("--additional-hash", name).additionalHash).toBe(name);
  }
  const names = HASH_NAMES.join(", ");
  expect(sync("--hash", "auto").hash).toBe("auto");
  expect(said("-1", "crc32")).toBe(`--hash "crc32" is not one of auto, ${names}`);
  expect(said("-2", "SHA256")).toBe(`--additional-hash "SHA256" is not one of ${names}`);
});

test("commonOptions() splits --fadvise into here and there", () => {
  const answers = ["0", "1", "2", "3"].map((value) => {
    const { dropCacheHere, dropCacheThere } = sync("--fadvise", value);
    return [dropCacheHere, dropCacheThere];
  });
  expect(answers).toEqual([
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ]);
  expect(said("--fadvise", "4")).toBe('--fadvise "4" is not a whole number from 0 to 3');
});

test("commonOptions() takes pauses in milliseconds up to an hour", () => {
  expect(["0", "1", "3600000"].map((pause) => sync("--pause", pause).pauseMs)).toEqual([0, 1, 3600000]);
  for (const pause of ["-1", "3600001", "0.5", "1s"]) {
    expect(said("--pause", pause)).toBe(`--pause "${pause}" is not a whole number from 0 to 3600000`);
  }
});

test("commonOptions() tells whether anything was given that is about a host", () => {
  process.env["BLOCKSYNC_TEST_PASS"] = "x";
  const given = [
    ["-i", "k"],
    ["-c", "aes"],
    ["-x", "-4"],
    ["-e", "rsh"],
    ["-S", "/b"],
    ["-P", "BLOCKSYNC_TEST_PASS"],
  ];
  expect(given.map((words) => sync(...words).forHost)).toEqual(given.map(() => true));
  expect([[], ["-e", "ssh"], ["-s"], ["-w", "2"]].map((words) => sync(...words).forHost)).toEqual(Array(4).fill(false));
  delete process.env["BLOCKSYNC_TEST_PASS"];
});

test("commonOptions() takes intervals in seconds, parts of one included, up to a day", () => {
  expect(["1", "0.25", "86400", "10"].map((interval) => sync("-t", interval).intervalMs)).toEqual([
    1000, 250, 86400000, 10000,
  ]);
  for (const interval of ["0", "-1", "86401", "soon", "NaN", "Infinity", " "]) {
    expect(said("-t", interval)).toBe(`--interval "${interval}" is not a number of seconds above 0, at most a day`);
  }
});

test("commonOptions() shows progress unless it is in the way", () => {
  const shown = (...words: string[]) => sync(...words).progress;
  expect([shown(), shown("--progress", "auto"), shown("--progress", "bar"), shown("-v")]).toEqual([
    "bar",
    "bar",
    "bar",
    "bar",
  ]);
  expect([shown("--progress", "plain"), shown("--json", "--progress", "plain")]).toEqual(["plain", "plain"]);
  expect(shown("--json", "--progress", "bar")).toBe("bar");
  expect([shown("--progress", "none"), shown("-q"), shown("--json"), shown("--progress=plain", "-q")]).toEqual([
    "none",
    "none",
    "none",
    "none",
  ]);
  expect(said("--progress", "fancy")).toBe('--progress "fancy" is not one of auto, bar, plain, none');
});

test("commonOptions() passes flags and names on", () => {
  const options = sync("-s", "-v", "--json", "-o", "log file", "-S", "/opt/blocksync");
  expect(options.sudo).toBe(true);
  expect(options.verbose).toBe(true);
  expect(options.json).toBe(true);
  expect(options.outputFile).toBe("log file");
  expect(options.script).toBe("/opt/blocksync");
  expect(sync("-q").quiet).toBe(true);
});

test("commonOptions() refuses --quiet together with --verbose", () => {
  expect(said("-q", "-v")).toBe("--quiet and --verbose contradict each other");
});

test("commonOptions() takes the password from a variable that is set, and only names it", () => {
  expect(said("--pass", PASSWORD)).toBe(`--pass names the environment variable "${PASSWORD}", which is not set`);
  for (const word of ["hunter2", "HUNTER-2"])
    expect(said("--pass", word)).toBe("--pass names a variable that is not set");
  process.env[PASSWORD] = "secret";
  const options = sync("--pass", PASSWORD);
  expect(options.passwordVariable).toBe(PASSWORD);
  expect(options.shell.password).toBe(true);
  expect(JSON.stringify(options)).not.toContain("secret");
});

test("commonOptions() splits --rsh into words, and knows plain ssh as the default", () => {
  expect(sync("-e", "ssh -F 'my config'").shell.rsh).toEqual(["ssh", "-F", "my config"]);
  expect(sync("-e", "rsh").shell.rsh).toEqual(["rsh"]);
  expect(sync("-e", "ssh").shell.rsh).toBeUndefined();
  expect(sync("-e", " ssh ").shell.rsh).toBeUndefined();
  expect(sync("-e", "/usr/bin/ssh").shell.rsh).toEqual(["/usr/bin/ssh"]);
  expect(said("-e", "  ")).toBe("The value of the option --rsh is empty");
  expect(said("-e", "ssh 'x")).toBe("Cannot read the words of --rsh: The quote ' is not closed");
});

test("commonOptions() hands key, cipher and further words to ssh", () => {
  const { shell } = sync("-i", "/k ey", "-c", "aes128-ctr", "-x", '-p 2222 -o "ProxyCommand=a b"');
  expect(shell).toEqual({
    rsh: undefined,
    identityFile: "/k ey",
    cipher: "aes128-ctr",
    extraParameters: ["-p", "2222", "-o", "ProxyCommand=a b"],
    password: false,
  });
  expect(refusal("-x", "-4 -p")).toEqual({
    message: "ssh's -p in --extra-params lacks its value",
    hint: "quote them together: -x '-p VALUE'",
  });
  expect(said("-x", '"')).toBe('Cannot read the words of --extra-params: The quote " is not closed');
});

test("commonOptions() says that --interpreter is ignored", () => {
  expect(sync("-I", "python3").notices).toEqual(["--interpreter python3 is ignored: blocksync needs no interpreter"]);
});

test("syncCommandOptions() reads dry run, create-dest and force", () => {
  const { dryRun, createDestination, force } = sync("-nfT");
  expect({ dryRun, createDestination, force }).toEqual({ dryRun: true, createDestination: true, force: true });
  expect(sync("--dryrun").dryRun).toBe(true);
  expect(sync("--createdest").createDestination).toBe(true);
});

test("syncCommandOptions() reads --verify and what to do about unreadable areas", () => {
  expect(sync("--verify").verify).toBe(true);
  expect(sync("--on-read-error", "skip", "--retries", "0", "--mapfile", "x.map")).toMatchObject({
    skip: true,
    retries: 0,
    rescueMap: "x.map",
  });
  expect(said("--mapfile", "x.map")).toContain("needs --on-read-error skip");
  expect(said("--retries", "2")).toContain("needs --on-read-error skip");
  expect(said("--on-read-error", "skip", "--retries", "-1")).toContain("is not a whole number from 0 to 1000");
  expect(said("--verify", "-n")).toContain("--verify and --dry-run contradict each other");
});

test("syncCommandOptions() accepts the values of these options that mean what it does anyway", () => {
  const defaults = sync();
  for (const words of [["--workers", "1"], ["--on-read-error", "stop"], ["--splay", "250"], ["-C"]]) {
    expect(sync(...words)).toEqual(defaults);
  }
});

test("syncCommandOptions() takes lanes, the pause between their starts, and --discard", () => {
  expect(sync("-w", "64", "-l", "0", "--discard")).toMatchObject({ lanes: 64, splayMs: 0, discard: true });
});

test("syncCommandOptions() takes --undo for one lane alone", () => {
  expect(sync("--undo", "u.qcow2")).toMatchObject({ lanes: 1, undo: "u.qcow2" });
  expect(sync("--undo", "u.qcow2", "-w", "1").undo).toBe("u.qcow2");
  expect(said("--undo", "u.qcow2", "-w", "2")).toBe(
    "--undo and --workers 2 contradict each other: one lane alone knows what was saved",
  );
});

test("syncCommandOptions() checks whole numbers and choices", () => {
  expect(said("--workers", "0")).toBe('--workers "0" is not a whole number from 1 to 64');
  expect(said("--workers", "65")).toBe('--workers "65" is not a whole number from 1 to 64');
  expect(said("--splay", "-1")).toBe('--splay "-1" is not a whole number from 0 to 3600000');
  expect(said("--on-read-error", "ignore")).toBe('--on-read-error "ignore" is not one of stop, skip');
});

test("syncCommandOptions() compresses unless told not to", () => {
  expect([sync().compress, sync("--no-compress").compress, sync("--no-compress", "-C").compress]).toEqual([
    true,
    false,
    true,
  ]);
});

test("syncCommandOptions() reads --bwlimit as bytes a second, not less than 1K", () => {
  expect([sync("--bwlimit", "10M").bytesPerSecond, sync("--bwlimit", "1K").bytesPerSecond]).toEqual([10 << 20, 1024]);
  expect(said("--bwlimit", "1023")).toContain("less than 1K");
});

test("syncCommandOptions() takes the refusals to override, and names them when another is given", () => {
  expect(sync("--allow", "mounted").allowed).toEqual(["mounted"]);
  expect(sync("--allow", "held, in-use,locked").allowed).toEqual(["held", "in-use", "locked"]);
  for (const name of ["swap", "same-file", "too-small", "read-only", "root-disk", "nonsense", ""]) {
    expect(said("--allow", `mounted,${name}`)).toBe(
      `--allow ${JSON.stringify(name)} is not one of mounted, held, in-use, locked, unseen, packed`,
    );
  }
});

test("syncCommandOptions() reads how a source that is read once is taken", () => {
  expect(sync("--decompress", "never", "--source-size", "64G").stream).toEqual({
    decompress: "never",
    sourceSize: 2 ** 36,
  });
  expect(said("--decompress", "yes")).toBe('--decompress "yes" is not one of auto, always, never');
  expect(said("--source-size", "much")).toContain("--source-size");
});

test("syncCommandOptions() reads what destination to expect", () => {
  expect(sync("--expect-size", "4M", "--expect-serial", "S 1")).toMatchObject({
    expectSize: 4 << 20,
    expectSerial: "S 1",
  });
  expect(said("--expect-size", "big")).toBe('--expect-size "big" is not a size such as 4096, 64K or 1M');
});

test("syncCommandOptions() bounds the memory of lanes", () => {
  expect(sync("-w", "64").lanes).toBe(64);
  expect(sync("-w", "4", "-b", "16M").lanes).toBe(4);
  expect(said("-w", "5", "-b", "16M")).toBe("--workers 5 with blocks of 16777216 bytes would take too much memory");
  expect(refusal("-w", "64", "-b", "2M").hint).toStartWith("use at most 32 lanes");
});
