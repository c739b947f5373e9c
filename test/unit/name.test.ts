/** Names that are any bytes, on their way into text and back, and into messages. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { bytesOf, isText, nameOf, quote } from "../../src/name.ts";

test("any bytes become a name and the same bytes again", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      expect(new Uint8Array(bytesOf(nameOf(bytes)))).toEqual(new Uint8Array(bytes));
    }),
    { numRuns: 2000 },
  );
});

test("two different names of bytes are two different texts", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 8 }), fc.uint8Array({ maxLength: 8 }), (one, other) => {
      expect(nameOf(one) === nameOf(other)).toBe(Buffer.from(one).equals(Buffer.from(other)));
    }),
    { numRuns: 2000 },
  );
});

test("UTF-8 stays the text it is, and only that is text", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(nameOf(Buffer.from(text))).toBe(text);
      expect(isText(text)).toBe(true);
    }),
  );
  expect(isText(nameOf(Buffer.of(0x6b, 0xf6)))).toBe(false);
});

test("a byte that is no UTF-8 stays beside text that is", () => {
  const name = nameOf(Buffer.from("d\u00e4/k\xf6.img", "latin1"));
  expect(name).toBe("d\udce4/k\udcf6.img");
  expect(nameOf(Buffer.concat([Buffer.from("\u00e4\u20ac"), Buffer.of(0xff, 0x41)]))).toBe("\u00e4\u20ac\udcffA");
  // A surrogate in UTF-8's form is none (RFC 3629), nor is a form longer than it need be.
  expect(nameOf(Buffer.of(0xed, 0xa0, 0x80, 0xc0, 0x80))).toBe("\udced\udca0\udc80\udcc0\udc80");
});

test("messages show what cannot be printed escaped, and all else as it is", () => {
  expect(quote("/srv/\u00e4 b.img")).toBe('"/srv/\u00e4 b.img"');
  expect(quote("k\udcf6.img")).toBe('"k\\xf6.img"');
  expect(quote("\\udcf6")).toBe('"\\\\udcf6"');
  expect(quote('a"b\\c\n\t\r')).toBe('"a\\"b\\\\c\\n\\t\\r"');
  expect(quote("\u001b[31m\u202e\u0085\u2028\u{e0041}")).toBe('"\\u001b[31m\\u202e\\u0085\\u2028\\u{e0041}"');
  // What is not shown at all makes two names look alike: a filler, a joiner, a selector.
  expect(quote("a\u3164b\u200dc\ufe0f\u{e0100}")).toBe('"a\\u3164b\\u200dc\\ufe0f\\u{e0100}"');
  expect(quote("\ud800")).toBe('"\\ud800"');
});
