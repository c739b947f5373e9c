/** Lists of blocks as the programs write them that make them, and what is wrong with those that are none. */
import { expect, test } from "bun:test";
import { UsageError } from "../../src/errors.ts";
import { fitBlockList, listedBlocks, parseBlockList } from "../../src/sync/block-list.ts";
import { BlockLayout } from "../../src/sync/blocks.ts";

function pairs(text: string): number[][] {
  return parseBlockList(text, "list").ranges.map(({ offset, length }) => [offset, length]);
}

function wrong(text: string): string {
  try {
    parseBlockList(text, "list");
  } catch (error) {
    if (error instanceof UsageError) return error.message.replace('Cannot read the list of blocks "list": ', "");
    throw error;
  }
  return "nothing thrown";
}

test("parseBlockList() takes what is + in a map of partclone or ddrescue", () => {
  const map = `# Domain logfile created by unset_name v0.3.23
# Source: e.img
# current_pos  current_status
0x04000000     ?
#      pos        size  status
0x00000000  0x00448400  +
0x00448400  0x003B8000  ?
0x00800400  0x00000400  +
`;
  expect(pairs(map)).toEqual([
    [0, 0x448400],
    [0x800400, 0x400],
  ]);
});

test("parseBlockList() takes data and zeros of qemu-img and nbdinfo, what is dirty, and all of rbd", () => {
  const qemu = `[{ "start": 0, "length": 4096, "depth": 0, "present": true, "zero": false, "data": true, "offset": 0},
{ "start": 4096, "length": 4096, "depth": 0, "present": true, "zero": true, "data": false, "offset": 4096},
{ "start": 8192, "length": 4096, "depth": 0, "present": false, "zero": false, "data": false}]`;
  expect(pairs(qemu)).toEqual([[0, 8192]]);
  const allocation = ["data", "hole", "zero", "hole,zero"].map((description, i) => ({
    offset: i * 512,
    length: 512,
    type: i,
    description,
  }));
  expect(pairs(JSON.stringify(allocation))).toEqual([
    [0, 512],
    [1024, 1024],
  ]);
  const dirty = [
    { offset: 0, length: 65_536, type: 0, description: "clean" },
    { offset: 65_536, length: 65_536, type: 1, description: "dirty" },
  ];
  expect(pairs(JSON.stringify(dirty))).toEqual([[65_536, 65_536]]);
  expect(pairs('[{"offset":0,"length":4,"exists":"true"},{"offset":8,"length":4,"exists":"false"}]')).toEqual([
    [0, 4],
    [8, 4],
  ]);
});

test("parseBlockList() takes blocksync's own map, with the size that it is about", () => {
  const own =
    '{"source":"a","destination":"b","size":9000,"unit":4096,"merged":false,"ranges":[\n{"offset":4096,"length":4096,"kind":"zero"}\n]}';
  expect(parseBlockList(own, "list")).toMatchObject({ ranges: [{ offset: 4096, length: 4096 }], sizeBytes: 9000 });
});

test("parseBlockList() takes all but the same of thin_delta, in its blocks", () => {
  const delta = `<superblock uuid="" time="1" transaction="2" data_block_size="128" nr_data_blocks="0">
  <diff left="1" right="2">
    <same begin="0" length="2"/>
    <different begin="2" length="1"/>
    <right_only begin="3" data_begin="7" length="1"/>
    <left_only begin="9" length="2"/>
  </diff>
</superblock>
`;
  expect(pairs(delta)).toEqual([
    [2 * 65_536, 2 * 65_536],
    [9 * 65_536, 2 * 65_536],
  ]);
  expect(wrong(delta.slice(0, 200))).toContain("the list is not whole");
  const verbose = delta.replaceAll(/<(same|different|\w+_only) ([^>]*)\/>/g, "<$1><range $2/></$1>");
  expect(pairs(verbose)).toEqual(pairs(delta));
});

