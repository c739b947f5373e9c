/** Names and other texts from outside in JSON, which holds Unicode and no other bytes (RFC 8259, 8.1 and 8.2). */
import { bytesOf, isText } from "../name.ts";

/** Characters that a terminal would obey, or that would turn what stands behind them around, and that JSON may escape. */
const OBEYED = /[\u007f-\u009f]|[\p{Cf}\p{Zl}\p{Zp}]/gu;

function escaped(character: string): string {
  return Array.from({ length: character.length }, (_, i) => character.charCodeAt(i))
    .map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`)
    .join("");
}

/**
 * A name under `key`. One that is not UTF-8 comes twice: there with U+FFFD for each byte that is none, to be read, and
 * under `keyBase64` with all its bytes, to be used.
 */
export function nameFields(key: string, name: string): Record<string, string> {
  if (isText(name)) return { [key]: name };
  return { [key]: name.toWellFormed(), [`${key}Base64`]: bytesOf(name).toString("base64") };
}

/** A value as JSON on one line, with nothing in it that a terminal would obey and no half of a surrogate pair. */
export function jsonLine(value: unknown): string {
  const text = JSON.stringify(value, (_, one: unknown) => (typeof one === "string" ? one.toWellFormed() : one));
  return text.replaceAll(OBEYED, escaped);
}
