/** The `spec` of protocol.ts into and out of a message's head, with all that is checked about one. Pure. */
import { OVERRIDABLE, ProtocolError } from "../../errors.ts";
import { isBlockSize } from "../../sync/blocks.ts";
import { EXAMINATIONS } from "../../sync/facts.ts";
import {
  ACCESSES,
  type EndpointSpec,
  HASH_NAMES,
  type HashChoice,
  MAX_SALT_SIZE,
  RUN_ID_SIZE,
  SEED_SIZE,
  type UndoSpec,
} from "../../sync/spec.ts";
import type { FieldReader, FieldWriter } from "./protocol.ts";

export function writeSpec(writer: FieldWriter, spec: EndpointSpec): FieldWriter {
  writer.name(spec.path).name(spec.label).u8(ACCESSES.indexOf(spec.access)).u32(spec.blockSize);
  writer.u8(HASH_NAMES.indexOf(spec.hash.name)).bool(spec.hash.additional !== undefined);
  if (spec.hash.additional !== undefined) writer.u8(HASH_NAMES.indexOf(spec.hash.additional));
  writer
    .bytes(Buffer.concat([spec.hash.seed, spec.hash.salt ?? new Uint8Array()]))
    .bool(spec.dropCache)
    .bool(spec.discard)
    .bool(spec.compress);
  writer.u32(spec.allowed.length);
  for (const name of spec.allowed) writer.u8(OVERRIDABLE.indexOf(name));
  writer.u8(EXAMINATIONS.indexOf(spec.examine)).bool(spec.undo !== undefined);
  if (spec.undo !== undefined)
    writer.name(spec.undo.path).name(spec.undo.label).bytes(spec.undo.run).bool(spec.undo.chain);
  return writer;
}

function checked<Value>(value: Value, isRight: boolean, what: string): Value {
  if (!isRight) throw new ProtocolError(`Cannot open: ${what}`);
  return value;
}

function readPath(reader: FieldReader): string {
  const path = reader.name();
  return checked(path, path !== "" && !path.includes("\0"), "the path is empty or has a NUL byte");
}

function readBlockSize(reader: FieldReader): number {
  const size = reader.u32();
  return checked(size, isBlockSize(size), `${size} is not a block size`);
}

function readSeed(reader: FieldReader): Pick<HashChoice, "seed" | "salt"> {
  const bytes = reader.bytes();
  const isRight = bytes.length >= SEED_SIZE && bytes.length <= SEED_SIZE + MAX_SALT_SIZE;
  checked(bytes, isRight, `a seed of ${bytes.length} bytes`);
  const seed = bytes.slice(0, SEED_SIZE);
  return bytes.length === SEED_SIZE ? { seed } : { seed, salt: bytes.slice(SEED_SIZE) };
}

function readHash(reader: FieldReader): HashChoice {
  const name = reader.oneOf(HASH_NAMES);
  const hash = { name, additional: reader.bool() ? reader.oneOf(HASH_NAMES) : undefined, ...readSeed(reader) };
  return checked(
    hash,
    hash.salt === undefined || (name === "sha256" && hash.additional === undefined),
    "a salt for another hash",
  );
}

function readUndo(reader: FieldReader, access: EndpointSpec["access"]): UndoSpec {
  checked(0, access === "write" || access === "rehearse", "an undo file for what is not written");
  const [path, label, run] = [readPath(reader), reader.name(), reader.bytes()];
  checked(run, run.length === RUN_ID_SIZE, `a run's id of ${run.length} bytes`);
  return { path, label, run: run.slice(), chain: reader.bool() };
}

/** @throws {ProtocolError} */
export function readSpec(reader: FieldReader): EndpointSpec {
  const spec = {
    path: readPath(reader),
    label: reader.name(),
    access: reader.oneOf(ACCESSES),
    blockSize: readBlockSize(reader),
    hash: readHash(reader),
    dropCache: reader.bool(),
    discard: reader.bool(),
    compress: reader.bool(),
    allowed: reader.list(OVERRIDABLE.length, () => reader.oneOf(OVERRIDABLE)),
    examine: reader.oneOf(EXAMINATIONS),
  };
  return { ...spec, undo: reader.bool() ? readUndo(reader, spec.access) : undefined };
}
