import { expect, spyOn, test } from "bun:test";
import { Screen } from "../src/report/screen.ts";
import { until } from "./helpers/binary.ts";

test("Ctrl-Z leaves a clean line, though the kernel shows ^Z after it sent the signal", async () => {
  const kill = spyOn(process, "kill").mockImplementation(() => true);
  const listeners = new Map(
    (["SIGWINCH", "SIGCONT", "SIGTSTP", "exit"] as const).map((name) => [name, process.listeners(name)]),
  );
  const terminal: string[] = [];
  try {
    const screen = new Screen((text) => terminal.push(text));
    screen.draw(() => ["a bar", "and what is below it"]);
    expect(terminal.length).toBe(1);
    process.emit("SIGTSTP");
    // A second one before the first was answered changes nothing.
    process.emit("SIGTSTP");
    terminal.push("^Z");
    await until("it stops", () => kill.mock.calls.length > 0);
    expect(kill.mock.calls).toEqual([[process.pid, "SIGTSTP"]]);
    expect(terminal.slice(1)).toEqual(["^Z", "\r\x1b[J"]);
    process.emit("SIGCONT");
    expect(terminal.slice(3)).toEqual([terminal[0] ?? ""]);
  } finally {
    kill.mockRestore();
    for (const [name, before] of listeners)
      for (const listener of process.listeners(name)) if (!before.includes(listener)) process.off(name, listener);
  }
});
