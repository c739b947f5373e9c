/** Events of the process, heard by somebody who stops hearing them. */

/** Calls `act` at each `event` until disposed of. */
export function hear(event: NodeJS.Signals | "exit", act: () => void): Disposable {
  process.on(event, act);
  return { [Symbol.dispose]: () => void process.off(event, act) };
}
