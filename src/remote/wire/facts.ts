/** The facts of protocol.ts into and out of a message's head. Pure. */
import { ProtocolError } from "../../errors.ts";
import { printable } from "../../name.ts";
import {
  type Content,
  type Facts,
  MAX_CONTENTS,
  MAX_FACT_LENGTH,
  MAX_SIGNATURES,
  MAX_WRITER_LENGTH,
  type Signature,
} from "../../sync/facts.ts";
import type { FieldReader, FieldWriter } from "./protocol.ts";

export function writeFacts(writer: FieldWriter, facts: Facts | undefined): FieldWriter {
  writer.bool(facts !== undefined);
  if (facts === undefined) return writer;
  writer.text(facts.name).text(facts.model).text(facts.serial).text(facts.transport);
  writer.u32(facts.sectorBytes).bool(facts.isPartition).u64(facts.links).text(facts.writer).bool(facts.isZero);
  writer.u32(facts.atEnd.length);
  for (const type of facts.atEnd) writer.text(type);
  writer.u32(facts.contents.length);
  for (const { name, sizeBytes, signatures } of facts.contents) {
    writer
      .text(name)
      .u64(sizeBytes)
      .bool(signatures !== undefined);
    if (signatures !== undefined) writer.u32(signatures.length);
    for (const { type, label, uuid, note, sectorBytes, endBytes } of signatures ?? [])
      writer.text(type).text(label).text(uuid).text(note).u32(sectorBytes).u64(endBytes);
  }
  return writer;
}

/** A text that will be shown on a terminal: whon the far side should have left out is refused. */
function shown(reader: FieldReader, limit = MAX_FACT_LENGTH): string {
  const text = reader.text();
  if (text !== printable(text)) throw new ProtocolError("Cannot read a message: control characters among the facts");
  return text.slice(0, limit);
}

function readSignature(reader: FieldReader): Signature {
  return {
    type: shown(reader),
    label: shown(reader),
    uuid: shown(reader),
    note: shown(reader),
    sectorBytes: reader.u32(),
    endBytes: reader.u64(),
  };
}

function readContent(reader: FieldReader): Content {
  const name = shown(reader);
  const sizeBytes = reader.u64();
  const signatures = reader.bool() ? reader.list(MAX_SIGNATURES, () => readSignature(reader)) : undefined;
  return { name, sizeBytes, signatures };
}

/** @throws {ProtocolError} */
export function readFacts(reader: FieldReader): Facts | undefined {
  if (!reader.bool()) return undefined;
  return {
    name: shown(reader),
    model: shown(reader),
    serial: shown(reader),
    transport: shown(reader),
    sectorBytes: reader.u32(),
    isPartition: reader.bool(),
    links: reader.u64(),
    writer: shown(reader, MAX_WRITER_LENGTH),
    isZero: reader.bool(),
    atEnd: reader.list(MAX_SIGNATURES, () => shown(reader)),
    contents: reader.list(MAX_CONTENTS, () => readContent(reader)),
  };
}
