//! What code tries that has broken out.

#![expect(
    unsafe_code,
    reason = "system calls that no well-behaved program makes"
)]

use std::ffi::CString;
use std::io;
use std::net::{TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::ptr;
use std::sync::OnceLock;
use std::{fs, thread};

use nix::errno::Errno;
use nix::libc;

/// One thing to try.
pub(crate) struct Escape {
    pub(crate) word: &'static str,
    /// The system call for which a forked child is ended; `None` where it is refused.
    pub(crate) call: Option<&'static str>,
    /// What a program hears that serves in threads.
    pub(crate) program: &'static str,
    /// What a compiler hears; nothing where it may.
    pub(crate) compiler: &'static str,
}

const fn tries(
    word: &'static str,
    call: &'static str,
    program: &'static str,
    compiler: &'static str,
) -> Escape {
    Escape {
        word,
        call: Some(call),
        program,
        compiler,
    }
}

pub(crate) const ESCAPES: [Escape; 32] = [
    tries("read /etc/passwd", "openat", "EACCES", "EPERM"),
    tries("create", "openat", "EACCES", "EPERM"),
    tries("remove", "unlink", "EACCES", "EPERM"),
    tries("link", "symlink", "EPERM", "EPERM"),
    tries("chmod", "chmod", "EPERM", "EPERM"),
    tries("chown", "chown", "EPERM", "EPERM"),
    tries("mount", "mount", "EPERM", "EPERM"),
    tries("udp", "socket", "EPERM", "EPERM"),
    tries("tcp", "socket", "EPERM", "EPERM"),
    tries("raw", "socket", "EPERM", "EPERM"),
    tries("netlink", "socket", "EPERM", "EPERM"),
    tries("exec", "execve", "EACCES", "EPERM"),
    tries("ptrace", "ptrace", "EPERM", "EPERM"),
    tries("read-memory", "process_vm_readv", "EPERM", "EPERM"),
    tries("unshare", "unshare", "EPERM", "EPERM"),
    tries("thread", "clone3", "started", ""),
    tries("namespace", "clone", "EPERM", "EPERM"),
    tries("run-memory", "mmap", "EPERM", "EPERM"),
    tries("become-root", "setuid", "EPERM", "EPERM"),
    tries("io-uring", "io_uring_setup", "EPERM", "EPERM"),
    tries("bpf", "bpf", "EPERM", "EPERM"),
    tries("keyring", "keyctl", "EPERM", "EPERM"),
    tries("anonymous-file", "memfd_create", "started", "EPERM"),
    tries("kill", "kill", "EPERM", "EPERM"),
    tries("kill-a-thread", "tgkill", "EPERM", "EPERM"),
    tries("process", "clone", "started", "EPERM"),
    tries("unix", "socket", "EPERM", "EPERM"),
    tries("set-user-id-bit", "fchmodat2", "EPERM", "EPERM"),
    tries("limit-of-another", "prlimit64", "EPERM", "EPERM"),
    tries("type-ahead", "ioctl", "EPERM", "EPERM"),
    tries("run-protected-memory", "pkey_mprotect", "EPERM", "EPERM"),
    Escape {
        word: "abstract-socket",
        call: None,
        program: "EPERM",
        compiler: "EPERM",
    },
];

/// What was there before anything was given up: a socket, and another with an abstract name.
static SOCKETS: OnceLock<(UnixDatagram, SocketAddr, UnixDatagram)> = OnceLock::new();

/// Opens what an escape finds open.
pub(crate) fn prepare() {
    let name = format!("sandsock-escape-{}", std::process::id());
    let name = SocketAddr::from_abstract_name(name).expect("a name");
    let named = UnixDatagram::bind_addr(&name).expect("a socket");
    let unnamed = UnixDatagram::unbound().expect("a socket");
    SOCKETS.get_or_init(|| (unnamed, name, named));
}

/// Tries it: the name of the error, or what was achieved.
pub(crate) fn escape(word: &str) -> String {
    let result = match word.split_once(' ') {
        Some(("read", path)) => return outcome(fs::read(path).map(drop), "read"),
        _ => attempt(word),
    };
    match word {
        "greet" => "hello".to_owned(),
        _ => outcome(result, "started"),
    }
}

fn outcome(result: io::Result<()>, achieved: &str) -> String {
    match result {
        Ok(()) => achieved.to_owned(),
        Err(error) => match error.raw_os_error() {
            Some(number) => format!("{:?}", Errno::from_raw(number)),
            None => error.to_string(),
        },
    }
}

fn path(text: &str) -> CString {
    CString::new(text).expect("no NUL")
}

fn attempt(word: &str) -> io::Result<()> {
    let (tmp, root) = (path("/tmp/x"), path("/"));
    let result = match word {
        "greet" => return Ok(()),
        "create" => {
            let file = format!("/tmp/escaped-{}", std::process::id());
            return fs::write(&file, "").and_then(|()| fs::remove_file(&file));
        }
        "remove" => return fs::remove_file("/etc/hostname").map(drop),
        "link" => return std::os::unix::fs::symlink("/etc/shadow", "/tmp/escaped"),
        "udp" => return UdpSocket::bind("127.0.0.1:0").map(drop),
        "unix" => return UnixDatagram::unbound().map(drop),
        "abstract-socket" => {
            let (socket, name, _) = SOCKETS.get().expect("it was prepared");
            return socket.send_to_addr(b"x", name).map(drop);
        }
        "tcp" => return TcpStream::connect("127.0.0.1:9").map(drop),
        "thread" => return thread::Builder::new().spawn(|| ()).map(drop),
        // SAFETY: paths that are there for the call, numbers, and null pointers where there may be some.
        "chmod" => unsafe { libc::chmod(tmp.as_ptr(), 0o777).into() },
        // SAFETY: as above.
        "chown" => unsafe { libc::chown(tmp.as_ptr(), 0, 0).into() },
        // SAFETY: as above.
        "mount" => unsafe {
            libc::mount(
                root.as_ptr(),
                tmp.as_ptr(),
                ptr::null(),
                libc::MS_BIND,
                ptr::null(),
            )
            .into()
        },
        // SAFETY: as above.
        "raw" => unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0).into() },
        // SAFETY: as above.
        "netlink" => unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW, 0).into() },
        "exec" => {
            let shell = path("/bin/sh");
            let arguments = [shell.as_ptr(), ptr::null()];
            // SAFETY: a path and a list that ends with a null pointer.
            unsafe { libc::execv(shell.as_ptr(), arguments.as_ptr()).into() }
        }
        // SAFETY: it attaches to a process, or not.
        "ptrace" => unsafe {
            let parent = libc::getppid();
            libc::ptrace(libc::PTRACE_SEIZE, parent, ptr::null_mut::<u8>(), 0)
        },
        // SAFETY: it reads nothing, from nowhere.
        "read-memory" => unsafe {
            let parent = libc::getppid();
            i64::try_from(libc::process_vm_readv(
                parent,
                ptr::null(),
                0,
                ptr::null(),
                0,
                0,
            ))
            .unwrap_or(-1)
        },
        // SAFETY: numbers.
        "unshare" => unsafe { libc::unshare(libc::CLONE_NEWUSER).into() },
        // SAFETY: where it succeeds, against what is tested, the new process ends at once.
        "namespace" => unsafe {
            let flags = libc::CLONE_NEWUSER | libc::SIGCHLD;
            match libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) {
                0 => libc::_exit(0),
                process => process,
            }
        },
        // SAFETY: a new mapping, of which nothing is used.
        "run-memory" => unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let start = libc::mmap(ptr::null_mut(), 4096, access, flags, -1, 0);
            if start == libc::MAP_FAILED { -1 } else { 0 }
        },
        // SAFETY: a number.
        "become-root" => unsafe { libc::setuid(0).into() },
        // SAFETY: without a structure it fails in any case.
        "io-uring" => unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, 0) },
        // SAFETY: as above.
        "bpf" => unsafe { libc::syscall(libc::SYS_bpf, 0, 0, 0) },
        // SAFETY: numbers.
        "keyring" => unsafe { libc::syscall(libc::SYS_keyctl, 0, 0, 0, 0, 0) },
        // SAFETY: a name; the descriptor is the process's to lose.
        "anonymous-file" => unsafe { libc::memfd_create(c"x".as_ptr(), 0).into() },
        // SAFETY: no signal, only whether one could be sent.
        "kill" => unsafe { libc::kill(libc::getppid(), 0).into() },
        // SAFETY: as above.
        "kill-a-thread" => unsafe {
            let parent = libc::getppid();
            libc::syscall(libc::SYS_tgkill, parent, parent, 0)
        },
        // SAFETY: this process has one thread, or the new one ends at once, by a call that locks nothing.
        "process" => unsafe {
            match libc::fork() {
                0 => libc::_exit(0),
                -1 => -1,
                process => libc::waitpid(process, ptr::null_mut(), 0).into(),
            }
        },
        // SAFETY: a path that is there for the call, and numbers.
        "set-user-id-bit" => unsafe {
            libc::syscall(libc::SYS_fchmodat2, libc::AT_FDCWD, tmp.as_ptr(), 0o4777, 0)
        },
        // SAFETY: it looks at a limit that is there for the call; where it is set, it stays what it was.
        "limit-of-another" => unsafe {
            let mut limit: libc::rlimit = std::mem::zeroed();
            libc::getrlimit(libc::RLIMIT_CORE, &raw mut limit);
            libc::prlimit(
                libc::getppid(),
                libc::RLIMIT_CORE,
                &raw const limit,
                ptr::null_mut(),
            )
            .into()
        },
        // SAFETY: one byte, which no terminal is there to take.
        "type-ahead" => unsafe { libc::ioctl(0, libc::TIOCSTI, c"x".as_ptr()).into() },
        // SAFETY: a mapping of its own, which nobody else uses.
        "run-protected-memory" => unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let start = libc::mmap(ptr::null_mut(), 4096, access, flags, -1, 0);
            libc::syscall(
                libc::SYS_pkey_mprotect,
                start,
                4096,
                access | libc::PROT_EXEC,
                -1,
            )
        },
        other => return Err(io::Error::other(format!("no such escape: {other}"))),
    };
    match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
