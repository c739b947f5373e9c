/** Types commands at a terminal's shell one after the other, each when the last one has ended. */
import type { Tmux } from "./tmux.ts";

export interface Typed {
  readonly exitCode: number;
  /** What the terminal shows below the command. */
  readonly lines: readonly string[];
  /** What stood there when it asked. */
  readonly asked: readonly string[];
}

/** A prompt that says its command's number and how the last one ended. */
const PROMPT = /^\[(\d+) (\d+)\]$/;

/** Takes over the shell's prompt. Commands have to fit on one line of the terminal. */
export class Typist {
  readonly #terminal: Tmux;
  #number = 0;

  constructor(terminal: Tmux) {
    this.#terminal = terminal;
    terminal.type("PS1='[\\# $?] '");
  }

  /** Types a command on an empty screen, and `answer` when the last line ends with `question`. */
  async run(command: string, question = "", answer = ""): Promise<Typed> {
    await this.#prompt();
    this.#terminal.type("clear");
    await this.#prompt();
    this.#terminal.type(command);
    let asked: readonly string[] = [];
    if (question !== "") {
      asked = await this.#terminal.see(question, (lines) => lines.at(-1)?.endsWith(question) === true);
      this.#terminal.type(answer);
    }
    const { exitCode, lines } = await this.#prompt(false);
    return { exitCode, lines: lines.slice(1, -1), asked: asked.slice(1) };
  }

  /** Waits for the next prompt; `used` says that a command will be typed there. */
  async #prompt(used = true): Promise<{ exitCode: number; lines: readonly string[] }> {
    let exitCode = 0;
    let number = 0;
    const lines = await this.#terminal.see("the next prompt", (shown) => {
      const [, command, status] = PROMPT.exec(shown.at(-1) ?? "") ?? [];
      number = Number(command);
      exitCode = Number(status);
      return number > this.#number;
    });
    if (used) this.#number = number;
    return { exitCode, lines };
  }
}
