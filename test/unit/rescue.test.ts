/** What a rescue knows: which blocks are read when, and that its map is true whatever happens. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { BlockLayout, type BlockRange, hasSectors } from "../../src/sync/blocks.ts";
import type { ByteRange } from "../../src/sync/ranges.ts";
import { Rescue, samplesOf } from "../../src/sync/rescue.ts";
import { fitRescueMap, type RescueArea } from "../../src/sync/rescue-map.ts";

const BLOCK = 4096;
const SIZE = 10 * BLOCK + 512;
const LAYOUT = new BlockLayout(SIZE, BLOCK);
const SECTORS = SIZE / 512;

/** Any map of the source, in sectors. */
const maps = fc
  .array(
    fc.tuple(fc.integer({ min: 1, max: 20 }), fc.constantFrom<RescueArea["status"]>("+", "+", "-", "?", "*", "/")),
    {
      maxLength: 20,
    },
  )
  .map((areas) => {
    let position = 0;
    const map = areas.flatMap(([sectors, status]): RescueArea[] => {
      const offset = position;
      position = Math.min(SIZE, position + sectors * 512);
      return position > offset ? [{ offset, length: position - offset, status }] : [];
    });
    return fitRescueMap(map, SIZE, "s");
  });

/** The status of each sector. */
function statuses(map: readonly RescueArea[]): string[] {
  let end = 0;
  const all = map.flatMap(({ offset, length, status }) => {
    expect(offset).toBe(end);
    end = offset + length;
    return Array.from({ length: length / 512 }, () => status);
  });
  expect(all.length).toBe(SECTORS);
  return all;
}

function blocksOf(ranges: readonly BlockRange[]): number[] {
  return ranges.flatMap(({ first, count }) => Array.from({ length: count }, (_, i) => first + i));
}

test("a plan has each block of a share once, and believes only those that are held as a whole", () => {
  fc.assert(
    fc.property(maps, fc.nat(SECTORS), fc.nat(10), (map, held, cut) => {
      const rescue = new Rescue({ map, heldBytes: held * 512, retries: undefined });
      const all = statuses(map).map((status, i) => (status === "+" && i >= held ? "?" : status));
      const goesOn = all.some((status) => "?*/".includes(status));
      for (const share of [
        { first: 0, count: cut },
        { first: cut, count: 11 - cut },
      ]) {
        const plan = rescue.plan(LAYOUT, share);
        const planned = [plan.compare, plan.salvage, plan.later].map(blocksOf);
        expect(planned.flat().toSorted((a, b) => a - b)).toEqual(blocksOf([share]));
        for (const block of blocksOf([share])) {
          const there = all.slice(block * 8, block * 8 + 8);
          const isBad = there.some((status) => "-*/".includes(status));
          const isHeld = goesOn && there.every((status) => status === "+");
          expect(planned.map((blocks) => blocks.includes(block))).toEqual([!isBad && !isHeld, isBad, isHeld]);
        }
      }
    }),
  );
});

