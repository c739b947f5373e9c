/**
 * Every option, once: citty parses by this table, arguments.ts checks by it, help.ts prints it, the man page and the
 * shells' completions are made from it. The first alias of one letter is the short form; the letters are blocksync.py's
 * own.
 */
import type { ArgsDef } from "citty";

const sharedOptions = {
  "block-size": {
    type: "string",
    alias: ["b", "blocksize"],
    valueHint: "SIZE",
    default: "1M",
    description: "unit of comparison: 4K to 16M, a multiple of 4K; suffixes K M G",
  },
  hash: {
    type: "string",
    alias: ["1"],
    valueHint: "NAME",
    default: "xxh3-xxh64",
    description: "hash of a block: xxh3-xxh64 xxh128 sha256 sha512 blake2b512 md5 sha1",
  },
  "additional-hash": {
    type: "string",
    alias: ["2", "additionalhash"],
    valueHint: "NAME",
    description: "a second hash that must match too",
  },
  fadvise: {
    type: "string",
    alias: ["d"],
    valueHint: "0-3",
    default: "3",
    description: "drop what was read from the page cache: 0 off, 1 here, 2 there, 3 both",
  },
  pause: { type: "string", alias: ["p"], valueHint: "MS", default: "0", description: "rest after each block" },
  sudo: { type: "boolean", alias: ["s"], description: "run the far end through sudo" },
  id: { type: "string", alias: ["i"], valueHint: "FILE", description: "key file, handed to ssh" },
  cipher: {
    type: "string",
    alias: ["c"],
    valueHint: "SPEC",
    description: "cipher, handed to ssh; none is set unless asked",
  },
  "extra-params": {
    type: "string",
    alias: ["x", "extraparams"],
    valueHint: "WORDS",
    description: "further words for ssh",
  },
  pass: {
    type: "string",
    alias: ["P"],
    valueHint: "VAR",
    description: "environment variable that holds the ssh password",
  },
  rsh: {
    type: "string",
    alias: ["e"],
    valueHint: "COMMAND",
    default: "ssh",
    description: "use this instead of ssh, as rsync does",
  },
  script: {
    type: "string",
    alias: ["S", "remote-path"],
    valueHint: "PATH",
    description: "run the blocksync already at PATH on the remote; copy nothing",
  },
  timeout: {
    type: "string",
    valueHint: "SECONDS",
    default: "60",
    description: "give up when the far side is silent for so long: 1 to 3600",
  },
  interpreter: {
    type: "string",
    alias: ["I"],
    valueHint: "NAME",
    description: "accepted for old command lines, ignored",
  },
  interval: {
    type: "string",
    alias: ["t"],
    valueHint: "SECONDS",
    description: "between progress lines; 1 on a terminal and for --json, 60 elsewhere",
  },
  output: { type: "string", alias: ["o"], valueHint: "FILE", description: "append messages and progress there" },
  progress: { type: "string", valueHint: "KIND", default: "auto", description: "auto, bar, plain or none" },
  quiet: { type: "boolean", alias: ["q"], description: "only warnings and errors" },
  verbose: { type: "boolean", alias: ["v"], description: "also say what is done, with ssh's command line" },
  map: {
    type: "string",
    valueHint: "[FILE.svg|FILE.json]",
    description: "show where things differ, or write a picture or a list of it",
  },
  json: { type: "boolean", description: "events as one JSON object a line on standard output" },
  help: { type: "boolean", alias: ["h"], description: "print this list" },
} as const satisfies ArgsDef;

export const syncOptions = {
  ...sharedOptions,
  workers: {
    type: "string",
    alias: ["w"],
    valueHint: "N",
    default: "1",
    description: "lanes: connections that share the work",
  },
  splay: { type: "string", alias: ["l"], valueHint: "MS", default: "250", description: "pause between starting lanes" },
  bwlimit: { type: "string", valueHint: "RATE", description: "most bytes a second on the wire, each way, such as 10M" },
  compress: {
    type: "boolean",
    alias: ["C"],
    default: true,
    description: "zstd for what is sent, when it pays; --no-compress turns it off",
  },
  discard: { type: "boolean", description: "let a device forget what becomes zero, where it then reads zeros" },
  "dry-run": { type: "boolean", alias: ["n", "dryrun"], description: "write nothing; exit 1 if something differs" },
  "create-dest": {
    type: "boolean",
    alias: ["T", "createdest"],
    description: "make a regular-file destination exactly the source's size",
  },
  verify: {
    type: "boolean",
    description: "afterwards read all of both sides again, holes too, the destination past the page cache",
  },
  force: { type: "boolean", alias: ["f"], description: "do not ask for confirmation; overrides no refusal" },
  allow: {
    type: "string",
    valueHint: "NAME,…",
    description: "override these refusals: mounted held in-use locked unseen",
  },
  "expect-size": { type: "string", valueHint: "SIZE", description: "refuse a destination of any other size" },
  "expect-serial": {
    type: "string",
    valueHint: "TEXT",
    description: "refuse a destination device with any other serial number",
  },
  "on-read-error": {
    type: "string",
    valueHint: "ACTION",
    default: "stop",
    description: "unreadable source areas: stop, or skip and leave the destination untouched",
  },
  retries: {
    type: "string",
    valueHint: "N",
    description: "try bad sectors so often again, also those that the map calls bad",
  },
  mapfile: {
    type: "string",
    valueHint: "FILE",
    description: "GNU ddrescue's map of what was read and what is bad: kept while the run goes on, and gone on with",
  },
} as const satisfies ArgsDef;

export const compareOptions = sharedOptions;

export const cleanOptions = {
  id: sharedOptions.id,
  cipher: sharedOptions.cipher,
  "extra-params": sharedOptions["extra-params"],
  pass: sharedOptions.pass,
  rsh: sharedOptions.rsh,
  timeout: sharedOptions.timeout,
  quiet: sharedOptions.quiet,
  verbose: sharedOptions.verbose,
  help: sharedOptions.help,
} as const satisfies ArgsDef;

export const serveOptions = {
  help: sharedOptions.help,
  only: {
    type: "string",
    valueHint: "PATH",
    description: "open this path and no other, for a forced command; the client overrides what --allow says",
  },
  "read-only": { type: "boolean", description: "with --only: never write to it" },
  /** With --only: what the client may override. */
  allow: syncOptions.allow,
} as const satisfies ArgsDef;

/** What each command takes. */
export const commandOptions = {
  sync: syncOptions,
  compare: compareOptions,
  clean: cleanOptions,
  serve: serveOptions,
} as const satisfies Record<string, ArgsDef>;

/** Instead of any command, and alone. */
export const versionOption = {
  version: { type: "boolean", alias: ["V"], description: "print version and build" },
} as const satisfies ArgsDef;
