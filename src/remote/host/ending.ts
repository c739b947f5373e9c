/** Puts the end of a command into words: what it said, and what to do. */

import {
  BUG_EXIT_CODE,
  type BugError,
  type Failure,
  farBug,
  LoginRefused,
  saysBug,
  UnreachableError,
} from "../../errors.ts";
import { quote } from "../../name.ts";
import type { Child } from "./process.ts";
import { OLDEST_GLIBC } from "./target.ts";

/** A far side that was to be started. */
export interface Attempt {
  readonly child: Pick<Child, "ending" | "lastLines">;
  /** Its name in messages. */
  readonly host: string;
  /** The name of what reaches it: "ssh". */
  readonly command: string;
  /** What a person types to try the same. */
  readonly byHand: string;
  readonly options: { readonly script: string | undefined };
}

/** Lines of ssh that say nothing of the failure, or advise what had better be understood first. */
const NOISE = /^(Warning: Permanently added |\*\* |\s*remove with:|\s*ssh-keygen )/;
/** Lines of a command that are repeated in the message. */
const SAID_LINES = 3;

const NO_COMMANDS =
  "this account seems unable to run commands (sftp only, a login shell such as /bin/false, or a forced command): use another account";

/** ssh's own words (sshconnect.c, readconf.c and strerror of OpenSSH, which does not translate them) and what they ask for. */
const ADVICE: readonly (readonly [said: RegExp, hint: string])[] = [
  [
    /Could not resolve hostname/,
    "check the spelling of the name; ssh looks it up in ~/.ssh/config, /etc/hosts and DNS",
  ],
  [
    /Connection refused/,
    "no ssh server listens on that port: is sshd running? ssh://HOST:PORT/PATH names another port",
  ],
  [
    /timed out|No route to host|Network is unreachable/,
    "check that the host is up (ping) and that no firewall blocks ssh",
  ],
  [
    /has changed and you have requested strict/,
    "the host was reinstalled, or something else answers in its place: find out which, then remove the old key with ssh-keygen -R",
  ],
  [
    /Too many authentication failures/,
    'ssh offered too many keys: --id FILE -x "-o IdentitiesOnly=yes" offers only one',
  ],
  [
    /Permission denied \(/,
    "sshd accepted no key or password for this user, or refuses the account (AllowUsers, expired): --id names a key, USER@HOST another user, --pass the variable that holds a password",
  ],
  [
    /\b(kex|ssh)_exchange_identification: /,
    "sshd limits logins at a time (MaxStartups, 10 by default), or blocks this machine for a while (fail2ban, PerSourcePenalties): use fewer --workers or a longer --splay, or wait",
  ],
  [
    /service allows sftp connections only/i,
    "this account may only use sftp: blocksync needs an account that may run commands, or serve --only as its forced command",
  ],
  // ssh's own where the server offers sftp and no commands, and what git, GitHub, rssh, rbash and storage boxes say.
  [
    /\b(exec|shell) request failed on channel|does not provide shell access|restricted by rssh|: restricted$|fatal: unrecognized command|Command not found\. Use 'help'/m,
    NO_COMMANDS,
  ],
  [
    /account is (currently )?not available/i,
    "this account's login shell allows no logins (nologin): blocksync needs an account that may run commands",
  ],
  [
    /password has expired|change your password|password change required/i,
    "log in by hand and set a new password for this account first",
  ],
  [/[Aa]ccount has expired/, "the account has expired (chage -l): use another account, or have this one extended"],
  [
    /open failed: (connect failed|administratively prohibited)/,
    "sshd lets this account run no commands (MaxSessions, ForceCommand, PermitOpen): check the host's sshd_config, or use another account",
  ],
  [
    /Bad configuration option|Bad owner or permissions|Can't open user config|bad configuration|usage: ssh/i,
    "check --extra-params and ssh's own configuration (~/.ssh/config)",
  ],
  [/\bsudo: .*(tty|terminal)/, "sudo requires a terminal (requiretty): exempt this user from that, or log in as root"],
  // The dynamic linkers of glibc and musl; of musl's some forty lines only the last are kept, and those name symbols.
  [/version .GLIBC_[\d.]+. not found/, `the host's glibc is too old: blocksync needs ${OLDEST_GLIBC} or newer`],
  [
    /Error (loading shared library|relocating)/,
    "a library is missing or too old: install libstdc++ on the host (Alpine: apk add libstdc++)",
  ],
];

/** What the next login will meet too, in words of ssh and sudo, and by the status of a shell: see ADVICE and adviceByStatus(). */
const REFUSED =
  /Permission denied|Host key verification failed|has changed and you have requested strict|Too many authentication failures|account has expired|password has expired|Bad configuration|\bsudo: /i;
const REFUSED_STATUSES: ReadonlySet<number> = new Set([11, 126, 127]);

function adviceByStatus(status: number | undefined, script: string | undefined): string | undefined {
  const missing =
    script === undefined
      ? "the far side did not find the program or a library it needs"
      : "the far side did not find that program or a library it needs: leave out --script and blocksync copies itself there";
  const known: Readonly<Record<number, string>> = {
    126: "the far side cannot execute the program (another platform, a noexec mount, or NOEXEC in sudoers)",
    // sftp-server's own for a first word that is none of its protocol (sftp-server.c).
    11: NO_COMMANDS,
    127: missing,
    132: "the program needs a newer processor on the far side (SSE4.2)",
  };
  return status === undefined ? undefined : known[status];
}

/** How a blocksync says what happened and what to do, the one on the far side as well as the askpass (report/output.ts). */
const OWN = "blocksync: ";
const FAR_HINT = `${OWN}hint: `;

/** Of a bug on the far side, which it told no other way; the lines before its last words are where in the code that was. */
function bugOf({ lastLines }: Attempt["child"], status: number | undefined): BugError | undefined {
  const said = lastLines.findIndex((line) => line.startsWith(OWN) && saysBug(line.slice(OWN.length)));
  if (status !== BUG_EXIT_CODE || said === -1) return undefined;
  return farBug(lastLines[said]?.slice(OWN.length) ?? "", lastLines.slice(0, said).join("\n"));
}

/** Waits for the end of a command that ran, and explains it. */
export async function explainEnd(child: Attempt["child"], host: string, command: string): Promise<Failure> {
  const { status, text } = await child.ending();
  const said = child.lastLines.length > 0 ? `; its last output: ${child.lastLines.slice(-3).join(" | ")}` : "";
  return (
    bugOf(child, status) ??
    new UnreachableError(`Lost the connection to ${quote(host)}: ${command} ended with ${text}${said}`, {
      hint: "what was written stays written: run the same command again to continue",
    })
  );
}

/** Waits for the end of a command that did not get as far, and explains it; `skipped` is what it printed where an answer was to come. */
export async function notStarted(
  { child, host, command, byHand, options }: Attempt,
  skipped: readonly string[] = [],
): Promise<Failure> {
  const { status, text } = await child.ending();
  const bug = bugOf(child, status);
  if (bug !== undefined) return bug;
  const lines = child.lastLines.filter((line) => !NOISE.test(line)).map((line) => line.trim());
  const plain = lines.filter((line) => !line.startsWith(FAR_HINT));
  // What ssh has to say of the same comes later, and is no reason.
  const own = plain.findLast((line) => line.startsWith(OWN));
  const others = plain.filter((line) => line !== own);
  const spoken = own === undefined ? others.slice(-SAID_LINES) : [own, ...others.slice(1 - SAID_LINES)];
  const said = (spoken.length > 0 ? spoken : skipped).join(" | ");
  const hint =
    lines.findLast((line) => line.startsWith(FAR_HINT))?.slice(FAR_HINT.length) ??
    ADVICE.find(([pattern]) => pattern.test(said))?.[1] ??
    (/Host key verification failed/.test(said)
      ? `ssh does not know this host's key yet: log in once by hand and check it: ${byHand}`
      : adviceByStatus(status, options.script)) ??
    (said === "" && (status === 0 || status === 1) ? NO_COMMANDS : undefined) ??
    `try it by hand: ${byHand}; -v shows the command and its full output`;
  const isRefused = REFUSED.test(said) || (status !== undefined && REFUSED_STATUSES.has(status));
  return new (isRefused ? LoginRefused : UnreachableError)(
    `Cannot start blocksync on ${quote(host)}: ${command} ended with ${text}${said === "" ? "" : `: ${said}`}`,
    { hint },
  );
}
