/**
 * The lowest lines of a terminal, drawn again and again while messages go above them. The cursor rests at the beginning
 * of the first of them: what is erased from there on is all that was drawn, also after a resize has wrapped it. It is
 * never hidden, so a killed process leaves nothing to repair.
 */
import { displaySize, ownsTerminal, UNKNOWN_SIZE } from "./display.ts";
import { hear } from "./hear.ts";

/** The lines to draw, given the columns they may take; each is clipped to them. */
export type Drawing = (columns: number) => readonly string[];

const ERASE_BELOW = "\x1b[J";
const ERASE_LINE_END = "\x1b[K";
/**
 * The kernel sends the signal of Ctrl-Z first and shows ^Z after it (n_tty_receive_signal_char() in drivers/tty/n_tty.c),
 * on another core or once it gets the processor again: so long it is waited for, in milliseconds.
 */
const ECHO_MS = 50;
/** On a busy machine once more and again, until the wait was no longer than it was to be by more than this; but not for ever. */
const LATE_MS = 5;
const MAX_ECHO_MS = 1000;
const up = (rows: number) => (rows === 0 ? "" : `\x1b[${rows}A`);

export class Screen {
  readonly #write: (text: string) => void;
  #drawing: Drawing | undefined;
  /** What is on the terminal below the cursor, or with `open` on its line. */
  #drawn = "";
  #suspending: Timer | undefined;
  readonly #heard = new DisposableStack();
  /** That the signal of Ctrl-Z is heard, and not obeyed at once. */
  #stopping: Disposable;

  /** `write` writes to standard error, at once. */
  constructor(write: (text: string) => void) {
    this.#write = write;
    this.#stopping = hear("SIGTSTP", this.#suspend);
    this.#heard.use(hear("SIGWINCH", () => this.#draw()));
    this.#heard.use(
      hear("SIGCONT", () => {
        clearTimeout(this.#suspending);
        this.#suspending = undefined;
        // Whatever the shell wrote meanwhile is below what was drawn, so that stays where it is.
        this.#drawn = "";
        this.#stopping[Symbol.dispose]();
        this.#stopping = hear("SIGTSTP", this.#suspend);
        this.#draw();
      }),
    );
    this.#heard.use(hear("exit", () => this.clear()));
  }

  /** Takes away what is drawn, and draws nothing any more. */
  [Symbol.dispose](): void {
    this.clear();
    clearTimeout(this.#suspending);
    this.#stopping[Symbol.dispose]();
    this.#heard.dispose();
  }

  /** Draws, and again after each message and resize, until the next draw(), open() or clear(). */
  draw(drawing: Drawing): void {
    this.#drawing = drawing;
    this.#draw();
  }

  /** Writes a line once and leaves the cursor at its end, where another program may go on with a question. */
  open(line: string): void {
    this.#drawing = undefined;
    if (!ownsTerminal()) return;
    const { columns } = displaySize() ?? UNKNOWN_SIZE;
    this.#drawn = `\r${clip(line, columns - 1)}${ERASE_BELOW}`;
    this.#write(this.#drawn);
  }

  /** Text above what is drawn. Ends with a line break. */
  writeAbove(text: string): void {
    const below = this.#drawn;
    if (below === "") this.#write(text);
    else this.#write(`\r${ERASE_BELOW}${text}${below}`);
  }

  /** Takes away what is drawn; the cursor is where it was. */
  clear(): void {
    this.#drawing = undefined;
    this.erase();
  }

  /** Takes it away until it is drawn the next time. */
  erase(): void {
    if (this.#drawn !== "") this.#write(`\r${ERASE_BELOW}`);
    this.#drawn = "";
  }

  #draw(): void {
    if (this.#drawing === undefined || !ownsTerminal()) return;
    const { columns, rows } = displaySize() ?? UNKNOWN_SIZE;
    const lines = this.#drawing(columns - 1).slice(0, Math.max(1, rows - 1));
    const text = lines.map((line) => clip(line, columns - 1) + ERASE_LINE_END).join("\r\n");
    const drawn = `\r${text}${ERASE_BELOW}${up(lines.length - 1)}\r`;
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.#write(drawn);
  }

  /** Ctrl-Z: leaves the shell a clean line, then stops as if nobody had listened (signal(7)). */
  readonly #suspend = (): void => {
    this.#suspending ??= this.#stopIn(ECHO_MS, performance.now() + MAX_ECHO_MS);
  };

  #stopIn(ms: number, latest: number): Timer {
    const due = performance.now() + ms;
    return setTimeout(() => {
      const now = performance.now();
      // Where we get the processor late, so may the kernel's thread that shows ^Z.
      if (now - due > LATE_MS && now < latest) {
        this.#suspending = this.#stopIn(ms, latest);
        return;
      }
      this.erase();
      this.#stopping[Symbol.dispose]();
      process.kill(process.pid, "SIGTSTP");
    }, ms);
  }
}

/** The beginning of a line that takes at most `columns`; control sequences of colours take none. */
export function clip(line: string, columns: number): string {
  if (Bun.stringWidth(line) <= columns) return line;
  const plain = Bun.stripANSI(line);
  let clipped = "";
  let width = 0;
  for (const { segment } of new Intl.Segmenter().segment(plain)) {
    width += Bun.stringWidth(segment);
    if (width > columns) break;
    clipped += segment;
  }
  return clipped;
}
