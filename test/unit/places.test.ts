/** The places that a verification tells of. */
import { expect, test } from "bun:test";
import { VerificationError } from "../../src/errors.ts";
import { checkFindings, Places } from "../../src/sync/verify.ts";

function places(...offsets: number[]): Places {
  const found = new Places();
  for (const offset of offsets) found.add({ offset, length: 10 });
  return found;
}

function saidOf(wrong: Places, changed = new Places()): string {
  try {
    checkFindings([{ wrong, unstable: new Places(), changed, unlisted: new Places() }], "s", "d");
  } catch (error) {
    if (error instanceof VerificationError) return error.message;
    throw error;
  }
  return "";
}

test("Places joins neighbours and counts every place and byte", () => {
  const found = places(0, 10, 30, 40, 60);
  expect({ ...found }).toEqual({
    kept: [
      { offset: 0, length: 20 },
      { offset: 30, length: 20 },
      { offset: 60, length: 10 },
    ],
    count: 3,
    bytes: 50,
  });
});

test("Places keeps a hundred of a million, joined as all are", () => {
  const found = new Places();
  for (let i = 0; i < 1_000_000; i++) found.add({ offset: 20 * i, length: 10 });
  found.add({ offset: 20 * 999_999 + 10, length: 10 });
  expect([found.kept.length, found.count, found.bytes]).toEqual([100, 1_000_000, 10_000_010]);
  expect(found.kept.at(-1)).toEqual({ offset: 20 * 99, length: 10 });
});

test("checkFindings() counts what it does not list, over all lanes", () => {
  expect(saidOf(new Places())).toBe("");
  expect(saidOf(places(0))).toEndWith("10 bytes (10 at offset 0)");
  const many = places(...Array.from({ length: 150 }, (_, i) => 20 * i));
  expect(saidOf(new Places().addAll([many, many]))).toMatch(
    /: 3000 bytes \(10 at offset 0, .*, and 290 more places\)$/,
  );
  expect(saidOf(new Places(), places(5))).toBe(
    'Verification failed: the source "s" changed during the run: 10 bytes (10 at offset 5)',
  );
});
