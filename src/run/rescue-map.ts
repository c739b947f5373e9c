/** The rescue map, the file of --mapfile: read at the start, and kept true while a run goes on, however it ends. */
import { setTimeout as sleep } from "node:timers/promises";
import { asFailure, type Failure, GoneError, IoError, UsageError, VerificationError } from "../errors.ts";
import { quote } from "../name.ts";
import type { ByteRange } from "../sync/ranges.ts";
import type { Rescue } from "../sync/rescue.ts";
import { formatRescueMap, parseRescueMap, type RescueArea } from "../sync/rescue-map.ts";
import { VERSION } from "../version.ts";
import { ReplacedFile } from "./replaced-file.ts";
import type { Taken } from "./taken.ts";

/** The rescue map of a disk with a million bad areas has 50 MB. */
const MAX_BYTES = 256 << 20;

/** What a rescue map is about. ddrescue drops this from the maps that it writes, as it does with all comments. */
export interface RescueMapSubject {
  readonly source: string;
  readonly sizeBytes: number;
  /** Where what is "+" is. */
  readonly destination: string;
}

export class RescueMapFile {
  readonly #file: ReplacedFile;
  readonly #text: string;
  /** What an earlier run found out; nothing when there was none. */
  readonly old: readonly RescueArea[];

  private constructor(file: ReplacedFile, text: string, old: readonly RescueArea[]) {
    this.#file = file;
    this.#text = text;
    this.old = old;
  }

  /**
   * Reads the map, and makes sure that one can be written in its place before anything is copied.
   * @throws {UsageError} for what is no map or cannot become one; {IoError}.
   */
  static open(name: string, taken: readonly Taken[]): RescueMapFile {
    const file = ReplacedFile.open(name, "rescue map", taken);
    const text = file.read(MAX_BYTES);
    return new RescueMapFile(file, text, parseRescueMap(text, name));
  }

  /** Whether it says nothing of another destination. @throws {UsageError} when it is about a source of another size. */
  isAbout({ source, sizeBytes, destination }: RescueMapSubject): boolean {
    const size = /^# Source: .*, (\d+) bytes$/m.exec(this.#text)?.[1];
    if (size !== undefined && Number(size) !== sizeBytes) {
      throw new UsageError(
        `The rescue map covers ${size} bytes, but ${quote(source)} has ${sizeBytes}: it belongs to another source`,
      );
    }
    const other = /^# Destination: (.*)$/m.exec(this.#text)?.[1];
    return other === undefined || other === quote(destination);
  }

  /** @throws {IoError} */
  async save(map: readonly RescueArea[], { source, sizeBytes, destination }: RescueMapSubject): Promise<void> {
    const comments = [
      `Mapfile. Created by blocksync version ${VERSION}`,
      `Source: ${quote(source)}, ${sizeBytes} bytes`,
      `Destination: ${quote(destination)}`,
      `Current time: ${new Date().toISOString()}`,
    ];
    await this.#file.replaceMeanwhile(formatRescueMap(map, comments));
  }
}

/** A map is on disk so soon after something is known. */
const FIRST_SAVE_MS = 1000;
/** What a crash may cost of a rescue; ddrescue's --mapfile-interval is 30 s. */
const SAVE_MS = 5000;
/** Saving may take one part in so many of the time; the map of a disk with a million bad areas takes seconds. */
const SHARE = 100;
/** How long a failed run waits for a destination to flush, so that the map can say what was written last. */
const LAST_FLUSH_MS = 5000;

export interface KeeperOptions {
  readonly file: RescueMapFile;
  readonly subject: RescueMapSubject;
  readonly rescue: Rescue;
  /** Makes durable what was written so far. */
  readonly checkpoint: () => Promise<void>;
  /** Is told once that the map cannot be written while the run goes on. */
  readonly onTrouble: (failure: Failure) => void;
}

/** Saves the map every few seconds. Only what is safe in the destination is "+": it is flushed first. */
export class RescueMapKeeper {
  readonly #options: KeeperOptions;
  #durable: readonly ByteRange[] = [];
  #savedAt = -1;
  #timer: Timer | undefined;
  #saving: Promise<void> = Promise.resolve();
  #ended = false;
  #inTrouble = false;

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#schedule(FIRST_SAVE_MS);
  }

  #schedule(ms: number): void {
    if (this.#ended) return;
    this.#timer = setTimeout(() => {
      this.#saving = this.#saveNow();
    }, ms);
    this.#timer.unref();
  }

  async #saveNow(): Promise<void> {
    const { rescue, onTrouble } = this.#options;
    let took = 0;
    if (rescue.known !== this.#savedAt) {
      this.#savedAt = rescue.known;
      // A flush that fails ends the run by itself; what is bad is worth knowing all the same.
      await this.#flush().catch(() => undefined);
      const begun = performance.now();
      try {
        await this.#save(false);
      } catch (error) {
        if (!this.#inTrouble) onTrouble(asFailure(error));
        this.#inTrouble = true;
      }
      took = performance.now() - begun;
    }
    this.#schedule(Math.max(SAVE_MS, SHARE * took));
  }

  /** What was written before is safe afterwards. */
  async #flush(): Promise<void> {
    const written = this.#options.rescue.written;
    await this.#options.checkpoint();
    this.#durable = written;
  }

  async #save(gone: boolean): Promise<void> {
    const { file, rescue, subject } = this.#options;
    await file.save(rescue.map(this.#durable, { gone }), subject);
  }

  async #stop(): Promise<void> {
    this.#ended = true;
    clearTimeout(this.#timer);
    await this.#saving;
  }

  /** After a run whose destination was flushed. @throws {IoError} */
  async finish(): Promise<void> {
    await this.#stop();
    this.#durable = this.#options.rescue.written;
    await this.#save(false);
  }

  /** After any other: what is safe by then, and what is bad. A side that was found to lie makes nothing safe. */
  async fail(failure: Failure): Promise<void> {
    await this.#stop();
    if (failure instanceof VerificationError) {
      this.#durable = [];
      await this.#save(false).catch((error: unknown) => this.#options.onTrouble(asFailure(error)));
      return;
    }
    const late = sleep(LAST_FLUSH_MS, undefined, { ref: false }).then(() => {
      throw new IoError("The flush takes too long");
    });
    await Promise.race([this.#flush(), late]).catch(() => undefined);
    await this.#save(failure instanceof GoneError).catch((error: unknown) => this.#options.onTrouble(asFailure(error)));
  }
}
