/** ssh starts this program again to ask for the password that --pass names; see host.ts. */
import { ASKPASS_VARIABLE } from "./host.ts";

/**
 * Answers ssh's question and returns the exit code; undefined when this process is no askpass. A question that is not
 * about a password (an unknown host key) is not answered, so ssh refuses instead of trusting blindly.
 */
export function answerAskpass(
  env: Readonly<Record<string, string | undefined>>,
  words: readonly string[],
): number | undefined {
  const variable = env[ASKPASS_VARIABLE];
  if (variable === undefined || words.length !== 1) return undefined;
  const secret = env[variable];
  if (secret === undefined || !/pass(word|phrase)/i.test(words[0] ?? "")) return 1;
  process.stdout.write(`${secret}\n`);
  return 0;
}
