/**
 * What a destination is, whatever it is called: the same bytes by way of another loop device, a hard link, a name that is
 * gone, another number for one file system. The compiled program; after every refusal not a byte has changed.
 */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import { setImmediate } from "node:timers/promises";
import { farMounts, farNumber, parseMounts } from "../../src/local/system/mounts.ts";
import { layersOf } from "../../src/local/system/stores.ts";
import { type Extent, extentsText, parseExtents, shareBytes, UNBOUNDED, wholeOf } from "../../src/sync/extents.ts";
import { fakeSsh, run } from "../helpers/binary.ts";
import { bytes } from "../helpers/bytes.ts";
import { addPartitions, command, mounted, swappedTo, writeTable } from "../helpers/disk.ts";
import { attachLoop, type Loop } from "../helpers/loop.ts";
import { testWith } from "../helpers/requirements.ts";
import { type TempDir, tempDir } from "../helpers/temp.ts";

const MIB = 1 << 20;
const SIZE = 8 * MIB;
const onFileSystem = testWith("loop", "mkfs");
const onBtrfs = testWith("loop", "btrfs");
const onFuse = testWith("loop", "mkfs", "fuse");

/** An image with a file system on all of it. */
function formatted(dir: TempDir, name = "image"): string {
  fs.writeFileSync(dir.file(name), Buffer.alloc(SIZE));
  command("mkfs.ext4", "-q", "-F", dir.file(name));
  return dir.file(name);
}

function nameOf({ path }: Pick<Loop, "path">): string {
  return path.slice("/dev/".length);
}

function source(dir: TempDir): string {
  if (!fs.existsSync(dir.file("s"))) fs.writeFileSync(dir.file("s"), bytes(1, MIB));
  return dir.file("s");
}

/** Refused with this sentence, here and on the far side. */
async function expectRefused(dir: TempDir, words: readonly string[], to: string, why: string, argv0: string[] = []) {
  const ssh = fakeSsh(dir.file("fake-ssh"));
  for (const name of [to, `host:${to}`]) {
    const { exitCode, stderr } = await run(["-f", ...ssh, ...words, name], { argv0 });
    expect({ first: stderr.split("\n").find((line) => line.includes("Refused")) ?? stderr, exitCode }).toEqual({
      first: `blocksync: Refused to write to ${JSON.stringify(name)}: ${why}`,
      exitCode: 3,
    });
  }
}

/** A mount namespace of its own, in which `script` is done before the program runs. */
function privately(script: string): string[] {
  return ["unshare", "-m", "--propagation", "private", "sh", "-ec", `${script}; exec "$@"`, "sh"];
}

