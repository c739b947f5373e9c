/** What is measured: every case by its name. */
import type { Sshd } from "../../test/helpers/sshd.ts";
import type { Case } from "./case.ts";
import { hashSha256 } from "./cases/hash.ts";
import { lanes, rttIdentical, rttPages, slowPages } from "./cases/links.ts";
import { localCold, localFresh, localHoles, localIdentical, pipeIdentical, smallBlocks } from "./cases/local.ts";
import { scale, scaleBlocks } from "./cases/scale.ts";
import { SshCases } from "./cases/ssh.ts";
import type { Workspace } from "./workspace.ts";

export const CASE_NAMES = [
  "local-identical",
  "local-cold",
  "pipe-identical",
  "ssh-identical",
  "ssh-pages",
  "ssh-fresh",
  "local-fresh",
  "local-holes",
  "ssh-fresh-compressible",
  "small-blocks",
  "small-blocks-pipe",
  "rtt-identical",
  "rtt-pages",
  "slow-pages",
  "lanes",
  "lanes-ssh",
  "hash-sha256",
  "scale",
  "scale-blocks",
] as const;

export type CaseName = (typeof CASE_NAMES)[number];

const OVER_SSH: readonly CaseName[] = [
  "ssh-identical",
  "ssh-pages",
  "ssh-fresh",
  "ssh-fresh-compressible",
  "lanes-ssh",
];

export function needsSsh(name: CaseName): boolean {
  return OVER_SSH.includes(name);
}

/** The cases that can run here, in the order of CASE_NAMES; those over ssh need a server. */
export function makeCases(program: string, workspace: Workspace, ssh: Sshd | undefined): Case[] {
  const remote = ssh === undefined ? undefined : new SshCases(program, workspace, ssh);
  const made: Readonly<Record<CaseName, Case | undefined>> = {
    "local-identical": localIdentical(program, workspace),
    "local-cold": localCold(program, workspace),
    "pipe-identical": pipeIdentical(program, workspace),
    "ssh-identical": remote?.identical(),
    "ssh-pages": remote?.pages(),
    "ssh-fresh": remote?.fresh(),
    "local-fresh": localFresh(program, workspace),
    "local-holes": localHoles(program, workspace),
    "small-blocks": smallBlocks(program, workspace, false),
    "small-blocks-pipe": smallBlocks(program, workspace, true),
    "ssh-fresh-compressible": remote?.freshCompressible(),
    "rtt-identical": rttIdentical(program, workspace),
    "rtt-pages": rttPages(program, workspace),
    "slow-pages": slowPages(program, workspace),
    lanes: lanes(program, workspace),
    "lanes-ssh": remote?.lanes(),
    "hash-sha256": hashSha256(program, workspace),
    scale: scale(program, workspace),
    "scale-blocks": scaleBlocks(program, workspace),
  };
  return CASE_NAMES.flatMap((name) => made[name] ?? []);
}
