/** What runs in a thread of aside.ts: makes the system calls that it is sent, one after the other. */
import type { AsideAnswer, AsideCall } from "./aside.ts";
import { CALLS } from "./aside-calls.ts";

declare const self: Worker;

function answer({ id, name, words }: AsideCall): AsideAnswer {
  try {
    return { id, result: CALLS[name](...words) };
  } catch (error) {
    return { id, problem: error instanceof Error ? error.message : String(error) };
  }
}

self.onmessage = (event: MessageEvent<AsideCall>) => {
  self.postMessage(answer(event.data));
};
