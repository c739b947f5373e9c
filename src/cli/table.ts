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
    description: "unit of comparison: 4K to 16M in steps of 4K; suffixes K M G",
  },
  hash: {
    type: "string",
    alias: ["1"],
    valueHint: "NAME",
    default: "auto",
    description: "hash for comparing blocks: auto gmac xxh3-xxh64 xxh128 sha256 sha512 blake2b512 md5 sha1",
  },
  "additional-hash": {
    type: "string",
    alias: ["2", "additionalhash"],
    valueHint: "NAME",
    description: "require a second hash to match too",
  },
  fadvise: {
    type: "string",
    alias: ["d"],
    valueHint: "0-3",
    default: "3",
    description: "drop what was read from the page cache: 0 no, 1 here, 2 on the far side, 3 both",
  },
  pause: {
    type: "string",
    alias: ["p"],
    valueHint: "MS",
    default: "0",
    description: "rest MS milliseconds after each block",
  },
  sudo: { type: "boolean", alias: ["s"], description: "run the far side through sudo" },
  id: { type: "string", alias: ["i"], valueHint: "FILE", description: "key file for ssh (ssh -i)" },
  cipher: {
    type: "string",
    alias: ["c"],
    valueHint: "SPEC",
    description: "cipher for ssh (ssh -c); by default ssh chooses",
  },
  "extra-params": {
    type: "string",
    alias: ["x", "extraparams"],
    valueHint: "WORDS",
    description: "more arguments for ssh",
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
    description: "remote shell to use instead of ssh, as for rsync",
  },
  script: {
    type: "string",
    alias: ["S", "remote-path"],
    valueHint: "PATH",
    description: "run the blocksync already at PATH on the far side; copy nothing",
  },
  timeout: {
    type: "string",
    valueHint: "SECONDS",
    default: "60",
    description: "give up on a far side that stays silent for SECONDS: 1 to 3600",
  },
  reconnect: {
    type: "string",
    valueHint: "TIME",
    default: "10m",
    description: "go on after a lost connection, and try for so long; 0 for never",
  },
  interpreter: {
    type: "string",
    alias: ["I"],
    valueHint: "NAME",
    description: "accepted for old command lines and ignored",
  },
  interval: {
    type: "string",
    alias: ["t"],
    valueHint: "SECONDS",
    description: "time between progress lines; default 1 on a terminal and for --json, 60 elsewhere",
  },
  output: { type: "string", alias: ["o"], valueHint: "FILE", description: "append messages and progress to FILE" },
  progress: {
    type: "string",
    valueHint: "KIND",
    default: "auto",
    description: "how to show progress: auto, bar, plain or none",
  },
  quiet: { type: "boolean", alias: ["q"], description: "print only warnings and errors" },
  verbose: { type: "boolean", alias: ["v"], description: "print more detail, with ssh's command line" },
  map: {
    type: "string",
    valueHint: "[FILE.svg|FILE.json]",
    description: "show where the sides differ, or write that as a picture or a list",
  },
  json: { type: "boolean", description: "print events to standard output, one JSON object a line" },
  help: { type: "boolean", alias: ["h"], description: "print this help" },
} as const satisfies ArgsDef;

/** About the hash tree of an image. */
const treeOptions = {
  tree: {
    type: "string",
    valueHint: "FILE",
    description:
      "the hash tree of the image: a dm-verity file, or an index of RAUC; index writes it, by default IMAGE.verity",
  },
  "root-hash": {
    type: "string",
    valueHint: "HEX",
    description: "demand that the hash tree has this root hash, 64 hexadecimal digits",
  },
} as const satisfies ArgsDef;

/** About a source at a web server. */
const webOptions = {
  header: {
    type: "string",
    valueHint: "TEXT",
    description: "send a header with each request for a URL; @FILE for those in a file",
  },
  cacert: { type: "string", valueHint: "FILE", description: "trust the certificates in FILE for https, and no others" },
} as const satisfies ArgsDef;

