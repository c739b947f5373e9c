/**
 * Names of files. Linux lets a name be any bytes but NUL and slash (path_resolution(7)), and JavaScript's text is not
 * bytes: a name that is not UTF-8 would come back as another one. So each byte that is no UTF-8 stands in the text as one
 * of the lone surrogates U+DC80 to U+DCFF (PEP 383, "surrogateescape"), which no UTF-8 yields: such a text can be cut,
 * joined and compared like any other, and bytesOf() gives back exactly the bytes it was made of. Pure.
 */

const ESCAPE = 0xdc00;
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Length of the UTF-8 sequence that begins with this byte (RFC 3629); 0 for a byte that begins none. */
function sequenceLength(byte: number): number {
  if (byte < 0x80) return 1;
  if (byte >= 0xc2 && byte <= 0xdf) return 2;
  if (byte >= 0xe0 && byte <= 0xef) return 3;
  return byte >= 0xf0 && byte <= 0xf4 ? 4 : 0;
}

function decoded(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** The text that stands for a name of these bytes. */
export function nameOf(bytes: Uint8Array): string {
  const whole = decoded(bytes);
  if (whole !== undefined) return whole;
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const byte = bytes[at] ?? 0;
    const length = sequenceLength(byte);
    const character = length > 0 && at + length <= bytes.length ? decoded(bytes.subarray(at, at + length)) : undefined;
    text += character ?? String.fromCharCode(ESCAPE + byte);
    at += character === undefined ? 1 : length;
  }
  return text;
}

/** The bytes that `name` stands for; plain text stands for its UTF-8. */
export function bytesOf(name: string): Buffer {
  if (name.isWellFormed()) return Buffer.from(name);
  const pieces = name.split(/([\udc80-\udcff])/u);
  return Buffer.concat(
    pieces.map((piece, i) => (i % 2 === 1 ? Buffer.of(piece.charCodeAt(0) - ESCAPE) : Buffer.from(piece))),
  );
}

/** Whether some byte of `name` is no UTF-8, so that it can only be handed on as bytes. */
export function isText(name: string): boolean {
  return name.isWellFormed();
}

/**
 * What a terminal would obey, or show as something else or not at all: controls, directions, line ends, what is to be
 * ignored (Default_Ignorable_Code_Point), and bytes that are no text.
 */
const OBEYED = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{DI}\p{Cs}]/gu;
/** With what needs it within quotes. */
const UNPRINTABLE = new RegExp(`["\\\\]|${OBEYED.source}`, "gu");
const SHORT: Readonly<Record<string, string>> = { '"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };

function escaped(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code >= ESCAPE + 0x80 && code <= ESCAPE + 0xff) return `\\x${(code - ESCAPE).toString(16)}`;
  return SHORT[character] ?? `\\u${code > 0xffff ? `{${code.toString(16)}}` : code.toString(16).padStart(4, "0")}`;
}

function isPrintable(text: string): boolean {
  return text.search(OBEYED) === -1;
}

/**
 * Words of another machine or program as a terminal may get them, which must not obey them, nor show them in another
 * order: what it would not print becomes U+FFFD.
 */
export function printable(text: string): string {
  return text.replaceAll(OBEYED, "\u{fffd}");
}

/** A name for where it stands by itself, such as in a picture: as it is if it can be printed, else as quote() has it. */
export function shownName(name: string): string {
  return isPrintable(name) ? name : quote(name);
}

/** A name, or other words from outside, as messages show it: in quotes, what cannot be printed escaped. */
export function quote(text: string): string {
  return `"${text.replaceAll(UNPRINTABLE, escaped)}"`;
}