describe("the same bytes by another name", () => {
  onFileSystem(
    "a loop device beside a mounted one, over it, a partition of it, and the image are refused",
    async () => {
      using dir = tempDir();
      const image = formatted(dir);
      using one = attachLoop(image);
      using other = attachLoop(image);
      using over = attachLoop(other.path);
      using _mount = mounted(one.path, dir.file("mnt"));
      command("sync");
      const before = fs.readFileSync(image);
      const place = `is mounted on ${JSON.stringify(dir.file("mnt"))} (mounted)`;
      const beside = `${nameOf(one)}, which holds the same bytes, ${place}`;
      await expectRefused(dir, [source(dir)], other.path, beside);
      await expectRefused(dir, [source(dir)], over.path, beside);
      await expectRefused(dir, [source(dir)], image, `${nameOf(one)} on top of it ${place}`);
      expect(fs.readFileSync(image).equals(before)).toBe(true);
    },
  );

  onFileSystem(
    "a partition is refused when the same one of another loop device is mounted, others are not",
    async () => {
      using dir = tempDir();
      const disk = bytes(2, SIZE);
      writeTable(disk, [2048, 4096], [8192, 4096]);
      fs.writeFileSync(dir.file("disk"), disk);
      using one = attachLoop(dir.file("disk"), "--partscan");
      using _parts = addPartitions(one.path);
      command("mkfs.ext4", "-q", `${one.path}p1`);
      command("sync");
      using other = attachLoop(dir.file("disk"), "--partscan");
      using _others = addPartitions(other.path);
      using _mount = mounted(`${one.path}p1`, dir.file("mnt"));
      const why = `${nameOf(one)}p1, which holds the same bytes, is mounted on ${JSON.stringify(dir.file("mnt"))} (mounted)`;
      await expectRefused(dir, [source(dir)], `${other.path}p1`, why);
      await expectRefused(dir, [source(dir)], other.path, why);
      await expectRefused(dir, [source(dir)], `${other.path}p2`, `${nameOf(one)} holds the same bytes (held)`);
      const words = ["--allow", "held", "-f", source(dir)];
      expect(await run([...words, `${other.path}p2`])).toMatchObject({ exitCode: 0 });
      expect(
        fs
          .readFileSync(dir.file("disk"))
          .subarray(8192 * 512, 8192 * 512 + MIB)
          .equals(bytes(1, MIB)),
      ).toBe(true);
    },
  );

  onFileSystem("swap space is refused by way of another loop device and of its image", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("image"), Buffer.alloc(SIZE));
    using one = attachLoop(dir.file("image"));
    using other = attachLoop(dir.file("image"));
    command("mkswap", one.path);
    using _swap = swappedTo(one.path);
    const words = ["--allow", "mounted,held,in-use,locked", source(dir)];
    const beside = `${nameOf(one)}, which holds the same bytes, is used as swap space (swap)`;
    await expectRefused(dir, words, other.path, beside);
    await expectRefused(dir, words, dir.file("image"), `${nameOf(one)} on top of it is used as swap space (swap)`);
  });

  onFileSystem(
    "the source's bytes are refused as the destination by way of another loop device or hard link",
    async () => {
      using dir = tempDir();
      const image = formatted(dir);
      fs.linkSync(image, dir.file("link"));
      using one = attachLoop(image);
      using other = attachLoop(dir.file("link"));
      const allow = ["--allow", "mounted,held,in-use,locked"];
      const bytesOf = (name: string) => `it shares bytes with the source ${JSON.stringify(name)} (overlap)`;
      await expectRefused(dir, [...allow, one.path], other.path, bytesOf(one.path));
      await expectRefused(
        dir,
        [...allow, image],
        other.path,
        `it lies within the source ${JSON.stringify(image)} (overlap)`,
      );
      using _mount = mounted(one.path, dir.file("mnt"));
      await expectRefused(dir, [...allow, other.path], dir.file("mnt/new"), bytesOf(other.path));
      fs.writeFileSync(dir.file("mnt/kept"), bytes(3, MIB));
      await expectRefused(dir, [...allow, dir.file("mnt/kept")], other.path, bytesOf(dir.file("mnt/kept")));
      expect(fs.existsSync(dir.file("mnt/new"))).toBe(false);
    },
  );

  onFileSystem("what is made of another loop device over the image counts as what is made of the image", async () => {
    using dir = tempDir();
    const image = formatted(dir);
    using one = attachLoop(image);
    using other = attachLoop(image);
    using made = attachLoop(formatted(dir, "made"));
    // As the kernel tells of a mapped device, for which this one stands.
    fs.mkdirSync(dir.file("holders/dm-0"), { recursive: true });
    fs.mkdirSync(dir.file("slaves/below"), { recursive: true });
    const number = (loop: Loop) => fs.readFileSync(`/sys/block/${nameOf(loop)}/dev`, "utf8");
    fs.writeFileSync(dir.file("holders/dm-0/dev"), number(made));
    fs.writeFileSync(dir.file("slaves/below/dev"), number(one));
    const argv0 = privately(
      `mount --bind "${dir.file("holders")}" /sys/block/${nameOf(one)}/holders; mount --bind "${dir.file("slaves")}" /sys/block/${nameOf(made)}/slaves`,
    );
    const place = (name: string) => `is mounted on ${JSON.stringify(dir.file(name))} (mounted)`;
    const beside = (loop: Loop) => `${nameOf(loop)}, which holds the same bytes,`;
    const mount = mounted(made.path, dir.file("mnt"));
    await expectRefused(dir, [source(dir)], other.path, `${beside(made)} ${place("mnt")}`, argv0);
    mount[Symbol.dispose]();
    using _other = mounted(other.path, dir.file("other"));
    await expectRefused(dir, [source(dir)], made.path, `${beside(other)} ${place("other")}`, argv0);
  });
});

