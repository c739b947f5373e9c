/** What runs in a thread of hash-threads.ts: hashes what it is sent. */
import type { HashChoice } from "../../sync/spec.ts";
import { answerJobs } from "../kernel/threads.ts";
import { Hasher } from "./hash.ts";
import type { HashJob } from "./hash-threads.ts";

declare const self: Worker;

const hashers = new Map<string, Promise<Hasher>>();

function hasherFor(choice: HashChoice): Promise<Hasher> {
  const key = `${choice.name} ${choice.additional ?? ""} ${choice.seed.join(" ")}`;
  const hasher = hashers.get(key) ?? Hasher.create(choice);
  hashers.set(key, hasher);
  return hasher;
}

answerJobs(self, async ({ choice, memory, offset, length, blockSize }: HashJob) => {
  const hasher = await hasherFor(choice);
  return hasher.hashEach(new Uint8Array(memory, offset, length), blockSize);
});
