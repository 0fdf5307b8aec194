//! The system calls that the programs make, and the errors that the kernel may answer each with.

/// A call, and the errors of its man page.
pub type Call = (&'static str, &'static str);

// What several of them call.
const ACCEPT4: Call = ("accept4", "ECONNABORTED EINTR EMFILE ENFILE ENOBUFS ENOMEM EPERM EPROTO");
const CLONE3: Call = ("clone3", "EAGAIN EINVAL ENOMEM EPERM");
const CLOSE: Call = ("close", "EBADF EDQUOT EINTR EIO ENOSPC");
const CONNECT: Call = (
    "connect",
    "EACCES EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EAGAIN EALREADY EBADF ECONNREFUSED EFAULT \
     EHOSTUNREACH EISCONN ENETUNREACH ENOTSOCK EPERM EPROTOTYPE ETIMEDOUT",
);
const EPOLL_CREATE1: Call = ("epoll_create1", "EINVAL EMFILE ENFILE ENOMEM");
const EPOLL_CTL: Call = ("epoll_ctl", "EBADF EEXIST EINVAL ELOOP ENOENT ENOMEM ENOSPC EPERM");
const EPOLL_WAIT: Call = ("epoll_wait", "EBADF EFAULT EINTR EINVAL");
const FCNTL: Call = ("fcntl", "EAGAIN EBADF EINVAL EMFILE EPERM");
const GETSOCKNAME: Call = ("getsockname", "EBADF EFAULT EINVAL ENOBUFS ENOTSOCK");
const GETSOCKOPT: Call = ("getsockopt", "EBADF EFAULT EINVAL ENOPROTOOPT ENOTSOCK");
const IOCTL: Call = ("ioctl", "EBADF EFAULT EINVAL ENOTTY");
const POLL: Call = ("poll", "EFAULT EINTR EINVAL ENOMEM");
const PPOLL: Call = ("ppoll", "EFAULT EINTR EINVAL ENOMEM");
const PRLIMIT64: Call = ("prlimit64", "EFAULT EINVAL EPERM ESRCH");
const RECVFROM: Call = (
    "recvfrom",
    "EBADF ECONNREFUSED ECONNRESET EFAULT EHOSTUNREACH EINTR EINVAL ENOMEM ENOTCONN ENOTSOCK \
     ETIMEDOUT",
);
const SENDTO: Call = (
    "sendto",
    "EACCES EALREADY EBADF ECONNRESET EDESTADDRREQ EFAULT EHOSTUNREACH EINTR EINVAL EISCONN \
     EMSGSIZE ENOBUFS ENOMEM ENOTCONN ENOTSOCK EOPNOTSUPP EPIPE ETIMEDOUT",
);
const SETSOCKOPT: Call = ("setsockopt", "EBADF EDOM EFAULT EINVAL ENOMEM ENOPROTOOPT ENOTSOCK");
const SHUTDOWN: Call = ("shutdown", "EBADF EINVAL ENOTCONN ENOTSOCK");
const SOCKET: Call = ("socket", "EACCES EAFNOSUPPORT EINVAL EMFILE ENFILE ENOBUFS ENOMEM EPROTONOSUPPORT");
const SOCKETPAIR: Call = ("socketpair", "EAFNOSUPPORT EFAULT EMFILE ENFILE EOPNOTSUPP EPROTONOSUPPORT");
const WRITE: Call =
    ("write", "EAGAIN EBADF EDESTADDRREQ EDQUOT EFAULT EFBIG EINTR EINVAL EIO ENOSPC EPERM EPIPE");

/// What `listener` calls after it is ready.
pub const LISTENER: &[Call] = &[
    // accept(2) passes on what was wrong with the network of the connection that waited.
    (
        "accept4",
        "EBADF ECONNABORTED EFAULT EHOSTDOWN EHOSTUNREACH EINTR EINVAL EMFILE ENETDOWN ENETUNREACH \
         ENFILE ENOBUFS ENOMEM ENONET ENOPROTOOPT ENOSR ENOTSOCK EOPNOTSUPP EPERM EPROTO \
         EPROTONOSUPPORT ESOCKTNOSUPPORT ETIMEDOUT",
    ),
    CLOSE,
    EPOLL_CTL,
    EPOLL_WAIT,
    GETSOCKNAME,
    GETSOCKOPT,
    ("madvise", "EAGAIN EBADF EINVAL EIO ENOMEM"),
    ("mmap", "EAGAIN EINVAL ENOMEM EPERM"),
    ("mremap", "EAGAIN EFAULT EINVAL ENOMEM"),
    ("munmap", "EINVAL ENOMEM"),
    // poll(2) is called where somebody has made standard output non-blocking: after EAGAIN from write.
    POLL,
    RECVFROM,
    SENDTO,
    SETSOCKOPT,
    SHUTDOWN,
    ("sigaltstack", "EFAULT EINVAL ENOMEM EPERM"),
    WRITE,
];

/// What the thread that accepts calls under `--model thread`, and all do at the end.
pub const THREAD: &[Call] = &[
    ACCEPT4,
    ("clone3", "EAGAIN ENOMEM"),
    ("getsockname", "EBADF ENOBUFS"),
    ("getsockopt", "EBADF ENOPROTOOPT"),
    // malloc asks how many processors there are, when a second thread allocates.
    ("openat", "EACCES EMFILE ENFILE ENOENT ENOMEM"),
    ("read", "EIO EINTR"),
    PPOLL,
    ("setsockopt", "EBADF ENOMEM ENOPROTOOPT"),
    ("shutdown", "EBADF ENOTCONN"),
    ("tgkill", "EAGAIN EPERM ESRCH"),
];