describe("an image by another name than it was attached or mounted by", () => {
  onFileSystem("by a hard link whose other name is gone, and under a mount over its directory", async () => {
    using dir = tempDir();
    const image = formatted(dir);
    fs.linkSync(image, dir.file("link"));
    using loop = attachLoop(image);
    fs.rmSync(image);
    using _mount = mounted(loop.path, dir.file("mnt"));
    const place = `is mounted on ${JSON.stringify(dir.file("mnt"))} (mounted)`;
    await expectRefused(dir, [source(dir)], dir.file("link"), `${nameOf(loop)} on top of it ${place}`);
    fs.mkdirSync(dir.file("hidden"));
    const inner = formatted(dir, "hidden/inner");
    fs.linkSync(inner, dir.file("outer"));
    using second = attachLoop(inner);
    using _hiding = mounted("none", dir.file("hidden"), "-t", "tmpfs");
    // Another file where the path of the attached one led.
    fs.writeFileSync(inner, bytes(4, SIZE));
    await expectRefused(
      dir,
      [source(dir)],
      dir.file("outer"),
      `the loop device ${nameOf(second)} is attached to it (held)`,
    );
    expect((await run(["-q", "-T", source(dir), inner])).exitCode).toBe(0);
  });

  onFileSystem("that is mounted, though its loop device was detached", async () => {
    using dir = tempDir();
    const image = formatted(dir);
    fs.linkSync(image, dir.file("link"));
    const path = command("losetup", "--find", "--show", image);
    using _mount = mounted(path, dir.file("mnt"));
    // Which the kernel does when nobody uses it any more (losetup(8)).
    command("losetup", "--detach", path);
    const why = `${nameOf({ path })} on top of it is mounted on ${JSON.stringify(dir.file("mnt"))} (mounted)`;
    await expectRefused(dir, [source(dir)], dir.file("link"), why);
  });

  onFuse("an image file that a FUSE program has mounted", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("image"), Buffer.alloc(SIZE));
    command("mkntfs", "-q", "-F", "-f", dir.file("image"));
    fs.linkSync(dir.file("image"), dir.file("link"));
    fs.mkdirSync(dir.file("mnt"));
    command("ntfs-3g", dir.file("image"), dir.file("mnt"));
    try {
      const why = `it is mounted on ${JSON.stringify(dir.file("mnt"))} (mounted)`;
      await expectRefused(dir, [source(dir)], dir.file("image"), why);
      await expectRefused(dir, [source(dir)], dir.file("link"), why);
      const overlap = `it lies within the source ${JSON.stringify(dir.file("image"))} (overlap)`;
      await expectRefused(dir, [dir.file("image")], dir.file("mnt/new"), overlap);
    } finally {
      command("umount", dir.file("mnt"));
    }
  });
});

