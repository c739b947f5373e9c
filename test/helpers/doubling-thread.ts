/** A thread for tests of Threads: doubles a number, fails with a negative one, and ends itself for 0. */
import { answerJobs } from "../../src/local/kernel/threads.ts";

declare const self: Worker;

answerJobs(self, (job: number) => {
  if (job < 0) throw new RangeError(`${job} is negative`);
  if (job === 0) process.exit(1);
  return 2 * job;
});