test("the map never takes back what is held, calls nothing read that is not durable, and covers everything once", () => {
  const steps = fc.array(fc.tuple(fc.nat(10), fc.constantFrom("done", "failed", "salvaged"), fc.nat(255)), {
    maxLength: 20,
  });
  fc.assert(
    fc.property(maps, steps, fc.nat(20), fc.boolean(), (map, list, flushedAt, gone) => {
      const rescue = new Rescue({ map, heldBytes: SIZE, retries: 1 });
      const old = statuses(map);
      const done = new Set<number>();
      const bad = new Set<number>();
      const failed = new Set<number>();
      let durable: readonly ByteRange[] = [];
      let safe = new Set<number>();
      for (const [step, [index, kind, mask]] of list.entries()) {
        const block = { offset: LAYOUT.offsetOf(index), length: LAYOUT.lengthOf(index) };
        const sectors = Array.from({ length: block.length / 512 }, (_, i) => index * 8 + i);
        if (kind === "done") {
          rescue.done(block);
          for (const sector of sectors) done.add(sector);
        } else if (kind === "failed") {
          rescue.failed(block);
          for (const sector of sectors) failed.add(sector);
        } else {
          const isMissing = (sector: number) => ((mask >> (sector % 8)) & 1) === 1;
          const missing = sectors.filter(isMissing).map((sector) => ({ offset: sector * 512, length: 512 }));
          const found = rescue.salvaged(block, missing, false);
          expect(found.kept.reduce((sum, { length }) => sum + length, 0)).toBe(
            512 * sectors.filter((sector) => isMissing(sector) && old[sector] === "+").length,
          );
          for (const sector of sectors) {
            if (!isMissing(sector)) done.add(sector);
            else if (old[sector] !== "+") bad.add(sector);
          }
        }
        if (step === flushedAt) {
          durable = rescue.written;
          safe = new Set(done);
        }
      }
      const now = statuses(rescue.map(durable, { gone }));
      for (const [sector, status] of now.entries()) {
        const was = old[sector] ?? "";
        const read = was === "+" || safe.has(sector);
        const isBad = !read && !done.has(sector) && (bad.has(sector) || was === "-");
        const open = was === "*" || (!gone && failed.has(sector)) ? "*" : was === "/" ? "/" : "?";
        expect(status).toBe(read ? "+" : isBad ? "-" : open);
      }
    }),
  );
});

test("untried() has what is hopeless, and what is believed", () => {
  const map: RescueArea[] = [
    { offset: 0, length: 512, status: "+" },
    { offset: 512, length: 512, status: "-" },
    { offset: 1024, length: SIZE - 1024, status: "?" },
  ];
  const block = { offset: 0, length: BLOCK };
  const untried = (retries: number | undefined, believed: boolean) => {
    const set = new Rescue({ map, heldBytes: SIZE, retries }).untried(block, believed);
    return [0, 512, 1024].map((offset) => hasSectors(set, { offset, length: 512 }));
  };
  expect(untried(undefined, true)).toEqual([true, true, false]);
  expect(untried(undefined, false)).toEqual([false, true, false]);
  expect(untried(3, true)).toEqual([true, false, false]);
});

test("samplesOf() takes one block in 32, at least one and at most eight, and leaves the others", () => {
  const range = fc.array(fc.tuple(fc.nat(50), fc.integer({ min: 1, max: 300 })), { maxLength: 8 }).map((list) => {
    let position = 0;
    return list.map(([gap, count]): BlockRange => {
      const first = position + gap;
      position = first + count;
      return { first, count };
    });
  });
  fc.assert(
    fc.property(range, (ranges) => {
      const { samples, others } = samplesOf(ranges, 1);
      const all = blocksOf(ranges);
      expect([...blocksOf(samples), ...blocksOf(others)].toSorted((a, b) => a - b)).toEqual(all);
      expect(samples.length).toBe(all.length === 0 ? 0 : Math.min(8, Math.max(1, Math.floor(all.length / 32))));
      expect(samples.every(({ count }) => count === 1)).toBe(true);
      expect(others.every(({ count }) => count > 0)).toBe(true);
    }),
  );
});

test("samplesOf() in longer and longer runs takes each block once, and all in the end", () => {
  const range = fc.tuple(fc.nat(50), fc.integer({ min: 1, max: 3000 })).map(([first, count]) => ({ first, count }));
  fc.assert(
    fc.property(range, (range) => {
      let rest: readonly BlockRange[] = [range];
      const taken: number[] = [];
      let rounds = 0;
      for (let length = 1; rest.length > 0; length *= 2) {
        const { samples, others } = samplesOf(rest, length);
        taken.push(...blocksOf(samples));
        rest = others;
        rounds++;
      }
      expect(taken.toSorted((a, b) => a - b)).toEqual(blocksOf([range]));
      expect(rounds).toBeLessThan(16);
    }),
  );
});
