/**
 * Which train a packet's flow has open: a small hash of the five-tuple over the trains of one
 * batch. Entries carry the batch's number, so that a new batch forgets the old without clearing.
 */

const PLACES = 256;

export interface FlowTable {
  /** The train noted for a hash in this batch, or -1. */
  find(hash: number): number;
  /** Notes the train that packets of this hash meet next. */
  note(hash: number, train: number): void;
  /** Forgets everything. */
  clear(): void;
}

/** Two flows that share a place push each other out, which costs a join and never order. */
export function createFlowTable(): FlowTable {
  const trains = new Int16Array(PLACES);
  const batches = new Int32Array(PLACES);
  let batch = 1;
  return {
    find(hash) {
      const place = hash & (PLACES - 1);
      return batches[place] === batch ? trains[place] : -1;
    },
    note(hash, train) {
      const place = hash & (PLACES - 1);
      batches[place] = batch;
      trains[place] = train;
    },
    clear() {
      batch = (batch + 1) & 0x7fff_ffff;
    },
  };
}

/** Spreads a five-tuple given as three words. */
export function hashFlow(source: number, destination: number, ports: number): number {
  let hash = Math.imul(source ^ Math.imul(destination, 0x9e3779b1) ^ ports, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 15), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
