/** The schemas of what blocksync writes for programs, as ajv reads them. */
import fs from "node:fs";
import { join } from "node:path";
import { Ajv2020, type AnySchemaObject, type ErrorObject } from "ajv/dist/2020.js";

/** Strict: a keyword that is not known, or says nothing about a value of its type, throws. */
const ajv = new Ajv2020({ strict: true, strictTypes: true, strictTuples: true, allErrors: true });

/** scripts/NAME.schema.json. */
export function schemaText(name: "events" | "map"): AnySchemaObject {
  return JSON.parse(fs.readFileSync(join(import.meta.dir, `../../scripts/${name}.schema.json`), "utf8"));
}

/** Tells what a value has against a schema; nothing when it fits. @throws {Error} for what is no schema. */
export function checkerOf(schema: AnySchemaObject): (value: unknown) => readonly ErrorObject[] {
  const validate = ajv.compile(schema);
  return (value) => (validate(value) ? [] : (validate.errors ?? []));
}
