/** Events of the process, heard by somebody who stops hearing them. */

/** Calls `act` at each `event` until disposed of. */
export function hear(event: NodeJS.Signals | "exit", act: () => void): Disposable {
  process.on(event, act);
  return { [Symbol.dispose]: () => void process.off(event, act) };
}

/** These end a run in good order once they are heard, which they cannot be while a write waits. */
const ENDING = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Nobody listens to these signals until it is disposed of, so that each does what it does by itself (signal(7)). */
export function unheard(): Disposable {
  const heard = ENDING.flatMap((signal) => process.listeners(signal).map((act) => ({ signal, act })));
  for (const { signal, act } of heard) process.off(signal, act);
  return {
    [Symbol.dispose]: () => {
      for (const { signal, act } of heard) process.on(signal, act);
    },
  };
}
