/** Runs the compiled program on a terminal, as a person would. */
import { BINARY } from "./binary.ts";

export interface Session {
  readonly exitCode: number;
  /** Everything the terminal showed. */
  readonly seen: string;
}

/** Gives `answer` when the terminal shows `prompt`; `before` runs right before that. */
export async function answering(
  words: readonly string[],
  prompt: string | RegExp,
  answer: string,
  before: () => void = () => undefined,
  cwd = process.cwd(),
): Promise<Session> {
  let seen = "";
  let answered = false;
  const decoder = new TextDecoder();
  const child = Bun.spawn([BINARY, ...words], {
    cwd,
    terminal: {
      cols: 200,
      rows: 50,
      data: (terminal, data) => {
        seen += decoder.decode(data, { stream: true });
        if (answered || !matches(seen, prompt)) return;
        answered = true;
        before();
        terminal.write(answer);
      },
    },
  });
  const exitCode = await child.exited;
  child.terminal?.close();
  return { exitCode, seen };
}

function matches(text: string, wanted: string | RegExp): boolean {
  return typeof wanted === "string" ? text.includes(wanted) : wanted.test(text);
}
