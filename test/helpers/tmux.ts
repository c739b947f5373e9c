/** A shell on a terminal that can be looked at, resized and typed at: a tmux server of its own. */
import fs from "node:fs";
import { until } from "./binary.ts";

export interface Tmux extends Disposable {
  /** Types a line. */
  type(line: string): void;
  /** Presses keys by tmux's names: "C-c". */
  press(key: string): void;
  resize(columns: number, rows: number): void;
  /** What the terminal shows, without the empty lines at the end; with `styled` its control sequences for colours too. */
  look(styled?: boolean): string[];
  /** Looks until `condition` holds and returns what it saw then. */
  see(what: string, condition: (lines: readonly string[]) => boolean): Promise<string[]>;
}

/** The shell's prompt is "$ ", its directory `directory`; `argv0` goes before the server (nsenter). */
export async function startTmux(
  directory: string,
  columns: number,
  rows: number,
  argv0: readonly string[] = [],
): Promise<Tmux> {
  const command = (...words: string[]) => {
    const result = Bun.spawnSync([...argv0, "tmux", "-S", `${directory}/tmux`, "-f", "/dev/null", ...words], {
      env: { ...process.env, TMUX: undefined, NO_COLOR: undefined, BLOCKSYNC_DEBUG: undefined },
    });
    if (result.exitCode !== 0) throw new Error(`tmux ${words.join(" ")}: ${result.stderr.toString()}`);
    return result.stdout.toString();
  };
  const size = ["-x", String(columns), "-y", String(rows)];
  fs.writeFileSync(`${directory}/rc`, "PS1='$ '\n");
  const shell = "bash --noprofile --rcfile rc";
  command("new-session", "-d", ...size, "-c", directory, shell, ";", "set", "-g", "status", "off");
  const tmux: Tmux = {
    type: (line) => void command("send-keys", "-l", `${line}\r`),
    press: (key) => void command("send-keys", key),
    resize: (width, height) => void command("resize-window", "-x", String(width), "-y", String(height)),
    look: (styled = false) =>
      command("capture-pane", "-p", ...(styled ? ["-e"] : []))
        .trimEnd()
        .split("\n"),
    async see(what, condition) {
      let lines = tmux.look();
      await until(`the terminal shows ${what}`, () => {
        lines = tmux.look();
        return condition(lines);
      });
      return lines;
    },
    [Symbol.dispose]: () => void command("kill-server"),
  };
  try {
    await tmux.see("a prompt", (lines) => lines[0] === "$");
    return tmux;
  } catch (error) {
    tmux[Symbol.dispose]();
    throw error;
  }
}
