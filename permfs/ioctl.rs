// SPDX-License-Identifier: GPL-2.0

//! ioctls, on any open file or directory.

use crate::{quiesce::Request, PermFs};
use kernel::{
    ioctl::_IOC_SIZE,
    prelude::*,
    uaccess::{UserPtr, UserSlice},
};
use permfs_core::ioctl::{Quiesce, IOC_QUIESCE, IOC_SHUTDOWN, QUIESCE_DEFAULT_MS, QUIESCE_MAX_MS};
use vfs::{cred, super_block::SuperBlock, time::mono_fast_ns};
use zerocopy::{FromBytes, IntoBytes};

/// `FS_SHUTDOWN_FLAGS_*`.
const SHUTDOWN_DEFAULT: u32 = 0;
const SHUTDOWN_LOGFLUSH: u32 = 1;
const SHUTDOWN_NOLOGFLUSH: u32 = 2;

pub(crate) fn ioctl(sb: &SuperBlock<PermFs>, cmd: u32, arg: usize) -> Result<isize> {
    let user = UserSlice::new(UserPtr::from_addr(arg), _IOC_SIZE(cmd));
    match cmd {
        IOC_QUIESCE => quiesce(sb, user)?,
        IOC_SHUTDOWN => shut_down(sb, user)?,
        _ => return Err(ENOTTY),
    }
    Ok(0)
}

fn quiesce(sb: &SuperBlock<PermFs>, user: UserSlice) -> Result {
    if !cred::capable_sys_admin() {
        return Err(EPERM);
    }
    let (mut reader, mut writer) = user.reader_writer();
    let mut bytes = [0; size_of::<Quiesce>()];
    reader.read_slice(&mut bytes)?;
    let mut arg = Quiesce::read_from_bytes(&bytes).map_err(|_| EINVAL)?;
    if arg.flags != 0 || arg.reserved != [0; 2] || arg.timeout_ms > QUIESCE_MAX_MS {
        return Err(EINVAL);
    }
    if arg.timeout_ms == 0 {
        arg.timeout_ms = QUIESCE_DEFAULT_MS;
    }
    let mount = sb.data();
    let begin = mono_fast_ns();
    let request = Request {
        sync: true,
        close: false,
        ms: arg.timeout_ms,
    };
    let outcome = mount.quiescer().run(sb, request);
    arg.set_result(&outcome.result);
    arg.error = outcome.error.map_or(0, |e| e.to_errno().unsigned_abs());
    arg.elapsed_ns = mono_fast_ns().saturating_sub(begin);
    arg.epoch = mount.engine().durable_epoch();
    writer.write_slice(arg.as_bytes())
}

/// As ext4 and XFS do.
fn shut_down(sb: &SuperBlock<PermFs>, user: UserSlice) -> Result {
    if !cred::capable_sys_admin() {
        return Err(EPERM);
    }
    let how = user.reader().read::<u32>()?;
    let mount = sb.data();
    if how > SHUTDOWN_NOLOGFLUSH {
        return Err(EINVAL);
    }
    if mount.engine().disk().is_shut_down() {
        return Ok(());
    }
    match how {
        SHUTDOWN_DEFAULT => {
            let frozen = sb.freeze()?;
            mount.shut_down(sb);
            drop(frozen);
        }
        SHUTDOWN_LOGFLUSH => {
            // Whoever wants it shut down wants it also if the log cannot be written.
            let _ = mount.commit(sb);
            mount.shut_down(sb);
        }
        _ => mount.shut_down(sb),
    }
    let how = match how {
        SHUTDOWN_DEFAULT => "everything was written",
        SHUTDOWN_LOGFLUSH => "the log was written",
        _ => "nothing was written",
    };
    pr_alert!("({}): shut down on request; before, {how}\n", sb.id());
    sb.report_shutdown();
    Ok(())
}
