/**
 * Which hash the two sides of a run compare by. With "auto" it is one that both are fast with, so it waits until both have said what
 * their processors can do: a far side says so on its way, this one at once.
 */
import type { HashName } from "../sync/spec.ts";

export class HashAgreement {
  readonly #name = Promise.withResolvers<HashName>();
  readonly #sides: { readonly count: number; said: number };

  readonly #salt = Promise.withResolvers<Uint8Array>();

  /** With `isSalted` a side will say what the hashes begin with. */
  constructor(asked: HashName | "auto", sides: number, isSalted = false) {
    this.#sides = { count: sides, said: 0 };
    // Who fails is told by its own failure.
    this.#name.promise.catch(() => undefined);
    this.#salt.promise.catch(() => undefined);
    if (asked !== "auto") this.#name.resolve(asked);
    if (!isSalted) this.#salt.resolve(new Uint8Array());
  }

  /** Another side has AES instructions, or has none. What is said after the choice was made counts for nothing. */
  says(hasAes: boolean): void {
    this.#sides.said++;
    if (!hasAes) this.#name.resolve("xxh3-xxh64");
    else if (this.#sides.said === this.#sides.count) this.#name.resolve("gmac");
  }

  /** A hash tree has that salt, maybe an empty one; that of the first counts. */
  salted(salt: Uint8Array): void {
    this.#salt.resolve(salt);
  }

  /** A side will say nothing. */
  fails(cause: unknown): void {
    this.#name.reject(cause);
    this.#salt.reject(cause);
  }

  /** What all hashes begin with. */
  get salt(): Promise<Uint8Array> {
    return this.#salt.promise;
  }

  get name(): Promise<HashName> {
    return this.#name.promise;
  }
}
