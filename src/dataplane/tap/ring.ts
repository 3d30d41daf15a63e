/**
 * The shared memory of a tap: copies of packets on their way from one pump to main, in a ring of
 * records with one writer and one reader. This file alone knows its layout.
 */

/** Words of the head. The pump writes WRITTEN and LOST, main all others. */
export const WRITTEN = 0;
export const READ = 1;
/** Records for which there was no room; wraps at 2^32. */
export const LOST = 2;
/** What is wanted: 0 while nobody listens, else bits of these two. */
export const MODE = 3;
export const MODE_PACKETS = 1;
export const MODE_DROPS = 2;
/** Bytes of a packet that are kept at most. */
export const SNAP_LENGTH = 4;
/** One of so many packets is kept, and of drops one of DROPS_EVERY. */
export const EVERY = 5;
/** What a packet must have: an address (source or destination) in this network, ... */
export const NETWORK = 6;
export const NETWORK_MASK = 7;
/** ... this protocol, or 0 for any, ... */
export const PROTOCOL = 8;
/** ... this port (source or destination), or 0 for any, ... */
export const PORT = 9;
export const DROPS_EVERY = 10;
/** ... and this peer: a socket address whose port does not matter, or zeros for any. */
export const PEER = 11;
const HEAD_WORDS = 32;

/** Where records begin, and how many bytes of them: 40 ms of small packets at 1 Mpps. */
export const RECORDS = HEAD_WORDS * 4;
export const RECORD_BYTES = 4 * 1024 * 1024;
export const RING_BYTES = RECORDS + RECORD_BYTES;

/** Words of a record. Its length counts all of it, in multiples of eight bytes. */
export const RECORD_LENGTH = 0;
/** Bytes kept; FILLER marks what is left at the end of the ring before it starts over. */
export const RECORD_KEPT = 1;
export const FILLER = -1;
export const RECORD_ORIGINAL = 2;
/** Slot of the drop counter, or NOT_DROPPED. */
export const RECORD_REASON = 3;
export const NOT_DROPPED = -1;
/** Payload bytes of each segment of a superpacket, or 0. */
export const RECORD_SEGMENT = 4;
/** A double in the seventh and eighth word: Unix time in milliseconds. */
export const RECORD_TIME_BYTES = 24;
/** The peer's socket address; zeros where it is not known. */
export const RECORD_PEER = 8;
export const RECORD_HEAD_BYTES = 64;
