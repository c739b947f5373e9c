/** Addresses of the web, and headers that go with a request. Pure. */
import { UsageError } from "../errors.ts";
import { quote } from "../name.ts";

export interface Address {
  readonly url: URL;
  /** As messages name it: without what a signed link has behind the question mark. */
  readonly label: string;
}

export function isAddress(text: string): boolean {
  return /^https?:\/\//i.test(text);
}

function labelOf(url: URL): string {
  return `${url.origin}${url.pathname}${url.search === "" ? "" : "?…"}`;
}

/** @throws {UsageError} for what is no address, and one with a password in it. */
export function parseAddress(text: string): Address {
  const url = URL.parse(text);
  if (url === null || url.hostname === "") throw new UsageError("Cannot read an address: it is no URL of a web server");
  if (url.username + url.password !== "")
    throw new UsageError(`A name and a password do not belong into the address ${quote(labelOf(url))}`, {
      hint: "--header @FILE sends a line of a file, such as Authorization: Basic …",
    });
  // What stands behind it is for browsers.
  url.hash = "";
  return { url, label: labelOf(url) };
}

/** The address of what lies beside it, under its name with `ending`. */
export function beside({ url }: Address, ending: string): Address {
  const other = new URL(url);
  other.pathname += ending;
  return { url: other, label: labelOf(other) };
}

export type Header = readonly [name: string, value: string];

/** Those that blocksync sends itself, or that are of a connection. */
const OWN =
  /^(?:accept-encoding|connection|content-length|host|if-match|if-range|range|te|transfer-encoding|upgrade)$/i;

/** The headers in some lines, "NAME: VALUE" each; empty lines are left out. @throws {UsageError}, which never says the value. */
export function parseHeaders(lines: string): Header[] {
  return lines
    .split(/\r?\n/)
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const [, name, value] = /^([\w!#$%&'*+.^`|~-]+):[ \t]*([\x20-\x7e\t]*)$/.exec(line) ?? [];
      if (name === undefined || value === undefined)
        throw new UsageError("A header of --header is not NAME: VALUE", {
          hint: "--header 'Authorization: Bearer …', or --header @FILE with one on each line",
        });
      if (OWN.test(name)) throw new UsageError(`blocksync sends the header ${name} itself`, { hint: "leave it out" });
      return [name, value.trim()] as const;
    });
}
