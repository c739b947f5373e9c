/**
 * What a serve has under way for its controller, within one budget whatever the controller asks for and however little of the
 * answers it reads: requests that are not answered yet, and answers that are not handed over yet. Who asks for more waits: its
 * input is not read meanwhile.
 */
import { Window } from "../../sync/window.ts";
import { type Frame, isBulk } from "./protocol.ts";

/** Requests not answered yet; others of a controller's 4096 blocks under way (sync/copy.ts) wait unread. Each costs about 3 KB. */
const MAX_REQUESTS = 1024;
/** Their heads, and bodies that are no block's data: 1024 reads with the leaf hashes of 1 MiB each have 1.2 MiB. */
const MAX_REQUEST_BYTES = 4 << 20;
/**
 * Answers that are being made or wait to be handed over, those apart whose bytes lie in an endpoint's buffers. Making one leaves
 * garbage of several times its length: with 8 MiB the leaf hashes of 16 MiB blocks took up to 238 MB on a busy machine.
 */
const ANSWER_BYTES = 4 << 20;
/** Blocks that are packed at once or wait for that to be sent: two of the largest. */
const PACKING_BYTES = 32 << 20;
/** Room for the fields of any answer but a failure's texts, and for what holds them. */
const ANSWER_OVERHEAD = 4 << 10;

export class Backlog {
  readonly #answers = new Window(ANSWER_BYTES);
  readonly #packing = new Window(PACKING_BYTES);
  #requests = 0;
  #requestBytes = 0;
  #onRoom: (() => void) | undefined;

  /** Counts a request in. Returns what is to be called once it is answered. */
  enter(request: Frame): () => void {
    // The data of a block is bounded by the channel.
    const bytes = request.head.length + (isBulk(request.type) ? 0 : request.body.length);
    this.#requests++;
    this.#requestBytes += bytes;
    return () => {
      this.#requests--;
      this.#requestBytes -= bytes;
      if (this.#hasRoom) this.#onRoom?.();
    };
  }

  get #hasRoom(): boolean {
    return this.#requests < MAX_REQUESTS && this.#requestBytes < MAX_REQUEST_BYTES;
  }

  /** Resolves when a further request may be read; undefined when it may at once. */
  room(): Promise<void> | undefined {
    if (this.#hasRoom) return undefined;
    return new Promise((resolve) => {
      this.#onRoom = resolve;
    });
  }

  /** Makes and hands over an answer of `length` bytes at most, as soon as there is room for it; first come, first served. */
  async answer(length: number, make: () => Promise<void>): Promise<void> {
    await within(this.#answers, ANSWER_OVERHEAD + length, make);
  }

  /** Packs and hands over `length` bytes of a buffer, of which there may be a shorter copy until then. */
  async pack(length: number, make: () => Promise<void>): Promise<void> {
    await within(this.#packing, length, make);
  }
}

async function within(window: Window, amount: number, make: () => Promise<void>): Promise<void> {
  const held = await window.take(amount);
  try {
    await make();
  } finally {
    window.give(held);
  }
}
