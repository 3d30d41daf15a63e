/**
 * The calls weft makes, one line each, named as in section 2 of the manual; what each is for and
 * what its errors mean stands in native-notes/calls.md. This table does not know who binds it.
 *
 * Pointers are typed-array views made at start: a number above 2^31 would be a fresh heap object
 * for every call, a view is passed as it is. `ssize_t` results are declared `int`, for no call here
 * moves 2 GiB and a 64-bit result would arrive as a BigInt.
 */
export const PROTOTYPES = {
  open: 'int open(const char *path, int flags)',
  close: 'int close(int fd)',
  ioctl: 'int ioctl(int fd, unsigned long request, void *argument)',
  ioctlValue: 'int ioctl(int fd, unsigned long request, unsigned long value)',
  eventfd: 'int eventfd(unsigned int initial, int flags)',
  poll: 'int poll(void *fds, unsigned long count, int timeout)',
  readv: 'int readv(int fd, void *iovec, int count)',
  writev: 'int writev(int fd, void *iovec, int count)',
  socket: 'int socket(int domain, int type, int protocol)',
  bind: 'int bind(int fd, void *address, unsigned int length)',
  connect: 'int connect(int fd, void *address, unsigned int length)',
  setsockopt: 'int setsockopt(int fd, int level, int name, void *value, unsigned int length)',
  getsockopt: 'int getsockopt(int fd, int level, int name, void *value, void *length)',
  send: 'int send(int fd, void *bytes, unsigned long length, int flags)',
  sendmmsg: 'int sendmmsg(int fd, void *messages, unsigned int count, int flags)',
  recvmmsg: 'int recvmmsg(int fd, void *messages, unsigned int count, int flags, void *timeout)',
  bpf: 'int syscall(long number, int command, void *attributes, unsigned int size)',
  gettid: 'int gettid()',
  sched_setscheduler: 'int sched_setscheduler(int pid, int policy, void *parameter)',
  clock_gettime: 'int clock_gettime(int clock, void *timespec)',
} as const;

export type CallName = keyof typeof PROTOTYPES;

/** Memory handed to the kernel; null where the manual allows NULL. */
export type Pointer = Uint8Array | null;

export interface Libc {
  open(path: string, flags: number): number;
  close(fd: number): number;
  ioctl(fd: number, request: number, argument: Pointer): number;
  /** ioctl(2) of the kind whose third argument is a number, not a pointer. */
  ioctlValue(fd: number, request: number, value: number): number;
  eventfd(initial: number, flags: number): number;
  poll(fds: Pointer, count: number, timeout: number): number;
  readv(fd: number, iovec: Pointer, count: number): number;
  writev(fd: number, iovec: Pointer, count: number): number;
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Pointer, length: number): number;
  connect(fd: number, address: Pointer, length: number): number;
  setsockopt(fd: number, level: number, name: number, value: Pointer, length: number): number;
  getsockopt(fd: number, level: number, name: number, value: Pointer, length: Pointer): number;
  send(fd: number, bytes: Pointer, length: number, flags: number): number;
  sendmmsg(fd: number, messages: Pointer, count: number, flags: number): number;
  recvmmsg(fd: number, messages: Pointer, count: number, flags: number, timeout: Pointer): number;
  /** bpf(2) by its number: the C library has no name for it. */
  bpf(number: number, command: number, attributes: Pointer, size: number): number;
  gettid(): number;
  sched_setscheduler(thread: number, policy: number, parameter: Pointer): number;
  clock_gettime(clock: number, timespec: Pointer): number;
}
