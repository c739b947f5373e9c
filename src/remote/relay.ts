/** A serve that only leads a controller back to the one that waits for it (waiting.ts): passes bytes on, both ways. */
import { meet } from "./meeting.ts";
import { positionIn, sendResumed, type Wish } from "./wire/handshake.ts";
import type { ByteReader, ByteSink, ByteSource } from "./wire/streams.ts";

async function pass(source: ByteSource, sink: ByteSink): Promise<void> {
  for (;;) {
    const bytes = await source.read();
    if (bytes === undefined) return;
    await sink.write(bytes);
  }
}

/** Ends when whoever waited does, or has another caller; in any case without a word of why. */
export async function relay(
  wish: Extract<Wish, { kind: "resume" }>,
  scope: string,
  home: string | undefined,
  reader: ByteReader,
  sink: ByteSink,
  isLost: () => Promise<boolean>,
): Promise<void> {
  const met = await meet(home, wish.number, `resume ${wish.token} ${scope} ${wish.position}`);
  const position = met && positionIn(met.answer);
  await sendResumed(sink, position).catch(() => met?.close());
  if (met === undefined || position === undefined) return;
  // Where the controller has ended, and not the connection, whoever waits is to know.
  pass(reader, met.sink)
    .then(async () => {
      if (!(await isLost())) await meet(home, wish.number, `end ${wish.token} ${scope}`);
      met.close();
    })
    .catch(() => met.close());
  await pass(met.reader, sink).catch(() => undefined);
  met.close();
}
