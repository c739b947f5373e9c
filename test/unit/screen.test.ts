import { expect, spyOn, test } from "bun:test";
import { Screen } from "../../src/report/screen.ts";
import { until } from "../helpers/binary.ts";

/** Has a screen draw on a list of what was written; its listeners are gone afterwards. */
async function withScreen(act: (screen: Screen, terminal: string[]) => void | Promise<void>): Promise<void> {
  const listeners = new Map(
    (["SIGWINCH", "SIGCONT", "SIGTSTP", "exit"] as const).map((name) => [name, process.listeners(name)]),
  );
  const terminal: string[] = [];
  try {
    await act(new Screen((text) => terminal.push(text)), terminal);
  } finally {
    for (const [name, before] of listeners)
      for (const listener of process.listeners(name)) if (!before.includes(listener)) process.off(name, listener);
  }
}

test("a message takes the place of what was drawn, which is drawn again below it", async () => {
  await withScreen((screen, terminal) => {
    screen.writeAbove("first\n");
    screen.draw(() => ["a bar", "and what is below it"]);
    screen.writeAbove("second\n");
    screen.clear();
    screen.writeAbove("last\n");
    const drawn = "\ra bar\x1b[K\r\nand what is below it\x1b[K\x1b[J\x1b[1A\r";
    expect(terminal).toEqual(["first\n", drawn, `\r\x1b[Jsecond\n${drawn}`, "\r\x1b[J", "last\n"]);
  });
});

test("Ctrl-Z leaves a clean line, though the kernel shows ^Z after it sent the signal", async () => {
  const kill = spyOn(process, "kill").mockImplementation(() => true);
  try {
    await withScreen(async (screen, terminal) => {
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
    });
  } finally {
    kill.mockRestore();
  }
});
