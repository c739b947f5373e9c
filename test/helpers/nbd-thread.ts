/**
 * A thread that serves an image with a fault in it, over the NBD protocol (doc/proto.md of NetworkBlockDevice/nbd) at a socket.
 * nbdkit has plugins for such a fault only as scripts, with three or four processes for each request.
 */
import fs from "node:fs";
import net from "node:net";
import type { Area } from "./nbd.ts";

declare const self: Worker;

/** What is wrong with the disk; a fault with a `file` is there while that exists. */
export type Fault =
  | { readonly kind: "lies" }
  | { readonly kind: "flips"; readonly at: number; readonly once: boolean; readonly file: string }
  | { readonly kind: "ails"; readonly areas: readonly Area[]; readonly file: string }
  | { readonly kind: "weak"; readonly areas: readonly Area[] };

export interface Served {
  readonly image: string;
  readonly socket: string;
  readonly fault: Fault;
}

const SECTOR = 512;
/** Options, replies and requests of the protocol. */
const OPT_GO = 7;
const REP_ACK = 1;
const REP_INFO = 3;
const REP_ERR_UNSUP = 0x8000_0001;
const CMD = { read: 0, write: 1, flush: 3 } as const;
const HAS_FLAGS_SEND_FLUSH = 5;
const EIO = 5;
const EINVAL = 22;

function numbers(...fields: readonly (readonly [bytes: 2 | 4 | 8, value: bigint | number])[]): Buffer {
  return Buffer.concat(
    fields.map(([length, value]) => {
      const field = Buffer.alloc(8);
      field.writeBigUInt64BE(BigInt(value));
      return field.subarray(8 - length);
    }),
  );
}

/** An image whose reads and writes come out as the fault says. */
class Disk {
  readonly #fd: number;
  readonly #fault: Fault;
  /** Offsets of the sectors that cannot be read until they are written. */
  readonly #weak = new Set<number>();

  constructor({ image, fault }: Served) {
    this.#fd = fs.openSync(image, "r+");
    this.#fault = fault;
    if (fault.kind !== "weak") return;
    for (const { offset, length } of fault.areas)
      for (let at = offset; at < offset + length; at += SECTOR) this.#weak.add(at);
  }

  get sizeBytes(): number {
    return fs.fstatSync(this.#fd).size;
  }

  /** Undefined is an error of the disk. */
  read(offset: number, length: number): Buffer | undefined {
    const end = offset + length;
    if ([...this.#weak].some((at) => at + SECTOR > offset && at < end)) return undefined;
    const fault = this.#fault;
    const isNow = "file" in fault && fs.existsSync(fault.file);
    const ails =
      fault.kind === "ails" && fault.areas.some((bad) => bad.offset < end && bad.offset + bad.length > offset);
    if (isNow && ails) return undefined;
    const data = Buffer.alloc(length);
    fs.readSync(this.#fd, data, 0, length, offset);
    if (isNow && fault.kind === "flips" && fault.at >= offset && fault.at < end) {
      data[fault.at - offset] = (data[fault.at - offset] ?? 0) ^ 1;
      if (fault.once) fs.rmSync(fault.file);
    }
    return data;
  }

  write(offset: number, data: Buffer): void {
    if (this.#fault.kind === "lies") return;
    fs.writeSync(this.#fd, data, 0, data.length, offset);
    for (const at of [...this.#weak]) if (at >= offset && at + SECTOR <= offset + data.length) this.#weak.delete(at);
  }

  flush(): void {
    if (this.#fault.kind !== "lies") fs.fsyncSync(this.#fd);
  }
}

/** One client's conversation: takes what came, returns how much of it was understood and what is to be sent. */
class Conversation {
  readonly #disk: Disk;
  #step: "flags" | "options" | "requests" = "flags";

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  /** NBDMAGIC, IHAVEOPT, and the flags of fixed newstyle without padding. */
  static readonly greeting = Buffer.concat([Buffer.from("NBDMAGICIHAVEOPT"), numbers([2, 3])]);

  /** Undefined where there is less than a whole message. */
  take(bytes: Buffer): { readonly length: number; readonly reply: Buffer } | undefined {
    if (this.#step === "flags") {
      if (bytes.length < 4) return undefined;
      this.#step = "options";
      return { length: 4, reply: Buffer.alloc(0) };
    }
    return this.#step === "options" ? this.#option(bytes) : this.#request(bytes);
  }

  #option(bytes: Buffer) {
    if (bytes.length < 16 || bytes.length < 16 + bytes.readUInt32BE(12)) return undefined;
    const option = bytes.readUInt32BE(8);
    const reply = (type: number, data: Buffer) =>
      Buffer.concat([numbers([8, 0x3e889045565a9n], [4, option], [4, type], [4, data.length]), data]);
    const length = 16 + bytes.readUInt32BE(12);
    if (option !== OPT_GO) return { length, reply: reply(REP_ERR_UNSUP, Buffer.alloc(0)) };
    this.#step = "requests";
    const info = numbers([2, 0], [8, this.#disk.sizeBytes], [2, HAS_FLAGS_SEND_FLUSH]);
    return { length, reply: Buffer.concat([reply(REP_INFO, info), reply(REP_ACK, Buffer.alloc(0))]) };
  }

  #request(bytes: Buffer) {
    if (bytes.length < 28) return undefined;
    const [type, cookie] = [bytes.readUInt16BE(6), bytes.readBigUInt64BE(8)];
    const [offset, count] = [Number(bytes.readBigUInt64BE(16)), bytes.readUInt32BE(24)];
    const length = type === CMD.write ? 28 + count : 28;
    if (bytes.length < length) return undefined;
    const reply = (error: number, data: Buffer = Buffer.alloc(0)) =>
      Buffer.concat([numbers([4, 0x67446698], [4, error], [8, cookie]), data]);
    if (type === CMD.read) {
      const data = this.#disk.read(offset, count);
      return { length, reply: data === undefined ? reply(EIO) : reply(0, data) };
    }
    if (type === CMD.write) this.#disk.write(offset, bytes.subarray(28, length));
    else if (type === CMD.flush) this.#disk.flush();
    else return { length, reply: reply(EINVAL) };
    return { length, reply: reply(0) };
  }
}

self.onmessage = ({ data: served }: MessageEvent<Served>) => {
  const disk = new Disk(served);
  const server = net.createServer((socket) => {
    const conversation = new Conversation(disk);
    let waiting: Buffer = Buffer.alloc(0);
    socket.on("error", () => socket.destroy());
    socket.on("data", (bytes: Buffer) => {
      waiting = Buffer.concat([waiting, bytes]);
      for (let taken = conversation.take(waiting); taken !== undefined; taken = conversation.take(waiting)) {
        waiting = waiting.subarray(taken.length);
        socket.write(taken.reply);
      }
    });
    socket.write(Conversation.greeting);
  });
  server.listen(served.socket, () => self.postMessage("listening"));
};