test("parseBlockList() takes bmaptool's map, of either version, to the end of a short last block", () => {
  const bmap = `<?xml version="1.0" ?>
<!-- a list of <Range> 0-9 </Range>, it says -->
<bmap version="2.0">
    <ImageSize> 10000 </ImageSize>
    <BlockSize> 4096 </BlockSize>
    <BlockMap>
        <Range chksum="00"> 0 </Range>
        <Range> 2-2 </Range>
    </BlockMap>
</bmap>
`;
  expect(parseBlockList(bmap, "list")).toMatchObject({
    ranges: [
      { offset: 0, length: 4096 },
      { offset: 8192, length: 1808 },
    ],
    sizeBytes: 10_000,
  });
  expect(wrong(bmap.replace("</bmap>", ""))).toContain("the list is not whole");
  expect(wrong(bmap.replace("2-2", "2-1"))).toBe("entry 2 ends before it begins");
  const counted = bmap.replace("<BlockMap>", "<MappedBlocksCount> 3 </MappedBlocksCount><BlockMap>");
  expect(wrong(counted)).toBe("entry 2 is the last of 2 blocks, where 3 are announced: the list is not whole");
});

test("parseBlockList() refuses what is no list, is out of order, or has numbers that are none", () => {
  expect(wrong("")).toBe("it lists nothing");
  expect(wrong("# only a comment\n")).toBe("it lists nothing");
  expect(wrong("hello\n")).toBe("line 1 is not a line of a GNU ddrescue mapfile");
  expect(wrong('[{"start":0,"length":1')).toBe("it is no whole JSON");
  expect(wrong("{}")).toBe("it is in no form that is known");
  expect(wrong('[{"start":0,"length":4,"data":true}]')).toBe("entry 1 is in no form that is known");
  const exists = (...ranges: [unknown, unknown][]) =>
    JSON.stringify(ranges.map(([offset, length]) => ({ offset, length, exists: true })));
  expect(wrong(exists([0, 8], [7, 1]))).toBe("entry 2 begins before the one before it ends");
  for (const value of [-1, 0.5, 2 ** 53, null, "", "x", "9".repeat(17), [1]])
    expect(wrong(exists([0, value]))).toBe("entry 1 has a number that is none, or too large");
  expect(wrong(exists([2 ** 53 - 1, 1]))).toBe("entry 1 has a number that is none, or too large");
  expect(wrong("<html></html>")).toBe("it is in no form that is known");
});

test("parseBlockList() takes the maps of several partitions after each other, and no map of other areas between them", () => {
  const map = (offset: number) => `# Domain logfile created by unset_name v0.3.23
# current_pos  current_status
0x${(offset + 8192).toString(16)}     ?
#      pos        size  status
0x${offset.toString(16)}  0x1000  +
0x${(offset + 4096).toString(16)}  0x1000  ?
`;
  const disk = map(1 << 20) + map(2 << 20);
  // What no map tells of, such as the partition table, is not known to be unused.
  expect(pairs(disk)).toEqual([
    [0, (1 << 20) + 4096],
    [(1 << 20) + 8192, (1 << 20) - 8192 + 4096],
  ]);
  expect(wrong(map(2 << 20) + map(1 << 20))).toBe("entry 3 begins before the one before it ends");
  expect(wrong(`${map(1 << 20)}hello\n${map(2 << 20)}`)).toBe("line 7 is not a line of a GNU ddrescue mapfile");
  expect(wrong(map(1 << 20) + map(2 << 20).replace("0x1000  ?", "x"))).toBe(
    "line 12 is not a line of a GNU ddrescue mapfile",
  );
});

test("parseBlockList() tells what a list is of, so that what has changed is not taken for what is used", () => {
  const meaning = (text: string) => parseBlockList(text, "list").meaning;
  const entry = (words: object) => JSON.stringify([{ offset: 0, length: 512, ...words }]);
  expect(meaning(entry({ description: "clean" }))).toBe("changed");
  expect(meaning(entry({ description: "hole,zero" }))).toBe("used");
  expect(meaning(entry({ data: true, zero: false }))).toBe("used");
  expect(meaning(entry({ exists: true }))).toBeUndefined();
  expect(meaning("0 +\n0 512 +\n")).toBeUndefined();
  const mixed = [
    { offset: 0, length: 512, description: "dirty" },
    { offset: 512, length: 512, description: "data" },
  ];
  expect(wrong(JSON.stringify(mixed))).toBe("entry 2 is in another form than the one before it");
});

