/** Numbers from kernel headers, grouped by header; equal on x86-64 and arm64 unless said. */

// fcntl.h
export const O_RDWR = 2;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;

// sys/eventfd.h
export const EFD_NONBLOCK = O_NONBLOCK;
export const EFD_CLOEXEC = O_CLOEXEC;

// poll.h
export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLERR = 8;
export const POLLHUP = 16;
export const POLLNVAL = 32;

// linux/if_tun.h
export const TUNSETIFF = 0x400454ca;
export const TUNSETOWNER = 0x400454cc;
export const TUNSETGROUP = 0x400454ce;
export const TUNSETOFFLOAD = 0x400454d0;
export const TUNSETVNETHDRSZ = 0x400454d8;
export const TUNSETVNETLE = 0x400454dc;
export const TUNSETVNETBE = 0x400454de;
export const TUNSETSTEERINGEBPF = 0x800454e0;
export const TUNSETFILTEREBPF = 0x800454e1;
export const TUNSETCARRIER = 0x400454e2;
export const IFF_TUN = 0x0001;
export const IFF_MULTI_QUEUE = 0x0100;
export const IFF_NO_PI = 0x1000;
export const IFF_VNET_HDR = 0x4000;
export const TUN_F_CSUM = 0x01;
export const TUN_F_TSO4 = 0x02;
export const TUN_F_TSO6 = 0x04;
export const TUN_F_TSO_ECN = 0x08;
export const TUN_F_USO4 = 0x20;
export const TUN_F_USO6 = 0x40;

// sys/socket.h, asm-generic/socket.h
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_DGRAM = 2;
export const SOCK_NONBLOCK = O_NONBLOCK;
export const SOCK_CLOEXEC = O_CLOEXEC;
export const SOL_SOCKET = 1;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_REUSEPORT = 15;
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;
export const SO_MEMINFO = 55;
export const SO_ATTACH_BPF = 50;
// linux/bpf.h
export const BPF_MAP_CREATE = 0;
export const BPF_MAP_LOOKUP_ELEM = 1;
export const BPF_PROG_LOAD = 5;
export const BPF_MAP_TYPE_ARRAY = 2;
export const BPF_PROG_TYPE_SOCKET_FILTER = 1;
/** linux/sock_diag.h: index of the drop count in what SO_MEMINFO returns. */
export const SK_MEMINFO_DROPS = 8;
export const SK_MEMINFO_VARS = 9;
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;

// netinet/in.h, linux/in.h
export const IPPROTO_IP = 0;
export const IPPROTO_TCP = 6;
export const IPPROTO_UDP = 17;
export const IPPROTO_IPV6 = 41;
export const IP_TOS = 1;
export const IP_MTU_DISCOVER = 10;
export const IP_RECVTOS = 13;
export const IP_MTU = 14;
export const IP_PMTUDISC_DONT = 0;
export const IP_PMTUDISC_DO = 2;
export const IPV6_MTU_DISCOVER = 23;
export const IPV6_MTU = 24;

// linux/udp.h
export const UDP_SEGMENT = 103;
export const UDP_GRO = 104;

// time.h
export const CLOCK_MONOTONIC = 1;

// linux/sched.h
export const SCHED_BATCH = 3;
