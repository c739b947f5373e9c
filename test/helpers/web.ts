/** A web server in the test's own process, which gives ranges as they should be given unless the test makes it lie. */

/** What a request was about. */
export interface Asked {
  readonly path: string;
  /** Undefined for all of it. */
  readonly range: string | undefined;
  readonly headers: Headers;
}

/** An answer in the place of the right one; undefined for that one. */
export type Answer = (asked: Asked, right: () => Response) => Response | Promise<Response> | undefined;

export interface Web extends AsyncDisposable {
  readonly origin: string;
  readonly files: Map<string, Uint8Array>;
  readonly asked: Asked[];
  answer: Answer | undefined;
}

/** The right answer about some bytes (RFC 9110, 14). */
function rightAnswer(bytes: Uint8Array, range: string | undefined): Response {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range ?? "")?.map(Number) ?? [];
  const headers = { etag: `"${Bun.hash(bytes).toString(16)}"` };
  if (range === undefined) return new Response(bytes.slice(), { headers });
  if (first === undefined || last === undefined) throw new Error(`A range that no server need understand: ${range}`);
  if (first >= bytes.length)
    return new Response(null, { status: 416, headers: { "content-range": `bytes */${bytes.length}` } });
  const end = Math.min(last + 1, bytes.length);
  const there = { ...headers, "content-range": `bytes ${first}-${end - 1}/${bytes.length}` };
  return new Response(bytes.slice(first, end), { status: 206, headers: there });
}

export function serveWeb(tls?: { readonly key: string; readonly cert: string }): Web {
  const files = new Map<string, Uint8Array>();
  const asked: Asked[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    ...(tls === undefined ? {} : { tls }),
    fetch: async (request) => {
      const { pathname } = new URL(request.url);
      const one = { path: pathname, range: request.headers.get("range") ?? undefined, headers: request.headers };
      asked.push(one);
      const right = () => {
        const bytes = files.get(pathname);
        return bytes === undefined ? new Response("nothing here", { status: 404 }) : rightAnswer(bytes, one.range);
      };
      return (await web.answer?.(one, right)) ?? right();
    },
  });
  const web: Web = {
    origin: `${tls === undefined ? "http" : "https"}://127.0.0.1:${server.port}`,
    files,
    asked,
    answer: undefined,
    [Symbol.asyncDispose]: async () => await server.stop(true),
  };
  return web;
}
