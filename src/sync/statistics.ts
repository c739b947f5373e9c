/** What a run has done so far. Written by the algorithm, read by whoever reports. */
export class Statistics {
  readonly sizeBytes: number;
  readonly blockSize: number;
  readonly blocksTotal: number;
  blocksMatching = 0;
  blocksDiffering = 0;
  /** Blocks among the others that are all zero in the source and needed no data. */
  blocksZero = 0;
  leavesWritten = 0;
  bytesWritten = 0;
  /** Of source and destination together; known at the end. */
  bytesRead = 0;
  /** Blocks whose source was seen to change between comparing and copying. */
  blocksChanged = 0;

  constructor(layout: { readonly sizeBytes: number; readonly blockSize: number; readonly blockCount: number }) {
    this.sizeBytes = layout.sizeBytes;
    this.blockSize = layout.blockSize;
    this.blocksTotal = layout.blockCount;
  }

  get blocksDone(): number {
    return this.blocksMatching + this.blocksDiffering;
  }
}
