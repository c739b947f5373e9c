/** How this program reaches a host: the options of a connection that all commands share. */

import { programPath } from "../given.ts";
import { createPipe } from "../local/kernel/libc.ts";
import { hasAes } from "../local/kernel/processor.ts";
import type { ConnectOptions } from "../remote/host/login.ts";
import type { TellStage } from "../sync/stage.ts";
import { BUILD, TARGET, VERSION } from "../version.ts";
import type { HostOptions } from "./options.ts";
import { hasTerminal } from "./terminal.ts";

/** The variable by which this program, started by ssh to ask for a password, knows which one holds it. */
export const ASKPASS_VARIABLE = "BLOCKSYNC_ASKPASS";
/** And the process id of the one that started ssh. */
export const ASKPASS_FOR_VARIABLE = "BLOCKSYNC_ASKPASS_FOR";

/**
 * How long a login may say nothing where there is no terminal: sshd itself waits 2 minutes for one (LoginGraceTime), and
 * a key that must be touched, or a host that wakes up, needs some of that. On a terminal a person may be asked for a
 * password, so there is no limit, and Ctrl-C.
 */
const LOGIN_LIMIT_MS = 180_000;

/** Without sudo, without a limit of bytes, with the program brought along. */
export function hostConnection(
  { shell, passwordVariable, timeoutSeconds, reconnectMs, remoteDirectory }: HostOptions,
  signal: AbortSignal,
  tell: TellStage,
): ConnectOptions {
  return {
    shell,
    sudo: false,
    askPassword: undefined,
    script: undefined,
    directory: remoteDirectory,
    env: childEnvironment(passwordVariable),
    own: { version: VERSION, build: BUILD, hasAes: hasAes() },
    compress: false,
    target: TARGET,
    createPipe,
    limits: undefined,
    timeoutSeconds,
    connectSeconds: undefined,
    loginLimitMs: hasTerminal() ? undefined : LOGIN_LIMIT_MS,
    reconnectMs,
    signal,
    tell,
  };
}

/**
 * The environment of ssh and sudo: ours, without what changes how a Bun program runs, since the far side and the askpass are
 * such, perhaps as root (sudo hands on no LD_* itself); and with a password this very program as ssh's askpass (ssh(1),
 * SSH_ASKPASS_REQUIRE). undefined where ours can stay as it is, byte for byte.
 */
function childEnvironment(passwordVariable: string | undefined): Record<string, string | undefined> | undefined {
  const changing = Object.keys(process.env).filter((name) => name.startsWith("BUN_"));
  if (passwordVariable === undefined && changing.length === 0) return undefined;
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !changing.includes(name)));
  if (passwordVariable === undefined) return env;
  return {
    ...env,
    SSH_ASKPASS: programPath(),
    SSH_ASKPASS_REQUIRE: "force",
    DISPLAY: env["DISPLAY"] ?? ":0",
    [ASKPASS_VARIABLE]: passwordVariable,
    [ASKPASS_FOR_VARIABLE]: String(process.pid),
  };
}
