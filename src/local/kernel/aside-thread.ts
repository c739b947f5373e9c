/** What runs in a thread of aside.ts: makes the system calls that it is sent. */
import type { AsideCall } from "./aside.ts";
import { CALLS } from "./aside-calls.ts";
import { answerJobs } from "./threads.ts";

declare const self: Worker;

answerJobs(self, ({ name, words }: AsideCall) => CALLS[name](...words));
