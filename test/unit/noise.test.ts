/** Far sides that make noise instead of getting on: what is no sign of life does not outlive --timeout. */
import { expect, test } from "bun:test";
import { createPipe } from "../../src/local/kernel/libc.ts";
import { type ConnectOptions, start } from "../../src/remote/host/login.ts";

const MARKER = "blocksync-0123456789abcdef0123456789abcdef";

/** What reading from a far side comes to that runs `script`, and how many passwords were asked for until then. */
async function listenTo(script: string, began = false): Promise<{ failure: unknown; asked: number }> {
  let asked = 0;
  const ending = new AbortController();
  const options: ConnectOptions = {
    shell: { rsh: undefined, identityFile: undefined, cipher: undefined, extraParameters: [], password: false },
    sudo: true,
    askPassword: () => {
      asked++;
      return Promise.resolve("x");
    },
    script: undefined,
    directory: "",
    env: process.env,
    own: { version: "0", build: "0", hasAes: false },
    compress: false,
    target: "linux-x64",
    createPipe,
    limits: undefined,
    timeoutSeconds: 1,
    connectSeconds: undefined,
    loginLimitMs: 1000,
    reconnectMs: 0,
    signal: ending.signal,
    tell: () => undefined,
  };
  const { child, patience } = start(["sh", "-c", script], { host: "h", byHand: "ssh h" }, options, MARKER);
  if (began) patience.run();
  const failure = await child.source.read().catch((cause: unknown) => cause);
  patience.stop();
  ending.abort();
  await child.stop();
  return { failure, asked };
}

test("a far side that repeats its sudo line is asked for ten passwords, and given up", async () => {
  const { failure, asked } = await listenTo(`while echo "${MARKER} password"; do sleep .01; done >&2`);
  expect(String(failure)).toContain("sh was silent for 1 s");
  expect(asked).toBe(10);
});

test("a far side that says sudo's line once the program runs gets no password, and no time", async () => {
  const { failure, asked } = await listenTo(`while echo "${MARKER} password"; do sleep .01; done >&2`, true);
  expect(String(failure)).toContain("the far side was silent for 1 s");
  expect(asked).toBe(0);
});

test("a login that prints without end is given up", async () => {
  const { failure, asked } = await listenTo("while echo welcome; do :; done >&2");
  expect(String(failure)).toContain("sh was silent for 1 s");
  expect(asked).toBe(0);
});