describe("file systems of more than one number", () => {
  onBtrfs("a btrfs of two devices is on both, subvolumes and files to come too", async () => {
    using dir = tempDir();
    const images = ["a", "b"].map((name) => dir.file(name));
    for (const image of images) {
      fs.writeFileSync(image, "");
      fs.truncateSync(image, 126 * MIB);
    }
    using one = attachLoop(dir.file("a"));
    using other = attachLoop(dir.file("b"));
    command("mkfs.btrfs", "-q", "-f", "-m", "raid1", "-d", "raid0", one.path, other.path);
    command("btrfs", "device", "scan", one.path, other.path);
    using _mount = mounted(one.path, dir.file("mnt"));
    command("btrfs", "subvolume", "create", dir.file("mnt/sub"));
    fs.writeFileSync(dir.file("mnt/sub/image"), bytes(5, MIB));
    using inner = attachLoop(dir.file("mnt/sub/image"));
    const place = `is mounted on ${JSON.stringify(dir.file("mnt"))} (mounted)`;
    await expectRefused(dir, [source(dir)], other.path, `it ${place}`);
    await expectRefused(dir, [source(dir)], dir.file("b"), `${nameOf(other)} on top of it ${place}`);
    const held = `the loop device ${nameOf(inner)} is attached to it (held)`;
    await expectRefused(dir, [source(dir)], dir.file("mnt/sub/image"), held);
    const allow = ["--allow", "mounted,held,in-use,locked"];
    for (const device of [one.path, other.path]) {
      const within = `it lies within the source ${JSON.stringify(device)} (overlap)`;
      for (const to of ["mnt/new", "mnt/sub/new", "mnt/sub/image"])
        await expectRefused(dir, [...allow, device], dir.file(to), within);
      for (const from of [dir.file("mnt/sub/image"), inner.path])
        await expectRefused(dir, [...allow, from], device, `it contains the source ${JSON.stringify(from)} (overlap)`);
    }
    expect(fs.existsSync(dir.file("mnt/new"))).toBe(false);
    expect((await run(["-q", source(dir), dir.file("mnt/new")])).exitCode).toBe(0);
  });

  onFileSystem("a file of an overlay is the file of its layer", async () => {
    using dir = tempDir();
    const image = formatted(dir);
    using loop = attachLoop(image);
    using _mount = mounted(loop.path, dir.file("mnt"));
    for (const name of ["lower", "upper", "work"]) fs.mkdirSync(dir.file(`mnt/${name}`));
    fs.writeFileSync(dir.file("mnt/upper/f"), bytes(6, MIB));
    const layers = ["lower", "upper", "work"].map((name) => `${name}dir=${dir.file(`mnt/${name}`)}`).join(",");
    using _overlay = mounted("overlay", dir.file("over"), "-t", "overlay", "-o", layers);
    using inner = attachLoop(dir.file("mnt/upper/f"));
    const held = `${nameOf(inner)} holds the same bytes (held)`;
    await expectRefused(dir, [source(dir)], dir.file("over/f"), held);
    const allow = ["--allow", "mounted,held,in-use,locked"];
    const within = `it lies within the source ${JSON.stringify(loop.path)} (overlap)`;
    await expectRefused(dir, [...allow, loop.path], dir.file("over/f"), within);
    await expectRefused(dir, [...allow, loop.path], dir.file("over/new"), within);
  });

  onFileSystem(
    "also of a folder of an overlay that is bound elsewhere, and of a layer with a colon in its name",
    async () => {
      using dir = tempDir();
      using loop = attachLoop(formatted(dir));
      using _mount = mounted(loop.path, dir.file("mnt"));
      for (const name of ["a:b\\c", "upper/sub", "work"]) fs.mkdirSync(dir.file(`mnt/${name}`), { recursive: true });
      fs.writeFileSync(dir.file("mnt/upper/sub/f"), bytes(6, MIB));
      fs.writeFileSync(dir.file("mnt/a:b\\c/low"), bytes(7, MIB));
      const layers = `lowerdir=${dir.file("mnt/a\\:b\\\\c")},upperdir=${dir.file("mnt/upper")},workdir=${dir.file("mnt/work")}`;
      using _overlay = mounted("overlay", dir.file("over"), "-t", "overlay", "-o", layers);
      using _bound = mounted(dir.file("over/sub"), dir.file("bound"), "--bind");
      const within = (name: string) => `it lies within the source ${JSON.stringify(name)} (overlap)`;
      await expectRefused(dir, [dir.file("mnt/upper/sub/f")], dir.file("bound/f"), within(dir.file("mnt/upper/sub/f")));
      const low = dir.file("over/low");
      const contains = `it contains the source ${JSON.stringify(low)} (overlap)`;
      await expectRefused(dir, ["--allow", "mounted,in-use", low], loop.path, contains);
      await expectRefused(dir, ["--allow", "mounted,in-use", loop.path], dir.file("bound/new"), within(loop.path));
    },
  );

  test("layersOf() reads an overlay's layers as the kernel shows them", () => {
    for (const [options, expected] of [
      ["rw,lowerdir=/a:/b,upperdir=/c,workdir=/w", ["/c", "/a", "/b"]],
      [String.raw`rw,lowerdir=/a\134:b:/c\054d:/e\134\134f\040g`, ["/a:b", "/c,d", "/e\\f g"]],
      ["rw,lowerdir+=/a,lowerdir+=/b,datadir+=/c,upperdir=/u", ["/u", "/a", "/b", "/c"]],
      ["rw,lowerdir=l/X:/a::/data,upperdir=u", ["/a", "/data"]],
      ["rw", []],
    ] as const)
      expect({ options, layers: layersOf({ options }) }).toEqual({ options, layers: [...expected] });
  });
});

