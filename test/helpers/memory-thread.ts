/** A thread that tells how long the memory is that a job names. */
import { answerJobs } from "../../src/local/kernel/threads.ts";

declare const self: Worker;

answerJobs<number, number>(self, (number, memoryOf) => memoryOf(number).byteLength);
