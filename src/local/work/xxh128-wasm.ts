/** XXH128 in WebAssembly, in a file of its own: loaded late, and then all of the package that the bundler leaves in it. */
import { createXXHash128 } from "hash-wasm";

/** XXH128 without a seed, as the number that its canonical form shows. The bytes are copied into its memory, 16 KiB at a time. */
export async function wasmXxh128(): Promise<(input: Uint8Array) => bigint> {
  const hasher = await createXXHash128();
  return (input) => BigInt(`0x${hasher.init().update(input).digest()}`);
}