describe("in use where no mount, lock or device tells", () => {
  test("a file that another program has open for writing, but not one that it reads", async () => {
    using dir = tempDir();
    const to = dir.file("image");
    fs.writeFileSync(to, bytes(7, MIB));
    const reader = Bun.spawn(["sleep", "60"], { stdin: Bun.file(to) });
    expect((await run(["-q", source(dir), to])).exitCode).toBe(0);
    const writer = Bun.spawn(["sh", "-c", 'exec sleep 60 <>"$1"', "sh", to]);
    try {
      const isOpen = () => fs.readlinkSync(`/proc/${writer.pid}/fd/0`) === to;
      while (!isOpen()) await setImmediate();
      const who = `sleep (process ${writer.pid})`;
      await expectRefused(dir, [source(dir)], to, `${who} has it open for writing (in-use)`);
      expect((await run(["-q", "-n", source(dir), to])).exitCode).toBe(0);
      expect((await run(["-q", "--allow", "in-use", source(dir), to])).exitCode).toBe(0);
    } finally {
      reader.kill();
      writer.kill();
    }
    await writer.exited;
    expect((await run(["-q", source(dir), to])).exitCode).toBe(0);
  });

  testWith("strace")("no file on NFS or CIFS, whose refusal of a lease says nothing of who has it open", async () => {
    using dir = tempDir();
    const to = dir.file("image");
    fs.writeFileSync(to, bytes(7, MIB));
    // Without a delegation of the server the kernel answers there as it does here for a file that is open.
    const writer = Bun.spawn(["sh", "-c", 'exec sleep 60 <>"$1"', "sh", to]);
    try {
      while (fs.readlinkSync(`/proc/${writer.pid}/fd/0`) !== to) await setImmediate();
      for (const [type, exitCode] of [
        ["6969000000000000", 0],
        ["424d53ff00000000", 0],
        ["424d53fe00000000", 0],
        ["53ef000000000000", 3],
      ] as const) {
        const poke = `inject=statfs:poke_exit=@arg2=${type}`;
        const argv0 = ["strace", "-f", "-o", "/dev/null", "-e", "trace=statfs", "-e", poke];
        expect([type, (await run(["-q", source(dir), to], { argv0 })).exitCode]).toEqual([type, exitCode]);
      }
    } finally {
      writer.kill();
    }
    await writer.exited;
  });

  test("not a file that whoever started the run has open for writing", async () => {
    using dir = tempDir();
    const to = dir.file("image");
    fs.writeFileSync(to, bytes(7, MIB));
    const writing = fs.openSync(to, "r+");
    try {
      expect(await run(["-q", source(dir), to])).toEqual({ exitCode: 0, stdout: "", stderr: "" });
      const shell = await run(["-q", source(dir), to], { argv0: ["sh", "-c", 'exec 3<>"$4"; "$@"; exit $?', "sh"] });
      expect(shell).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    } finally {
      fs.closeSync(writing);
    }
    expect(fs.readFileSync(to).equals(fs.readFileSync(source(dir)))).toBe(true);
  });

  onFileSystem("a device and what has the same bytes, but not what started the run", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("image"), bytes(7, MIB));
    using one = attachLoop(dir.file("image"));
    const own = fs.openSync(one.path, "r+");
    expect((await run(["-q", "-f", "-w", "3", "-l", "0", source(dir), one.path])).exitCode).toBe(0);
    const far = fakeSsh(dir.file("fake-ssh"));
    expect((await run(["-q", "-f", "-w", "3", "-l", "0", ...far, source(dir), `host:${one.path}`])).exitCode).toBe(0);
    fs.closeSync(own);
    const holding = (how: string) =>
      Bun.spawn(["sh", "-c", `exec 3${how}"$1"; echo; read line`, "holder", one.path], {
        stdin: "pipe",
        stdout: "pipe",
      });
    for (const how of ["<", "<>"]) {
      const child = holding(how);
      try {
        await child.stdout.getReader().read();
        if (how === "<") {
          expect((await run(["-q", "-f", source(dir), one.path])).exitCode).toBe(0);
          continue;
        }
        const who = `sh (process ${child.pid}) has`;
        await expectRefused(dir, [source(dir)], one.path, `${who} it open for writing (in-use)`);
        const allow = ["--allow", "held", source(dir)];
        using other = attachLoop(dir.file("image"));
        const beside = `${nameOf(one)}, which holds the same bytes,`;
        await expectRefused(dir, allow, other.path, `${who} ${beside} open for writing (in-use)`);
        expect((await run(["-q", "-f", "--allow", "in-use,held", source(dir), one.path])).exitCode).toBe(0);
      } finally {
        child.stdin.end();
        await child.exited;
      }
    }
  });

  onFileSystem("not a device that is open in the program that serves it, as an nbd device's is", async () => {
    using dir = tempDir();
    fs.writeFileSync(dir.file("image"), bytes(7, MIB));
    using loop = attachLoop(dir.file("image"));
    const script = 'exec 3<>"$1"; echo; read line';
    const child = Bun.spawn(["sh", "-c", script, "server", loop.path], { stdin: "pipe", stdout: "pipe" });
    try {
      await child.stdout.getReader().read();
      // As the kernel tells of an nbd device, for which this one stands.
      const folder = `/sys/block/${nameOf(loop)}`;
      const number = fs.readFileSync(`${folder}/dev`);
      for (const [pid, exitCode] of [
        [child.pid, 0],
        [process.pid, 3],
      ] as const) {
        fs.mkdirSync(dir.file(`${pid}`));
        fs.writeFileSync(dir.file(`${pid}/dev`), number);
        fs.writeFileSync(dir.file(`${pid}/pid`), `${pid}\n`);
        const argv0 = privately(`mount --bind "${dir.file(`${pid}`)}" "$(readlink -f ${folder})"`);
        expect((await run(["-q", "-f", source(dir), loop.path], { argv0 })).exitCode).toBe(exitCode);
      }
    } finally {
      child.stdin.end();
      await child.exited;
    }
  });

  onFuse("an image that a FUSE program has mounted by a name that says nothing", async () => {
    using dir = tempDir();
    const image = formatted(dir);
    fs.mkdirSync(dir.file("mnt"));
    command("sh", "-c", 'cd "$1"; exec fuse2fs -o ro image mnt', "sh", dir.file("."));
    try {
      for (const name of [image, `host:${image}`]) {
        const { exitCode, stderr } = await run(["-f", ...fakeSsh(dir.file("fake-ssh")), source(dir), name]);
        expect(stderr).toMatch(/: fuse2fs \(process \d+\) has it open and serves a file system \(mounted\)\n/);
        expect(exitCode).toBe(3);
      }
    } finally {
      command("umount", dir.file("mnt"));
    }
  });

  onFileSystem("a device that is mounted in another mount namespace, by itself or beside it", async () => {
    using dir = tempDir();
    const image = formatted(dir);
    using one = attachLoop(image);
    fs.mkdirSync(dir.file("mnt"));
    const script = 'mount "$1" "$2"; echo mounted; read line; umount "$2"';
    const child = Bun.spawn(
      ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", one.path, dir.file("mnt")],
      { stdin: "pipe", stdout: "pipe" },
    );
    try {
      await child.stdout.getReader().read();
      expect(fs.readdirSync(dir.file("mnt"))).toEqual([]);
      await expectRefused(dir, [source(dir)], one.path, "the device is mounted or in use (in-use)");
      using other = attachLoop(image);
      const allow = ["--allow", "held", source(dir)];
      const why = "is mounted or in use (in-use)";
      await expectRefused(dir, allow, other.path, `${nameOf(one)}, which holds the same bytes, ${why}`);
      await expectRefused(dir, allow, image, `${nameOf(one)} on top of it ${why}`);
      child.stdin.end();
      await child.exited;
      expect((await run(["-q", "-f", "--allow", "held", source(dir), other.path])).exitCode).toBe(0);
    } finally {
      child.stdin.end();
      await child.exited;
    }
  });

  onFileSystem("an image whose loop device somebody may not ask about", async () => {
    using dir = tempDir();
    fs.chmodSync(dir.file("."), 0o755);
    const [nobody, image] = [65534, formatted(dir)];
    fs.linkSync(image, dir.file("link"));
    fs.chownSync(image, nobody, nobody);
    using _loop = attachLoop(image);
    fs.rmSync(image);
    fs.chmodSync(source(dir), 0o644);
    const argv0 = ["setpriv", `--reuid=${nobody}`, `--regid=${nobody}`, "--clear-groups"];
    const { exitCode, stderr } = await run(["-f", source(dir), dir.file("link")], {
      argv0,
      env: { HOME: "/nonexistent" },
    });
    expect(stderr).toContain("has it open for writing (in-use)\n");
    expect(exitCode).toBe(3);
  });
});

