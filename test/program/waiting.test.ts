/** A serve whose connection is lost: for whom it waits, what it tells whom, and how it ends. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import net from "node:net";
import { createPipe } from "../../src/local/kernel/libc.ts";
import { descriptorSink, descriptorSource } from "../../src/remote/wire/descriptors.ts";
import { LastingStream } from "../../src/remote/wire/lasting-stream.ts";
import { ByteReader } from "../../src/remote/wire/streams.ts";
import { BINARY, run, until } from "../helpers/binary.ts";
import { bytes } from "../helpers/bytes.ts";
import { ask, type Parsed, parse, Type } from "../helpers/peer.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const NUMBER = "0123456789abcdef".repeat(2);
const TOKEN = "fedcba9876543210".repeat(2);

/** A serve as sshd would have started it, and our ends of its pipes. */
function login(home: string, words: readonly string[] = []) {
  const [input, output] = [createPipe(), createPipe()];
  // The shell stands for sshd, which ends with its connection.
  const child = Bun.spawn(["sh", "-c", '"$0" "$@"; exit $?', BINARY, "serve", ...words], {
    stdin: input.readEnd,
    stdout: output.writeEnd,
    stderr: "ignore",
    env: { ...process.env, HOME: home },
  });
  for (const fd of [input.readEnd, output.writeEnd]) fs.closeSync(fd);
  const reader = new ByteReader(descriptorSource(output.readEnd));
  const sink = descriptorSink(input.writeEnd);
  const line = async () => Buffer.from((await reader.until(10, 300)).bytes).toString();
  let lost: number | undefined;
  /** Of serve itself. */
  const pid = () => lost ?? Number(Bun.spawnSync(["pgrep", "-P", String(child.pid)]).stdout.toString());
  return {
    pid,
    /** Resolves with its exit code, which nobody learns once the login has ended. */
    async ended(): Promise<number | undefined> {
      if (lost === undefined) return await child.exited;
      await until("serve has ended", () => !fs.existsSync(`/proc/${lost}`));
      return undefined;
    },
    reader,
    sink,
    line,
    /** Answers its preamble with our own, which ends with these words. */
    async greet(...wish: readonly (string | number)[]) {
      const preamble = (await line()).trimEnd();
      await sink.write(Buffer.from(`${[preamble, ...wish].join(" ")}\n`));
    },
    hangUp() {
      lost = pid();
      child.kill("SIGKILL");
      for (const fd of [input.writeEnd, output.readEnd]) fs.closeSync(fd);
    },
  };
}

type Login = ReturnType<typeof login>;

class Controller {
  losses = 0;
  readonly stream = new LastingStream(() => {
    this.losses++;
  });

  attach({ reader, sink }: Login, position = 0): void {
    this.stream.attach(reader, sink, position);
  }

  /** The answer to a request, but for signs of life. */
  async answer(request: Uint8Array): Promise<Parsed> {
    await this.stream.write(request);
    for (let read = Buffer.alloc(0); ; ) {
      const answer = parse(read).frames.find(({ type }) => type !== Type.alive);
      if (answer !== undefined) return answer;
      read = Buffer.concat([read, (await this.stream.read()) ?? Buffer.alloc(0)]);
    }
  }
}

const sessions = (dir: TempDir) => dir.file(".cache/blocksync/sessions");
const socket = (dir: TempDir) => `${sessions(dir)}/${NUMBER}`;

/** A serve that has opened the file "d" to write. */
async function opened(dir: TempDir, { seconds = 60, timeout = 60, words = [] as readonly string[] } = {}) {
  fs.writeFileSync(dir.file("d"), bytes(1, 65_536));
  const first = login(dir.path, words);
  await first.greet("keep", NUMBER, TOKEN, seconds);
  const controller = new Controller();
  controller.attach(first);
  await controller.stream.write(ask.alive(timeout));
  const { type } = await controller.answer(ask.open(1, { access: "write", path: dir.file("d") }));
  expect(type).toBe(Type.opened);
  return { first, controller };
}

/** The same, with its connection lost. */
async function waiting(dir: TempDir, options = {}) {
  const { first, controller } = await opened(dir, options);
  const position = controller.stream.leaveOff();
  first.hangUp();
  await until("it has let go of its login", () => fs.readlinkSync(`/proc/${first.pid()}/fd/1`) === "/dev/null");
  return { first, controller, position };
}

async function resume(dir: TempDir, token: string, position: number, words: readonly string[] = [], number = NUMBER) {
  const next = login(dir.path, words);
  await next.greet("resume", number, token, position);
  return { next, answer: (await next.line()).trimEnd() };
}

test("it goes on over another login, once and again, also while the first still seems to be there", async () => {
  using dir = tempDir();
  const { first, controller } = await opened(dir);
  expect(fs.statSync(sessions(dir)).mode & 0o777).toBe(0o700);
  const logins: Login[] = [];
  for (let request = 2; request < 6; request++) {
    const { next, answer } = await resume(dir, TOKEN, controller.stream.leaveOff());
    expect(answer).toMatch(/^resumed \d+$/);
    controller.attach(next, Number(answer.split(" ")[1]));
    const { type, id } = await controller.answer(request === 2 ? ask.prepare(2, 65_536) : ask.counters(request));
    expect([type, id]).toEqual([request === 2 ? Type.prepared : Type.counted, request]);
    logins.push(next);
  }
  await controller.stream.end();
  expect(await first.ended()).toBe(0);
  for (const one of logins) expect(await one.ended()).toBe(0);
  expect(fs.existsSync(sessions(dir))).toBe(false);
});

