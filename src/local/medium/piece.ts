/** Bytes that one system call is for: few where the page cache is all there is to wait for, all where each call waits for a medium. */

/**
 * A write makes fresh page cache in folios as long as itself, and long ones cost the kernel more: a new file of 2 GiB, each block read
 * back, flushed, took 4.2 to 6 s in pieces of 1 MiB, 2.8 in 512 KiB, 1.7 to 3.3 in 256, 1.7 to 2.0 in 128, 1.9 in 64 (Linux 6.18, memory fresh from the hypervisor).
 */
export const WRITE_PIECE = 128 << 10;

/** A call that took longer waited for more than the page cache: a file system mounted with "sync", a network, a failing disk. */
const SLOW_MS = 20;

/** The length of the next call's piece, after one that took `elapsedMs`; `length` is that of all there is. */
export function pieceAfter(elapsedMs: number, piece: number, length: number): number {
  return elapsedMs > SLOW_MS ? length : piece;
}

/** Has `call` do `length` bytes in pieces, until it returns false. Returns whether it never did. */
export function inPieces(length: number, piece: number, call: (done: number, length: number) => boolean): boolean {
  let step = piece;
  for (let done = 0; done < length; ) {
    const part = Math.min(step, length - done);
    const begun = performance.now();
    if (!call(done, part)) return false;
    done += part;
    step = pieceAfter(performance.now() - begun, step, length);
  }
  return true;
}
