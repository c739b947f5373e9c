/** What runs in the thread of close.ts: closes a copy of the descriptor that it is sent. */
import { closeCopyOf } from "./kernel.ts";

declare const self: Worker;

export interface CloseAnswer {
  /** Number of the error (errno(3)), 0 for none. */
  readonly errno: number;
}

self.onmessage = (event: MessageEvent<number>) => {
  const answer: CloseAnswer = { errno: closeCopyOf(event.data) };
  self.postMessage(answer);
};
