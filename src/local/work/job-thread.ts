/** What runs in a thread of jobs.ts. */
import type { HashChoice } from "../../sync/spec.ts";
import { answerJobs } from "../kernel/threads.ts";
import { Hasher } from "./hash.ts";
import { type Job, type Outcome, perform } from "./job.ts";

declare const self: Worker;

const hashers = new Map<string, Promise<Hasher>>();

function hasherOf(choice: HashChoice): Promise<Hasher> {
  const key = `${choice.name} ${choice.additional ?? ""} ${choice.seed.join(" ")} ${choice.salt?.join(" ") ?? ""}`;
  const hasher = hashers.get(key) ?? Hasher.create(choice);
  hashers.set(key, hasher);
  return hasher;
}

answerJobs<Job, Outcome>(self, (job, memoryOf) => perform(job, { hasherOf, memoryOf }));