export const syncOptions = {
  ...sharedOptions,
  ...treeOptions,
  ...webOptions,
  workers: {
    type: "string",
    alias: ["w"],
    valueHint: "N",
    default: "1",
    description: "lanes: connections that share the work",
  },
  splay: { type: "string", alias: ["l"], valueHint: "MS", default: "250", description: "delay between starting lanes" },
  bwlimit: {
    type: "string",
    valueHint: "RATE",
    description: "limit network traffic, each way, in bytes a second, such as 10M",
  },
  compress: {
    type: "boolean",
    alias: ["C"],
    default: true,
    description: "compress what is sent (zstd) when that saves bytes; --no-compress turns it off",
  },
  discard: { type: "boolean", description: "discard (TRIM) zeroed areas, on a device where they then read as zeros" },
  "dry-run": { type: "boolean", alias: ["n", "dryrun"], description: "write nothing; exit 1 if anything differs" },
  "create-dest": {
    type: "boolean",
    alias: ["T", "createdest"],
    description: "make a destination file exactly the source's size: create, grow or cut it",
  },
  verify: {
    type: "boolean",
    description: "read both sides again in full afterwards, the destination past the page cache",
  },
  force: { type: "boolean", alias: ["f"], description: "do not ask for confirmation; refusals still apply" },
  allow: {
    type: "string",
    valueHint: "NAME,…",
    description: "override these refusals: mounted held in-use locked unseen packed",
  },
  "expect-size": { type: "string", valueHint: "SIZE", description: "refuse a destination of any other size" },
  "expect-serial": {
    type: "string",
    valueHint: "TEXT",
    description: "refuse a destination device with any other serial number",
  },
  decompress: {
    type: "string",
    valueHint: "WHEN",
    default: "auto",
    description: "unpack a gz, xz, zst or bz2 source: auto for a block device, always or never",
  },
  "source-size": {
    type: "string",
    valueHint: "SIZE",
    description: "size that the source must have: refuse any other",
  },
  "used-blocks": {
    type: "string",
    valueHint: "FILE",
    description: "look only at what FILE lists as used; the rest may hold anything",
  },
  "changed-blocks": {
    type: "string",
    valueHint: "FILE",
    description: "look only at what FILE lists as changed; the rest is said to be equal",
  },
  "on-read-error": {
    type: "string",
    valueHint: "ACTION",
    default: "stop",
    description: "where the source cannot be read: stop, or skip and leave the destination untouched",
  },
  retries: {
    type: "string",
    valueHint: "N",
    description: "retry each bad sector N times, including those the map lists as bad",
  },
  mapfile: {
    type: "string",
    valueHint: "FILE",
    description: "keep a GNU ddrescue map of what was read and what is bad, and continue from it",
  },
  undo: {
    type: "string",
    valueHint: "FILE.qcow2|DIR/",
    description: "on the destination's machine: save there first what is overwritten, for qemu-img commit",
  },
} as const satisfies ArgsDef;

export const compareOptions = { ...sharedOptions, ...treeOptions, ...webOptions } as const satisfies ArgsDef;

export const indexOptions = {
  tree: treeOptions.tree,
  output: sharedOptions.output,
  quiet: sharedOptions.quiet,
  verbose: sharedOptions.verbose,
  help: sharedOptions.help,
} as const satisfies ArgsDef;

export const historyOptions = { help: sharedOptions.help } as const satisfies ArgsDef;

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
    description: "open this path and no other, for a forced command; the client may override what --allow names",
  },
  "read-only": { type: "boolean", description: "never write to the path of --only" },
  /** With --only: what the client may override. */
  allow: syncOptions.allow,
} as const satisfies ArgsDef;

/** What each command takes. */
export const commandOptions = {
  sync: syncOptions,
  compare: compareOptions,
  index: indexOptions,
  history: historyOptions,
  clean: cleanOptions,
  serve: serveOptions,
} as const satisfies Record<string, ArgsDef>;

/** Instead of any command, and alone. */
export const versionOption = {
  version: { type: "boolean", alias: ["V"], description: "print version and build" },
} as const satisfies ArgsDef;
