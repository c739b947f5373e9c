/**
 * Options, commands and operands that people type out of habit, with what to use here, or why nothing is needed: the words
 * of rsync(1), scp(1), dd(1), cmp(1), pv(1), ddrescue(1), bdsync(1), blocksync-fast(1) and the forks of blocksync.py, and
 * what is guessed most often. Words of blocksync's own are not looked up here. Pure.
 */

type Answers = readonly (readonly [answer: string, words: string])[];

const PART =
  "blocksync takes whole files and devices; for a part of one attach a loop device (losetup -o OFFSET --sizelimit SIZE)";
const SHOWN = "a terminal shows progress anyway; --progress bar, plain or none chooses how, --json prints events";

const OPTIONS: Answers = [
  [
    "blocksync makes one file or device equal to another; for directories and their files use rsync",
    `--recursive --inc-recursive --i-r --relative -R --dirs --old-dirs --old-d --mkpath --files-from --from0 --exclude --exclude-from --include
    --include-from --filter --cvs-exclude --prune-empty-dirs --one-file-system --existing --ignore-existing --ignore-non-existing --update -u
    --max-size --min-size --no-implied-dirs --list-only --fuzzy --compare-dest --delay-updates --ignore-missing-args
    --remove-source-files --copy-as -m`,
  ],
  [
    "not needed: blocksync copies contents only, no owners, permissions, times or links",
    `--archive -a --perms --owner -O --group -g --times --links --acls -A --xattrs -X --hard-links -H --executability -E --chmod
    --chown --usermap --groupmap --numeric-ids --atimes -U --crtimes -N --omit-dir-times --omit-link-times --super
    --fake-super --copy-links -L --copy-unsafe-links --safe-links --munge-links --insecure-links --copy-dirlinks -k --keep-dirlinks -K
    --specials --devices -D --preserve --open-noatime`,
  ],
  [
    "not needed: blocksync always writes in place, and only what differs",
    "--inplace --whole-file -W --write-devices --copy-devices --temp-dir",
  ],
  [
    "not needed: blocksync deletes nothing; -T cuts a longer destination file to the source's size",
    `--delete --del --delete-before --delete-during --delete-delay --delete-after --delete-excluded --delete-missing-args
    --max-delete --ignore-errors --truncate`,
  ],
  [
    "not needed: holes stay holes in a new file, and --discard releases what becomes zero on a device",
    "--sparse --zeroblocks --preallocate",
  ],
  [
    "not needed: run the same command again; it sends and writes only what still differs",
    "--partial --partial-dir --append --append-verify --resume --continue",
  ],
  [
    "not needed: a run succeeds only once everything is flushed to stable storage (fsync)",
    "--fsync --sync --sync-writes --synchronous -y --flush",
  ],
  [
    "not needed: blocksync compares contents, never times or sizes alone; --verify reads both sides again at the end",
    `--checksum --ignore-times --size-only --modify-window --compare-before-write --trust-sender --twopass`,
  ],
  [
    "--hash NAME chooses the hash of a block; the default suits nearly everything",
    "--checksum-choice --cc --hashalg --algo --algorithm --list-algos --benchmark-algos --checksum-seed --salt",
  ],
  ["both sides are always compared; there is no blind copy", "--no-compare"],
  [
    "to keep generations, snapshot or reflink the destination before each run (cp --reflink, LVM, btrfs, ZFS)",
    "--link-dest --copy-dest --backup --backup-dir --suffix --snapshot",
  ],
  [
    "not needed: what is sent is compressed where that saves bytes; --no-compress turns it off",
    "-z --compress-level --compress-threads --zt --compress-choice --zc --zl --skip-compress --zstd --lz4 --lzo --gzip",
  ],
  ["the port is part of the address: ssh://HOST:PORT/PATH; or -x '-p PORT'", "--port"],
  [
    "ssh's own options go to ssh: -x '-4', or ~/.ssh/config",
    "-4 --ipv4 -6 --ipv6 -F --address --sockopts --ssh-options --blocking-io",
  ],
  ["reach a host through another with -x '-J HOST', or ProxyJump in ~/.ssh/config", "-J --jump"],
  ["--id FILE (-i) names ssh's key", "--identity --identity-file --key --ssh-key"],
  ["--cipher SPEC (-c) chooses ssh's cipher", "--encalg"],
  [
    "a password does not belong on the command line: --pass VAR names the variable that holds it, or use a key",
    "--password --passwd --password-file --passphrase",
  ],
  ["--timeout SECONDS covers connecting too", "--contimeout --connect-timeout"],
  ["--sudo (-s) runs the far side as root; --script PATH runs a blocksync already installed there", "--rsync-path"],
  [
    "blocksync starts its far side by itself, over ssh",
    "--server --sender --daemon --remote-option -M --protocol --remote --no-motd --early-input",
  ],
  ["a key can be held to one path of its host: a forced command, serve --only PATH", "--confine-root"],
  ["file names are passed on byte for byte", "--iconv --8-bit-output -8 --old-args --secluded-args --protect-args"],
  ["USER@HOST:PATH names a file on another host", "--host --user --login"],
  [
    "name the source, then the destination: blocksync SOURCE DESTINATION",
    "--src --source --from --dst --dest --destination --to --pull --push",
  ],
  [
    "not needed: both sides are read and compared; blocksync keeps no file of digests or differences",
    `--digest --make-digest --digest-info --delta --make-delta --apply-delta --delta-info --dont-write-digest --patch
    --warndev --remdata --diffsize --fixoffset --write-batch --only-write-batch --read-batch`,
  ],
  [
    "--dry-run (-n) writes nothing, and exits 1 if something differs",
    "--dont-write --dont-write-target --simulate --test --noop --check",
  ],
  [
    "--bwlimit RATE limits what crosses the network, such as --bwlimit 10M for 10 MiB/s",
    "--rate-limit --limit --rate --max-rate --max-read-rate -Z --throttle",
  ],
  [
    SHOWN,
    `--info --stats --human-readable --eta --fineta --timer --average-rate --bytes --buffer-percent --last-written --format
    --numeric --wait --width --height --name --cursor --bar --progress-detail --no-progress --data-preview --outbuf`,
  ],
  ["--quiet (-q) prints only warnings and errors", "--silent"],
  [
    "--output FILE appends messages and progress to a file",
    "--log-file --log --logfile --log-file-format --log-events --log-rates --log-reads --out-format --debug --stderr",
  ],
  [
    "--map shows where the sides differ; blocksync compare A B lists the ranges",
    "--itemize-changes --print-bytes --list",
  ],
  ["sizes are in units of 1024: KiB, MiB, GiB", "-B --binary-prefixes"],
  ["the summary ends with a fingerprint of both sides", "--showsum"],
  [
    "stop a run whenever you like (Ctrl-C, timeout 1h blocksync …); the same command continues later",
    "--stop-after --stop-at --time-limit",
  ],
  ["start it with nice and ionice instead", "--cpuidle --nice --ionice"],
  [
    "not needed: what was read is dropped from the page cache; --fadvise chooses on which side",
    "--nocache --flushcache --idirect --odirect --direct",
  ],
  [
    "not needed: blocksync sizes its own buffers",
    "--buffer-size --max-alloc --mmap --no-splice --line-mode --null --sector-size",
  ],
  ["--force (-f) overwrites a device without asking", "--yes --assume-yes --no-confirm --ask --batch"],
  [
    "a new file gets the source's size; -T also makes an existing one exactly as large",
    "--create --notruncate --no-truncate --resize --devsize --extend-outfile",
  ],
  ["--workers N (-w) opens N lanes, ssh connections that share the blocks", "-j --jobs --threads --parallel"],
  [
    PART,
    "--offset --length --size --skip --count --seek --input-position --output-position --ignore-initial --stop-at-size --domain-mapfile --loose-domain",
  ],
  [
    "--on-read-error skip continues past unreadable areas; --retries N retries each bad sector N times",
    "--skip-errors --noerror --retry --retry-passes --try-again --no-scrape --no-trim --retrim --ignore-read-errors",
  ],
  [
    "-r is rsync's and ddrescue's: for directories use rsync, to retry bad sectors --on-read-error skip --retries N",
    "-r",
  ],
  [
    "use ddrescue for that; --mapfile FILE reads and writes its map, so each continues where the other stopped",
    `--cluster-size --skip-size --min-read-rate --max-bad-areas --max-error-rate --max-slow-reads --max-read-errors --cpass
    --delay-slow --pause-on-error --pause-on-pass --reset-slow --unidirectional --reverse --fill-mode -G --generate-mode
    --test-mode --complete-only --verify-on-error -Q --verify-input-size --mapfile-interval --same-file --command-mode
    --reopen-on-error`,
  ],
  ["a write error always ends the run", "--ignore-write-errors"],
  [
    "run it from cron or systemd; the examples that come with blocksync show both",
    "--pidfile --watchfd --delay-start --background --schedule",
  ],
];