test("a wrong token, number, position or permission gets the same answer, and it waits on", async () => {
  using dir = tempDir();
  const { first, controller, position } = await waiting(dir);
  const wrong = [
    resume(dir, TOKEN.replace("f", "e"), position),
    resume(dir, NUMBER, position),
    resume(dir, TOKEN, position, ["--only", dir.file("d")]),
    resume(dir, TOKEN, position + 1e6),
    resume(dir, TOKEN, position, [], TOKEN),
  ];
  for (const { next, answer } of await Promise.all(wrong)) {
    expect(answer).toBe("gone");
    expect(await next.ended()).toBe(0);
  }
  const { next, answer } = await resume(dir, TOKEN, position);
  expect(answer).toMatch(/^resumed \d+$/);
  controller.attach(next, Number(answer.split(" ")[1]));
  expect((await controller.answer(ask.prepare(2, 65_536))).type).toBe(Type.prepared);
  await controller.stream.end();
  await first.ended();
});

test("what serve --only permitted stays what is permitted", async () => {
  using dir = tempDir();
  fs.writeFileSync(dir.file("d"), "");
  const only = ["--only", dir.file("d")];
  const { first, controller, position } = await waiting(dir, { words: only });
  for (const words of [[], [...only, "--read-only"], ["--only", dir.file("e")]])
    expect((await resume(dir, TOKEN, position, words)).answer).toBe("gone");
  const { next, answer } = await resume(dir, TOKEN, position, only);
  expect(answer).toMatch(/^resumed/);
  controller.attach(next, Number(answer.split(" ")[1]));
  await controller.stream.end();
  await first.ended();
});

test("a crowd at its door, and whoever says nothing or too much, does not keep the controller out", async () => {
  using dir = tempDir();
  const { first, controller, position } = await waiting(dir);
  const crowd = Array.from({ length: 300 }, () => net.connect(socket(dir)).on("error", () => undefined));
  for (const one of crowd.slice(0, 100)) one.write(Buffer.alloc(100_000, "x"));
  const { next, answer } = await resume(dir, TOKEN, position);
  expect(answer).toMatch(/^resumed/);
  for (const one of crowd) one.destroy();
  controller.attach(next, Number(answer.split(" ")[1]));
  expect((await controller.answer(ask.prepare(2, 65_536))).type).toBe(Type.prepared);
  await controller.stream.end();
  await first.ended();
});

test("a new run to the same destination takes it over, one to another does not", async () => {
  using dir = tempDir();
  const { first } = await waiting(dir);
  fs.writeFileSync(dir.file("s"), bytes(2, 65_536));
  const env = { HOME: dir.path };
  expect((await run(["-q", dir.file("s"), dir.file("other"), "-T"], { env })).exitCode).toBe(0);
  expect(fs.existsSync(`/proc/${first.pid()}`)).toBe(true);
  expect(await run(["-q", dir.file("s"), dir.file("d")], { env })).toEqual({ exitCode: 0, stdout: "", stderr: "" });
  await first.ended();
  expect(fs.readFileSync(dir.file("d")).equals(bytes(2, 65_536))).toBe(true);
});

test("while it is connected it yields to nobody", async () => {
  using dir = tempDir();
  const { first, controller } = await opened(dir);
  fs.writeFileSync(dir.file("s"), bytes(2, 65_536));
  const result = await run(["-q", dir.file("s"), dir.file("d")], { env: { HOME: dir.path } });
  expect([result.exitCode, fs.existsSync(`/proc/${first.pid()}`)]).toEqual([3, true]);
  await controller.stream.end();
  expect(await first.ended()).toBe(0);
});

test("it ends when the time is over, when its socket is removed, and by SIGTERM, but not by SIGHUP", async () => {
  using dir = tempDir();
  // The timeout is added.
  const late = await waiting(dir, { seconds: 1, timeout: 1 });
  await late.first.ended();
  expect(fs.existsSync(sessions(dir))).toBe(false);
  const removed = await waiting(dir);
  process.kill(removed.first.pid(), "SIGHUP");
  fs.rmSync(socket(dir));
  await removed.first.ended();
  const ended = await waiting(dir);
  for (const signal of ["SIGHUP", "SIGHUP", "SIGTERM"] as const) process.kill(ended.first.pid(), signal);
  await ended.first.ended();
});

test("what a killed one leaves is removed by the next, and a folder that others may look into is not used", async () => {
  using dir = tempDir();
  const { first } = await waiting(dir);
  process.kill(first.pid(), "SIGKILL");
  await first.ended();
  expect(fs.readdirSync(sessions(dir))).toEqual([NUMBER]);
  fs.writeFileSync(dir.file("s"), "new");
  expect((await run(["-q", dir.file("s"), dir.file("d")], { env: { HOME: dir.path } })).exitCode).toBe(0);
  expect(fs.readdirSync(sessions(dir))).toEqual([]);
  fs.chmodSync(sessions(dir), 0o755);
  const second = await opened(dir);
  expect(fs.readdirSync(sessions(dir))).toEqual([]);
  await second.controller.stream.end();
  expect(await second.first.ended()).toBe(0);
});

test("an input that ends alone is a controller that has ended: nobody is waited for", async () => {
  using dir = tempDir();
  fs.writeFileSync(dir.file("d"), "");
  const child = Bun.spawn([BINARY, "serve"], {
    stdin: "pipe",
    stdout: "pipe",
    env: { ...process.env, HOME: dir.path },
  });
  const reader = child.stdout.getReader();
  const preamble = new TextDecoder().decode((await reader.read()).value).trimEnd();
  child.stdin.write(`${preamble} keep ${NUMBER} ${TOKEN} 600\n`);
  await child.stdin.end();
  expect(await child.exited).toBe(5);
  expect(fs.existsSync(sessions(dir))).toBe(false);
});
