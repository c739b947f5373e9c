/** Threads that do jobs of one kind, in the order they come, started as they are needed. All users in a process share them. */

/** Memory that both threads see, by a number: to hand it over costs 35 µs, a job 7, so that is done once for each thread. */
export type SharedMemory = number;

/** A thread keeps so many alive: those of a pool, and what comes from elsewhere at the moment. */
const MAX_MEMORIES = 40;

interface Sent<Job> {
  readonly id: number;
  readonly job: Job;
  /** The job's memory, where the thread does not have it yet. */
  readonly shared?: { readonly number: SharedMemory; readonly memory: SharedArrayBuffer } | undefined;
  /** Memory that no further job will name until it is handed over again. */
  readonly forgotten?: SharedMemory | undefined;
}

/** Numbers of shared memory, for as long as that exists. */
const numbers = new WeakMap<SharedArrayBuffer, SharedMemory>();
let nextNumber = 1;

/** How a job names memory. */
export function numberOf(memory: SharedArrayBuffer): SharedMemory {
  const number = numbers.get(memory) ?? nextNumber++;
  numbers.set(memory, number);
  return number;
}

function handOver(
  memories: Set<SharedMemory>,
  memory: SharedArrayBuffer | undefined,
): Pick<Sent<never>, "shared" | "forgotten"> {
  if (memory === undefined) return {};
  const number = numberOf(memory);
  const shared = memories.delete(number) ? undefined : { number, memory };
  memories.add(number);
  const [oldest] = memories;
  const forgotten = memories.size > MAX_MEMORIES ? oldest : undefined;
  if (forgotten !== undefined) memories.delete(forgotten);
  return { shared, forgotten };
}

type Answer<Result> =
  | { readonly id: number; readonly result: Result }
  | { readonly id: number; readonly problem: string };

interface Thread<Result> {
  readonly worker: Worker;
  readonly pending: Map<number, PromiseWithResolvers<Result>>;
  /** Memory that it has, the one used last at the end. */
  readonly memories: Set<SharedMemory>;
  /** When it began what it does now, as performance.now() tells it; infinite until it runs. */
  begunAt: number;
}

export interface ThreadsOptions {
  /** Starts one, whose program calls answerJobs(). */
  readonly create: () => Worker;
  readonly most: number;
  /** So many are started as soon as all there are have something to do; by default one. */
  readonly usual?: number;
  /** The first so many jobs are not worth a second thread, unless the first is slow; by default none. */
  readonly few?: number;
  /** What a thread does longer than this the next job does not wait for, as long as there can be another one. */
  readonly slowMs: number;
}

export class Threads<Job, Result> {
  readonly #options: ThreadsOptions;
  readonly #threads: Thread<Result>[] = [];
  #nextId = 1;
  /** The system allows no more: a limit of processes, which threads count as (ulimit -u, TasksMax= of systemd). */
  #refused = false;

  constructor(options: ThreadsOptions) {
    this.#options = options;
  }

  /** Starts the first thread, so that the first job finds it running. */
  begin(): void {
    if (this.#threads.length === 0) this.#start();
  }

  /** Has the job done, which may name `memory`; undefined where there is no thread. Rejects with what went wrong. */
  do(job: Job, memory?: SharedArrayBuffer): Promise<Result> | undefined {
    const thread = this.#leastBusy();
    if (thread === undefined) return undefined;
    const waiting = Promise.withResolvers<Result>();
    if (thread.pending.size === 0 && thread.begunAt < Number.POSITIVE_INFINITY) thread.begunAt = performance.now();
    const sent: Sent<Job> = { id: this.#nextId++, job, ...handOver(thread.memories, memory) };
    thread.pending.set(sent.id, waiting);
    thread.worker.postMessage(sent);
    return waiting.promise;
  }

  #leastBusy(): Thread<Result> | undefined {
    const now = performance.now();
    const { most, slowMs, usual = 1, few = 0 } = this.#options;
    const quick = this.#threads.filter(({ pending, begunAt }) => pending.size === 0 || now - begunAt < slowMs);
    const areBusy = this.#threads.every(({ pending }) => pending.size > 0);
    const isWorth = areBusy && (this.#threads.length === 0 || this.#nextId > few);
    const wanted = quick.length === 0 ? most : isWorth ? Math.min(usual, most) : 0;
    const started = this.#threads.length < wanted ? this.#start() : undefined;
    const [first, ...others] = started !== undefined ? [started] : quick.length === 0 ? this.#threads : quick;
    if (first === undefined) return undefined;
    return others.reduce((least, one) => (one.pending.size < least.pending.size ? one : least), first);
  }

  #start(): Thread<Result> | undefined {
    if (this.#refused) return undefined;
    let worker: Worker;
    try {
      worker = this.#options.create();
    } catch {
      this.#refused = true;
      return undefined;
    }
    const thread: Thread<Result> = {
      worker,
      pending: new Map(),
      memories: new Set(),
      begunAt: Number.POSITIVE_INFINITY,
    };
    const end = (problem: string) => {
      if (this.#threads.includes(thread)) this.#threads.splice(this.#threads.indexOf(thread), 1);
      for (const waiting of thread.pending.values()) waiting.reject(new Error(problem));
      thread.pending.clear();
    };
    // To start takes longer than a job; that is not the disk's slowness.
    worker.addEventListener("open", () => {
      thread.begunAt = performance.now();
    });
    worker.onmessage = ({ data: answer }: MessageEvent<Answer<Result>>) => {
      const waiting = thread.pending.get(answer.id);
      thread.pending.delete(answer.id);
      thread.begunAt = performance.now();
      if ("result" in answer) waiting?.resolve(answer.result);
      else waiting?.reject(new Error(answer.problem));
    };
    worker.onerror = (event) => end(event.message);
    worker.addEventListener("close", () => end("the thread ended"));
    // Threads keep the process alive until it exits by itself: with unref() the event loop spins, at a third of the speed.
    this.#threads.push(thread);
    return thread;
  }
}

/** What the program of a thread does, `self` being its global object. */
export function answerJobs<Job, Result>(
  self: Worker,
  work: (job: Job, memoryOf: (number: SharedMemory) => SharedArrayBuffer) => Result | Promise<Result>,
): void {
  const memories = new Map<SharedMemory, SharedArrayBuffer>();
  const memoryOf = (number: SharedMemory): SharedArrayBuffer => {
    const memory = memories.get(number);
    if (memory === undefined) throw new RangeError(`Memory ${number} was not handed over`);
    return memory;
  };
  const answer = async ({ id, job, shared, forgotten }: Sent<Job>): Promise<Answer<Result>> => {
    if (shared !== undefined) memories.set(shared.number, shared.memory);
    if (forgotten !== undefined) memories.delete(forgotten);
    try {
      return { id, result: await work(job, memoryOf) };
    } catch (error) {
      return { id, problem: error instanceof Error ? error.message : String(error) };
    }
  };
  self.onmessage = async (event: MessageEvent<Sent<Job>>) => {
    self.postMessage(await answer(event.data));
  };
}