describe("a file system that does not answer", () => {
  test("farNumber() tells which paths lead into one that may not, by the deepest mount", () => {
    const line = (id: number, number: string, point: string, type: string) =>
      `${id} 1 ${number} / ${point} rw - ${type} x rw`;
    const all = parseMounts(
      [
        line(1, "0:5", "/", "9p"),
        line(2, "0:6", "/mnt", "nfs4"),
        line(3, "0:7", "/mnt/local", "tmpfs"),
        line(4, "8:1", "/win", "fuseblk"),
        line(5, "0:8", "/over", "fuse.sshfs"),
        line(6, "8:2", "/over", "ext4"),
      ].join("\n"),
    );
    for (const [path, expected] of [
      ["/image", undefined],
      ["/mnt", "0:6"],
      ["/mnt/image", "0:6"],
      ["/mntx/image", undefined],
      ["/mnt/local/image", undefined],
      ["/win/image", "8:1"],
      ["/over/image", undefined],
      ["host:/mnt", undefined],
    ] as const)
      expect({ path, number: farNumber(path, farMounts(all), all) }).toEqual({ path, number: expected });
  });

  /** A program that serves `image` at `point` until that is unmounted. */
  async function served(image: string, point: string, options: string): Promise<Bun.Subprocess> {
    fs.mkdirSync(point);
    const { dev } = fs.statSync(point);
    const child = Bun.spawn(["fuse2fs", "-f", "-o", options, image, point], { stdout: "ignore", stderr: "ignore" });
    while (fs.statSync(point).dev === dev && child.exitCode === null) await Bun.sleep(10);
    return child;
  }

  onFuse("holds up no run that has nothing to do with it, though it has loop devices and mounted images", async () => {
    using dir = tempDir();
    using beside = attachLoop(formatted(dir, "beside"));
    // Nothing of it is remembered.
    const options = "fakeroot,attr_timeout=0,entry_timeout=0";
    const outer = await served(formatted(dir), dir.file("outer"), options);
    const image = dir.file("outer/image");
    fs.writeFileSync(image, Buffer.alloc(MIB));
    command("mkfs.ext4", "-q", "-F", image);
    const inner = await served(image, dir.file("inner"), "ro");
    const loop = attachLoop(image);
    try {
      const why = `is mounted on ${JSON.stringify(dir.file("inner"))} (mounted)`;
      await expectRefused(dir, [source(dir)], image, `it ${why}`);
      await expectRefused(dir, [source(dir)], loop.path, `${JSON.stringify(image)} underneath it ${why}`);
      outer.kill("SIGSTOP");
      // What waits for a file system hears no other signal.
      const argv0 = ["timeout", "--signal=KILL", "60"];
      for (const to of [dir.file("new"), beside.path])
        expect(await run(["-q", "-f", source(dir), to], { argv0 })).toMatchObject({ exitCode: 0, stderr: "" });
    } finally {
      outer.kill("SIGCONT");
      loop[Symbol.dispose]();
      command("umount", dir.file("inner"));
      await inner.exited;
      command("umount", dir.file("outer"));
      await outer.exited;
    }
  });
});