/// What the parent calls under `--model fork`, its children at their beginning, and all at the end.
pub const FORK: &[Call] = &[
    ACCEPT4,
    ("clone", "EAGAIN ENOMEM"),
    ("close", "EBADF EINTR EIO"),
    ("getsockname", "EBADF ENOBUFS"),
    ("getsockopt", "EBADF ENOPROTOOPT"),
    ("kill", "EPERM ESRCH"),
    ("mmap", "EAGAIN ENOMEM"),
    PPOLL,
    ("setsockopt", "EBADF ENOMEM ENOPROTOOPT"),
    ("shutdown", "EBADF ENOTCONN"),
    ("wait4", "ECHILD EINTR"),
];

/// What those call, under both, who serve a client.
pub const SERVING: &[Call] = &[
    ("recvfrom", "ECONNRESET EINTR ENOMEM ENOTCONN ETIMEDOUT"),
    ("sendto", "ECONNRESET EINTR ENOBUFS ENOMEM EPIPE"),
    ("write", "EAGAIN EIO ENOSPC EPIPE"),
];

/// What `connector` calls from its first own call on, besides calls of the dynamic loader.
pub const CONNECTOR: &[Call] = &[
    ("bind", "EACCES EADDRINUSE EADDRNOTAVAIL EBADF EFAULT EINVAL ENOMEM ENOTSOCK"),
    CLONE3,
    CONNECT,
    EPOLL_CREATE1,
    EPOLL_CTL,
    EPOLL_WAIT,
    FCNTL,
    ("getpeername", "EBADF EFAULT EINVAL ENOBUFS ENOTSOCK"),
    GETSOCKNAME,
    GETSOCKOPT,
    IOCTL,
    PRLIMIT64,
    RECVFROM,
    SENDTO,
    SETSOCKOPT,
    SOCKET,
    SOCKETPAIR,
    WRITE,
];

/// What `talk` calls until it is connected, besides calls of the dynamic loader.
pub const CALLING: &[Call] = &[
    CLONE3,
    CONNECT,
    EPOLL_CREATE1,
    EPOLL_CTL,
    ("eventfd2", "EINVAL EMFILE ENFILE ENODEV ENOMEM"),
    FCNTL,
    GETSOCKNAME,
    GETSOCKOPT,
    IOCTL,
    PRLIMIT64,
    SETSOCKOPT,
    SOCKET,
    SOCKETPAIR,
];

/// What a `talk` calls that has been called.
pub const TALKING: &[Call] = &[
    ACCEPT4,
    ("clone3", "EAGAIN ENOMEM"),
    CLOSE,
    EPOLL_CTL,
    EPOLL_WAIT,
    ("getsockopt", "EBADF ENOPROTOOPT"),
    POLL,
    ("read", "EAGAIN EBADF EFAULT EINTR EINVAL EIO EISDIR"),
    RECVFROM,
    SENDTO,
    SHUTDOWN,
    WRITE,
];

/// What `talk` calls on a terminal that it does not call elsewhere, or that the terminal may answer in another way.
pub const TERMINAL: &[Call] = &[
    ("epoll_wait", "EBADF EINTR"),
    ("ioctl", "EBADF EFAULT EINTR EINVAL EIO ENOTTY"),
    ("write", "EAGAIN EINTR EIO"),
];

/// What fails every time on a terminal, though no kernel fails so: nothing may hang, and the terminal is as before.
pub const TERMINAL_FOR_GOOD: &[Call] = &[("epoll_wait", "EBADF EINTR"), ("write", "EBADF EIO ENOSPC")];

/// What cannot be injected, because it would be no fault that a kernel can produce, and why.
pub const LEFT_OUT: &[(&str, &str)] = &[
    (
        "EAGAIN from accept4, recvfrom and sendto",
        "with edge-triggered epoll it means that nothing is left and an edge will come; a false one loses the edge, and no kernel tells it",
    ),
    (
        "brk",
        "the system call answers with the break as it was, not with an errno: the injected value would be taken for an address",
    ),
    (
        "fcntl before each close",
        "made with debug assertions alone: the standard library aborts where a descriptor that it owns is not open",
    ),
    (
        "close, mmap, mremap, munmap of connector",
        "the dynamic loader makes them first; what follows is the code that listener runs",
    ),
    (
        "futex",
        "FUTEX_WAIT comes back early by design (EAGAIN, EINTR); any other error means an invalid address, and a FUTEX_WAKE left out is a false return value: the sleeper sleeps on",
    ),
    (
        "mmap and brk at once",
        "out of memory for good: the allocator of the standard library aborts by design; one of them alone is survived, since malloc turns to the other",
    ),
    (
        "EAGAIN and EINTR from every write",
        "the thread that writes blocks all signals, and after EAGAIN poll(2) waits for room: no kernel tells so for ever",
    ),
    ("rt_sigreturn, exit, exit_group", "they do not return"),
    (
        "getpid, getppid, gettid, rseq, rt_sigaction, rt_sigprocmask, sched_getaffinity, set_robust_list",
        "they do not fail where their arguments are valid, and the C library or the program gives them valid ones",
    ),
    (
        "prctl",
        "naming a thread may fail unseen; where PR_SET_PDEATHSIG failed in every child, as a fault would have it, each ends and nobody is served",
    ),
    (
        "mmap and mprotect by a thread",
        "when it starts, the standard library maps a stack for signals and its guard page, and aborts by design where it cannot",
    ),
    ("close by a thread", "it makes one, which would fail in all of them"),
    ("munmap of a thread's stack", "the C library aborts by design where it fails"),
    ("madvise, sigaltstack of threads", "as under the event loop, where they are made to fail"),
];
