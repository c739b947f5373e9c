/** What runs in a thread of hash-threads.ts: hashes what it is sent, in the order it comes. */
import type { HashChoice } from "../../sync/spec.ts";
import { Hasher } from "./hash.ts";
import type { HashAnswer, HashJob } from "./hash-threads.ts";

declare const self: Worker;

const hashers = new Map<string, Promise<Hasher>>();

function hasherFor(choice: HashChoice): Promise<Hasher> {
  const key = `${choice.name} ${choice.additional ?? ""} ${choice.seed.join(" ")}`;
  const hasher = hashers.get(key) ?? Hasher.create(choice);
  hashers.set(key, hasher);
  return hasher;
}

async function answer(job: HashJob): Promise<HashAnswer> {
  try {
    const hasher = await hasherFor(job.choice);
    const bytes = new Uint8Array(job.memory, job.offset, job.length);
    return { id: job.id, hashes: hasher.hashEach(bytes, job.blockSize) };
  } catch (error) {
    return { id: job.id, problem: error instanceof Error ? error.message : String(error) };
  }
}

self.onmessage = async (event: MessageEvent<HashJob>) => {
  self.postMessage(await answer(event.data));
};