describe("places", () => {
  const at = (identity: string, start: number, end: number, exact = true): Extent => ({ identity, start, end, exact });

  test("shareBytes() tells neighbours in a disk, files in one file system, and the same bytes apart", () => {
    for (const [one, other, expected] of [
      [at("disk", 0, 10), at("disk", 9, 20), true],
      [at("disk", 0, 10), at("disk", 10, 20), false],
      [at("disk", 0, 10), at("other", 0, 10), false],
      [at("disk", 0, 10, false), at("disk", 5, 6, false), false],
      [at("disk", 0, 10, false), at("disk", 5, 6), true],
      [wholeOf("disk"), at("disk", 5, 6, false), true],
      [at("disk", 5, 5), wholeOf("disk"), false],
    ] as const) {
      expect({ one, other, shares: shareBytes([at("x", 0, 1), one], [other]) }).toEqual({
        one,
        other,
        shares: expected,
      });
      expect(shareBytes([other], [one])).toBe(expected);
    }
  });

  test("parseExtents() reads what extentsText() wrote, at most 96, and nothing else", () => {
    const extents = [at("boot file 1 2", 0, UNBOUNDED, false), at("boot block 8:1", 512, 1024)];
    expect(extentsText(extents)).toBe("0 9007199254740991 ~ boot file 1 2\n512 1024 = boot block 8:1\n");
    expect(parseExtents(extentsText(extents))).toEqual(extents);
    expect(parseExtents("")).toEqual([]);
    expect(parseExtents(extentsText(Array.from({ length: 97 }, () => wholeOf("x"))))?.length).toBe(96);
    for (const text of [
      "1 2 = x",
      "2 1 = x\n",
      "1 2 ? x\n",
      "1 2 = \n",
      "-1 2 = x\n",
      "1 9007199254740992 = x\n",
      "\n",
    ])
      expect({ text, read: parseExtents(text) }).toEqual({ text, read: undefined });
  });
});
