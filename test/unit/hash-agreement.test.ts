import { expect, test } from "bun:test";
import { HashAgreement } from "../../src/run/hash-agreement.ts";

test("HashAgreement is gmac once both sides have AES instructions, and else what both are fast with", async () => {
  for (const [first, second, name] of [
    [true, true, "gmac"],
    [true, false, "xxh3-xxh64"],
    [false, true, "xxh3-xxh64"],
    [false, false, "xxh3-xxh64"],
  ] as const) {
    const agreement = new HashAgreement("auto", 2);
    agreement.says(first);
    agreement.says(second);
    expect({ first, second, name: await agreement.name }).toEqual({ first, second, name });
    // A further lane reaches the same hosts.
    agreement.says(!first);
    expect(await agreement.name).toBe(name);
  }
});

test("HashAgreement waits for both, takes what was asked for at once, and fails with a side that fails", async () => {
  const waiting = new HashAgreement("auto", 2);
  waiting.says(true);
  expect(await Promise.race([waiting.name, Promise.resolve("nothing yet")])).toBe("nothing yet");
  const failure = new Error("no route");
  waiting.fails(failure);
  expect(waiting.name).rejects.toBe(failure);
  expect(await new HashAgreement("sha256", 2).name).toBe("sha256");
});
