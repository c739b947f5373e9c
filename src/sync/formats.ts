/** What a file that holds an image in another form is called, and what makes a plain image of it. Pure. */

export interface Format {
  /** "compressed (gzip)": goes on after "X is ". */
  readonly words: string;
  /** "unpack it first (gunzip)" */
  readonly remedy: string;
}

function compressed(type: string, command: string): readonly [string, Format] {
  return [type, { words: `compressed (${type})`, remedy: `unpack it first (${command})` }];
}

function archive(type: string, command: string): readonly [string, Format] {
  return [type, { words: `an archive (${type})`, remedy: `unpack it first (${command})` }];
}

function virtual(type: string): readonly [string, Format] {
  const remedy = "convert it first (qemu-img convert -O raw)";
  return [type, { words: `a virtual machine image (${type})`, remedy }];
}

/** By the types of local/guard/formats.ts. */
export const FORMATS: ReadonlyMap<string, Format> = new Map([
  compressed("gzip", "gunzip"),
  compressed("xz", "unxz"),
  compressed("zstd", "unzstd"),
  compressed("bzip2", "bunzip2"),
  compressed("zip of one file", "unzip"),
  compressed("lz4", "unlz4"),
  compressed("lzip", "lzip -d"),
  compressed("lzop", "lzop -d"),
  archive("zip", "unzip"),
  archive("7z", "7z x"),
  archive("rar", "unrar x"),
  archive("tar", "tar -xf"),
  ...["qcow2", "qed", "parallels", "vmdk", "vhdx", "vhd", "vdi"].map(virtual),
  ["dmg", { words: "a macOS disk image (dmg)", remedy: "convert it first (dmg2img)" }],
  ["android-sparse", { words: "an Android sparse image", remedy: "convert it first (simg2img)" }],
  ["partclone", { words: "saved by partclone", remedy: "restore it (partclone.restore)" }],
  ["ntfsclone", { words: "saved by ntfsclone", remedy: "restore it (ntfsclone --restore-image)" }],
  ["ewf", { words: "a forensic image (ewf)", remedy: "convert it first (ewfexport)" }],
]);
