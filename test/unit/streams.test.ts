import { expect, test } from "bun:test";
import { ByteReader, type ByteSource } from "../../src/remote/wire/streams.ts";

/** Gives these chunks, then the end; the end again when asked again. */
function sourceOf(...chunks: readonly (readonly number[])[]): ByteSource & { reads: number } {
  const queue = chunks.map((chunk) => Uint8Array.from(chunk));
  return {
    reads: 0,
    read() {
      this.reads++;
      return Promise.resolve(queue.shift());
    },
  };
}

async function filled(reader: ByteReader, length: number): Promise<{ got: number; bytes: number[] }> {
  const target = new Uint8Array(length).fill(0xee);
  const got = await reader.fill(target);
  return { got, bytes: [...target] };
}

async function line(reader: ByteReader, limit: number): Promise<{ bytes: number[]; complete: boolean }> {
  const { bytes, complete } = await reader.until(10, limit);
  return { bytes: [...bytes], complete };
}

test("ByteReader.fill() joins chunks and keeps what is left over", async () => {
  const reader = new ByteReader(sourceOf([1, 2], [3], [4, 5, 6]));
  expect(await filled(reader, 4)).toEqual({ got: 4, bytes: [1, 2, 3, 4] });
  expect(await filled(reader, 1)).toEqual({ got: 1, bytes: [5] });
  expect(await filled(reader, 1)).toEqual({ got: 1, bytes: [6] });
});

test("ByteReader.fill() says how many bytes came before the end and leaves the rest of the target alone", async () => {
  const reader = new ByteReader(sourceOf([1, 2], [3]));
  expect(await filled(reader, 5)).toEqual({ got: 3, bytes: [1, 2, 3, 0xee, 0xee] });
  expect(await filled(reader, 2)).toEqual({ got: 0, bytes: [0xee, 0xee] });
});

test("ByteReader.fill() of nothing reads nothing", async () => {
  const source = sourceOf([1]);
  expect(await filled(new ByteReader(source), 0)).toEqual({ got: 0, bytes: [] });
  expect(source.reads).toBe(0);
});

test("ByteReader.fill() does not ask for more than it needs", async () => {
  const source = sourceOf([1, 2, 3], [4]);
  const reader = new ByteReader(source);
  await filled(reader, 3);
  expect(source.reads).toBe(1);
});

test("ByteReader.fill() steps over empty chunks", async () => {
  const reader = new ByteReader(sourceOf([], [1], [], [], [2]));
  expect(await filled(reader, 2)).toEqual({ got: 2, bytes: [1, 2] });
});

test("ByteReader.until() steps over empty chunks", async () => {
  const reader = new ByteReader(sourceOf([], [], [1], [], [], [10, 2]));
  expect(await line(reader, 100)).toEqual({ bytes: [1, 10], complete: true });
  expect(await line(reader, 100)).toEqual({ bytes: [2], complete: false });
});

test("ByteReader.fill() copies, so that the source may reuse its chunk", async () => {
  const chunk = Uint8Array.of(1, 2);
  const chunks = [chunk, undefined];
  const reader = new ByteReader({ read: () => Promise.resolve(chunks.shift()) });
  const target = new Uint8Array(2);
  await reader.fill(target);
  chunk.fill(9);
  expect([...target]).toEqual([1, 2]);
});

test("ByteReader.fill() and until() fail with what the source fails with", async () => {
  const failing: ByteSource = { read: () => Promise.reject(new Error("broken pipe")) };
  await expect(new ByteReader(failing).fill(new Uint8Array(1))).rejects.toThrow("broken pipe");
  await expect(new ByteReader(failing).until(10, 5)).rejects.toThrow("broken pipe");
});

test("ByteReader.until() stops with the end byte and leaves what follows", async () => {
  const reader = new ByteReader(sourceOf([65, 66], [67, 10, 68], [10, 10]));
  expect(await line(reader, 100)).toEqual({ bytes: [65, 66, 67, 10], complete: true });
  expect(await line(reader, 100)).toEqual({ bytes: [68, 10], complete: true });
  expect(await line(reader, 100)).toEqual({ bytes: [10], complete: true });
  expect(await line(reader, 100)).toEqual({ bytes: [], complete: false });
});

test("ByteReader.until() stops at the limit, which the end byte counts towards", async () => {
  expect(await line(new ByteReader(sourceOf([1, 2, 3, 10])), 4)).toEqual({ bytes: [1, 2, 3, 10], complete: true });
  const reader = new ByteReader(sourceOf([1, 2, 3, 10]));
  expect(await line(reader, 3)).toEqual({ bytes: [1, 2, 3], complete: false });
  expect(await filled(reader, 1)).toEqual({ got: 1, bytes: [10] });
});

test("ByteReader.until() at the limit does not wait for more", async () => {
  const source = sourceOf([1, 2, 3]);
  await line(new ByteReader(source), 3);
  expect(source.reads).toBe(1);
});

test("ByteReader.until() returns what came before an early end as incomplete", async () => {
  expect(await line(new ByteReader(sourceOf([1, 2])), 100)).toEqual({ bytes: [1, 2], complete: false });
});

test("ByteReader.bytesRead counts what came from the source, used or not", async () => {
  const reader = new ByteReader(sourceOf([1, 2, 3], [4, 5]));
  expect(reader.bytesRead).toBe(0);
  await filled(reader, 1);
  expect(reader.bytesRead).toBe(3);
  await filled(reader, 3);
  expect(reader.bytesRead).toBe(5);
  await filled(reader, 9);
  expect(reader.bytesRead).toBe(5);
});

test("ByteReader.putBack() makes a line the next to be read, before what follows it", async () => {
  const reader = new ByteReader(sourceOf([1, 2, 10, 3], [4, 10, 5]));
  const { bytes } = await reader.until(10, 100);
  reader.putBack(bytes);
  expect(await line(reader, 100)).toEqual({ bytes: [1, 2, 10], complete: true });
  expect(await line(reader, 100)).toEqual({ bytes: [3, 4, 10], complete: true });
  expect(await filled(reader, 2)).toEqual({ got: 1, bytes: [5, 0xee] });
  expect(reader.bytesRead).toBe(7);
});