/** dd's operands (dd(1)), but for if= and of=. */
const OPERANDS: Answers = [
  ["bs= is -b SIZE here, and the default suits nearly everything", "bs"],
  ["blocksync sizes its own buffers", "ibs obs cbs"],
  [PART, "count skip seek iseek oseek"],
  [
    "conv= is not needed: blocksync flushes before it ends and keeps holes; for bad sectors use --on-read-error skip",
    "conv",
  ],
  ["blocksync opens files and devices the way that suits them", "iflag oflag"],
  [SHOWN, "status"],
];

const COMMANDS: Answers = [
  [
    "blocksync compare A B compares two files or devices and writes nothing",
    "diff cmp comp check status verify validate checksum",
  ],
  [
    "without a command blocksync syncs: blocksync SOURCE DESTINATION",
    "copy cp clone dd mirror push pull send receive backup restore rsync update write run start image flash",
  ],
  ["blocksync -n SOURCE DESTINATION writes nothing, and exits 1 if something differs", "dry-run dryrun test simulate"],
  ["run the same sync command again; it sends and writes only what still differs", "resume continue retry"],
  [
    "blocksync starts its far side by itself, over ssh; blocksync serve is what it runs there",
    "server tmpserver daemon",
  ],
  ["lsblk lists the block devices of this machine", "list ls devices"],
  ["blocksync clean HOST removes blocksync's copies from HOST", "cleanup clear uninstall remove rm"],
  ["nothing has to be installed on the far side: blocksync copies itself there", "install init setup deploy"],
];

function indexed(answers: Answers): ReadonlyMap<string, string> {
  return new Map(answers.flatMap(([answer, words]) => words.split(/\s+/).map((word) => [word, answer] as const)));
}

export const ANSWERS = {
  /** By the option as it is typed: "--delete", "-a". */
  option: indexed(OPTIONS),
  /** By the operand's name: "bs". */
  operand: indexed(OPERANDS),
  command: indexed(COMMANDS),
};

/** One sentence that helps, without a capital and a full stop, as hints are; undefined for a word that nobody else has. */
export function answerTo(kind: keyof typeof ANSWERS, word: string): string | undefined {
  return ANSWERS[kind].get(word) ?? ANSWERS[kind].get(word.replace(/^--no-/, "--"));
}
