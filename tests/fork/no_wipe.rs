//! Without MADV_WIPEONFORK, as on an old kernel or under an emulator: a fork by the C library is
//! still detected.

const FORCED: &str = "SENDLOOP_TEST_NO_WIPEONFORK";

/// Returns whether the kernel refuses MADV_WIPEONFORK in this process.
pub(crate) fn is_forced() -> bool {
    std::env::var_os(FORCED).is_some()
}

#[cfg(target_os = "linux")]
mod refused {
    use std::os::unix::process::CommandExt;

    use super::super::util::{test_within, this_program};
    use super::FORCED;

    const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K

    const fn step(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
        libc::sock_filter { code, jt, jf, k }
    }

    /// Makes madvise(2) fail with EINVAL for MADV_WIPEONFORK, in this process and its descendants.
    fn refuse() -> std::io::Result<()> {
        let third_argument = if cfg!(target_endian = "little") { 32 } else { 36 };
        let mut steps = [
            step(LOAD, 0, 0, 0), // the number of the system call
            step(IF_EQUAL, 0, 3, libc::SYS_madvise as u32),
            step(LOAD, 0, 0, third_argument),
            step(IF_EQUAL, 0, 1, libc::MADV_WIPEONFORK as u32),
            step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EINVAL as u32),
            step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
        ];
        let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
        // SAFETY: the filter outlives the calls, and has `len` steps.
        let refused = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) == 0
        };
        if refused {
            return Ok(());
        }
        Err(std::io::Error::last_os_error())
    }

    #[test]
    fn fork_tests_pass_without_wipeonfork() {
        if super::is_forced() {
            return;
        }
        let _test = test_within(std::time::Duration::from_secs(300));
        let mut again = this_program();
        again.env(FORCED, "1").arg("--test-threads=1");
        // SAFETY: between fork and exec the closure makes two system calls and nothing else.
        let output = unsafe { again.pre_exec(refuse) }.output().expect("a child process");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("test parent::"), "{text}");
    }
}
