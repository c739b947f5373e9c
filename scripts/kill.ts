/**
 * `make kill`: kills RUNS syncs (300), either side of them, on every road and to files and devices, runs each again and
 * checks what both left. SEED repeats a series; what one round does is in test/helpers/kill.ts. As root, with sshd and
 * strace.
 */
import { describeRound, Killer, type Outcome, type Round, roundOf } from "../test/helpers/kill.ts";

function wholeNumber(name: string, fallback: number): number {
  const text = process.env[name] ?? "";
  if (text === "") return fallback;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  process.stderr.write(`${name}=${text} is no whole number\n`);
  process.exit(2);
}

function count(outcomes: readonly { round: Round; outcome: Outcome }[], of: (round: Round) => string): string {
  const groups = Map.groupBy(outcomes, ({ round }) => of(round));
  return [...groups]
    .map(([name, group]) => `${name} ${group.filter(({ outcome }) => outcome.killed).length} of ${group.length}`)
    .join(", ");
}

const runs = wholeNumber("RUNS", 300);
const seed = wholeNumber("SEED", Math.floor(Math.random() * 1e9));
process.stdout.write(`${runs} runs, SEED=${seed}\n`);

/** Set by the first signal; the round under way is finished, so that nothing is left behind. */
let stop = false;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    stop = true;
  });
}

const outcomes: { round: Round; outcome: Outcome }[] = [];
const failures: string[] = [];
{
  await using killer = await Killer.start();
  for (let number = 0; number < runs && !stop; number++) {
    const round = roundOf(number, seed);
    try {
      outcomes.push({ round, outcome: await killer.play(round) });
    } catch (error) {
      failures.push(`${describeRound(round)}: ${error instanceof Error ? error.message : String(error)}`);
      process.stdout.write(`${failures.at(-1)}\n`);
    }
    if ((number + 1) % 50 === 0) process.stdout.write(`${number + 1} runs\n`);
  }
}

const killed = outcomes.filter(({ outcome }) => outcome.killed);
const partly = killed.filter(({ outcome: { leavesWritten, leavesDiffering } }) => {
  return leavesWritten > 0 && leavesWritten < leavesDiffering;
});
process.stdout.write(
  [
    `${outcomes.length} equal after the second run, ${failures.length} failed`,
    `${killed.length} were killed before their end, ${partly.length} of them with the differing leaves partly written`,
    `killed by road: ${count(outcomes, ({ road }) => road)}`,
    `by destination: ${count(outcomes, ({ kind }) => kind)}`,
    `by side: ${count(outcomes, ({ victim }) => victim)}`,
    `by moment: ${count(outcomes, ({ moment }) => moment)}`,
    "",
  ].join("\n"),
);
process.exit(failures.length > 0 ? 1 : stop ? 130 : 0);