test("parseBlockList() takes no dump of a thin pool for a list of what has changed", () => {
  const dump = `<superblock uuid="" time="1" transaction="2" data_block_size="128" nr_data_blocks="100">
  <device dev_id="1" mapped_blocks="4"><range_mapping origin_begin="0" data_begin="0" length="4" time="0"/></device>
</superblock>
`;
  expect(wrong(dump)).toBe("it is in no form that is known");
});

test("fitBlockList() wants what a list of everything does not mention, and refuses one of another size", () => {
  const fit = (text: string, sizeBytes: number) => {
    const fitted = fitBlockList(parseBlockList(text, "list"), sizeBytes);
    return typeof fitted === "string" ? fitted : fitted.map(({ offset, length }) => [offset, length]);
  };
  // A file system that is shorter than its partition, or a map that was cut.
  const map = "0 ?\n0 4096 +\n4096 4096 ?\n";
  expect(fit(map, 8192)).toEqual([[0, 4096]]);
  expect(fit(map, 10_000)).toEqual([
    [0, 4096],
    [8192, 1808],
  ]);
  expect(fit(map, 4096)).toBe("it is about 8192 bytes");
  // QEMU rounds a file up to whole sectors.
  const qemu = '[{"start":1024,"length":9216,"zero":false,"data":true}]';
  expect(fit(qemu, 10_000)).toEqual([[0, 10_000]]);
  expect(fit(qemu, 9728)).toBe("it is about 10240 bytes");
  expect(fit('[{"offset":0,"length":4096,"description":"clean"}]', 8192)).toEqual([[4096, 4096]]);
  expect(fit('[{"offset":0,"length":4096,"exists":true}]', 8192)).toEqual([[0, 4096]]);
  const thin = (kind: string) =>
    `<superblock data_block_size="128"><diff left="1" right="2"><same begin="0" length="2"/><${kind} begin="2" length="3"/></diff></superblock>`;
  // Of a volume that was made smaller.
  expect(fit(thin("left_only"), 3 * 65_536)).toEqual([[2 * 65_536, 65_536]]);
  expect(fit(thin("different"), 3 * 65_536)).toBe(`it is about ${5 * 65_536} bytes`);
  expect(fit(thin("different"), 5 * 65_536 - 512)).toEqual([[2 * 65_536, 3 * 65_536 - 512]]);
  const bmap = (range: string) =>
    `<bmap><ImageSize> 8192 </ImageSize><BlockSize> 4096 </BlockSize><Range>${range}</Range></bmap>`;
  expect(fit(bmap("0-1"), 8192)).toEqual([[0, 8192]]);
  expect(fit(bmap("0"), 8193)).toBe("it is about 8192 bytes");
  expect(fit(bmap("2"), 8192)).toBe("it is about 12288 bytes");
});

test("parseBlockList() takes a million ranges", () => {
  const entries = Array.from({ length: 1_000_000 }, (_, i) => `{"offset":${i * 8192},"length":4096,"exists":true}`);
  expect(parseBlockList(`[${entries.join(",\n")}]`, "list").ranges).toHaveLength(1_000_000);
});

test("listedBlocks() are the blocks that a list touches, of one share, and the others", () => {
  const layout = new BlockLayout(10 * 4096 + 5, 4096);
  const ranges = [
    { offset: 4095, length: 2 },
    { offset: 3 * 4096, length: 1 },
    { offset: 10 * 4096 + 4, length: 1 },
  ];
  expect(listedBlocks(ranges, layout, layout.all)).toEqual({
    listed: [
      { first: 0, count: 2 },
      { first: 3, count: 1 },
      { first: 10, count: 1 },
    ],
    others: [
      { first: 2, count: 1 },
      { first: 4, count: 6 },
    ],
  });
  expect(listedBlocks(ranges, layout, { first: 1, count: 2 })).toEqual({
    listed: [{ first: 1, count: 1 }],
    others: [{ first: 2, count: 1 }],
  });
  expect(listedBlocks(ranges, layout, { first: 0, count: 0 })).toEqual({ listed: [], others: [] });
});
